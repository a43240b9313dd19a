//! Whether what passes over a connection is TLS, told by its first bytes: record headers (RFC 8446, 5.1) and the server's hello (4.1.3), which is the one
//! message that says in the clear what was agreed on.

/// `supported_versions`, in which TLS 1.3 names itself.
const SUPPORTED_VERSIONS: u16 = 43;
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
/// Of a record's content with what encryption adds.
const RECORD: u16 = 16_384 + 256;

/// What the segments of one connection looked like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Segments that begin with a record of TLS.
    pub tls: u64,
    /// Segments that begin as text does.
    pub text: u64,
    pub others: u64,
    /// Version and suite, by their numbers, of the last hello.
    pub hello: Option<(u16, u16)>,
}

impl Records {
    /// A further segment.
    pub fn add(&mut self, payload: &[u8]) {
        if is_record(payload) {
            self.tls += 1;
            self.hello = server_hello(payload).or(self.hello);
        } else if payload.len() >= 4 && payload.iter().take(16).all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t')) {
            self.text += 1;
        } else {
            self.others += 1;
        }
    }

    /// Both directions, or several connections.
    pub fn join(&mut self, other: &Self) {
        self.tls += other.tls;
        self.text += other.text;
        self.others += other.others;
        self.hello = other.hello.or(self.hello);
    }
}

fn is_record(payload: &[u8]) -> bool {
    match payload {
        [20..=23, 3, 0..=4, high, low, ..] => (1..=RECORD).contains(&u16::from_be_bytes([*high, *low])),
        _ => false,
    }
}

fn server_hello(payload: &[u8]) -> Option<(u16, u16)> {
    let hello = payload.get(5..)?;
    if payload.first() != Some(&HANDSHAKE) || hello.first() != Some(&SERVER_HELLO) {
        return None;
    }
    let number = |bytes: &[u8], at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    // Type, length of three bytes, version, random of 32 bytes, session.
    let version = number(hello, 4)?;
    let after_session = 39 + usize::from(*hello.get(38)?);
    let suite = number(hello, after_session)?;
    // Suite, compression, length of the extensions.
    let mut rest = hello.get(after_session + 5..).unwrap_or_default();
    while let (Some(kind), Some(length)) = (number(rest, 0), number(rest, 2)) {
        if kind == SUPPORTED_VERSIONS {
            return Some((number(rest, 4)?, suite));
        }
        rest = rest.get(4 + usize::from(length)..).unwrap_or_default();
    }
    Some((version, suite))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut hello = vec![SERVER_HELLO, 0, 0, 0, 3, 3];
        hello.extend([7; 32]);
        hello.extend([2, 9, 9, 0x13, 0x02, 0, 0, u8::try_from(extensions.len()).unwrap_or(0)]);
        hello.extend(extensions);
        let length = u8::try_from(hello.len()).unwrap_or(0);
        [&[HANDSHAKE, 3, 3, 0, length], hello.as_slice()].concat()
    }

    #[test]
    fn a_hello_says_what_was_agreed_on() {
        let mut records = Records::default();
        records.add(&hello(&[0, 51, 0, 1, 5, 0, 43, 0, 2, 3, 4]));
        assert_eq!((records.tls, records.hello), (1, Some((0x0304, 0x1302))));
        records.add(&[23, 3, 3, 0, 3, 1, 2, 3]);
        assert_eq!((records.tls, records.hello), (2, Some((0x0304, 0x1302))));
        let mut older = Records::default();
        older.add(&hello(&[]));
        assert_eq!(older.hello, Some((0x0303, 0x1302)));
        // Cut anywhere, it is no hello, or a shorter one.
        for cut in 0..60 {
            Records::default().add(hello(&[0, 43, 0, 2, 3, 4]).get(..cut).unwrap_or_default());
        }
    }

    #[test]
    fn what_is_no_tls() {
        let mut records = Records::default();
        records.add(b"POST /v1/chat/completions HTTP/1.1\r\n");
        records.add(b"Q\0\0\0\x10SELECT 1\0");
        records.add(&[23, 3, 3, 0xff, 0xff, 1]);
        assert_eq!((records.tls, records.text, records.others), (0, 1, 2));
    }
}
