//! Redis and what speaks like it (RESP2): every key of every database, the slow log and the commands that clients sent last.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::{Passed, StoreError, Take};

const FORM: &str = "redis://[user:password@]host[:port]";
const LIMIT: Duration = Duration::from_secs(10);
/// Of one reply; what is beyond is passed over, and said.
const LARGEST: usize = 64 << 20;
const DEPTH: usize = 8;
const KEYS: u64 = 1_000_000;

/// A connection.
pub struct Redis {
    stream: BufReader<TcpStream>,
    cut: bool,
}

/// What a reply was, besides the bytes that it passed on.
enum Reply {
    Error { password: bool },
    Integer,
    Items(Vec<Vec<u8>>),
}

impl Redis {
    /// Connects; the password is sent once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        let rest = url.strip_prefix("redis://").ok_or(StoreError::Url(FORM))?;
        let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let place = place.split('/').next().unwrap_or_default();
        let with_port = if place.contains(':') { place.to_owned() } else { format!("{place}:6379") };
        let gone = |error: std::io::Error| StoreError::Gone(error.kind());
        let address = with_port.to_socket_addrs().map_err(|_| StoreError::Url(FORM))?.next().ok_or(StoreError::Url(FORM))?;
        let stream = TcpStream::connect_timeout(&address, LIMIT).map_err(gone)?;
        stream.set_read_timeout(Some(LIMIT)).and_then(|()| stream.set_write_timeout(Some(LIMIT))).map_err(gone)?;
        let mut redis = Self { stream: BufReader::new(stream), cut: false };
        if let Some(login) = login {
            let (user, password) = login.split_once(':').unwrap_or(("", login));
            let words: Vec<&[u8]> = if user.is_empty() {
                vec![b"AUTH", password.as_bytes()]
            } else {
                vec![b"AUTH", user.as_bytes(), password.as_bytes()]
            };
            if matches!(redis.call(&words)?, Reply::Error { .. }) {
                return Err(StoreError::Password);
            }
        }
        match redis.call(&[b"PING"])? {
            Reply::Error { password: true } => Err(StoreError::Password),
            Reply::Error { password: false } => Err(StoreError::Command("PING")),
            _ => Ok(redis),
        }
    }

    /// Stores something for two minutes, so that the search for it can be tried.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn plant(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        match self.call(&[b"SET", key.as_bytes(), value, b"EX", b"120"])? {
            Reply::Error { .. } => Err(StoreError::Command("SET")),
            _ => Ok(()),
        }
    }

    /// Removes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove(&mut self, key: &str) -> Result<(), StoreError> {
        self.call(&[b"DEL", key.as_bytes()]).map(|_| ())
    }

    /// Everything that it keeps.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pass(&mut self, take: Take<'_>) -> Result<Passed, StoreError> {
        let mut passed = Passed::default();
        for database in self.databases()? {
            if matches!(self.call(&[b"SELECT", database.as_bytes()])?, Reply::Error { .. }) {
                passed.gaps.push(format!("database {database} could not be selected"));
                continue;
            }
            self.keys(&database, take, &mut passed)?;
        }
        for (name, words) in
            [("the slow log", [&b"SLOWLOG"[..], b"GET", b"-1"]), ("the list of clients", [b"CLIENT", b"LIST", b""])]
        {
            let words: Vec<&[u8]> = words.into_iter().filter(|word| !word.is_empty()).collect();
            match self.call(&words)? {
                Reply::Items(items) => hand_over(name, &items, take, &mut passed),
                Reply::Error { .. } => passed.gaps.push(format!("{name} could not be read")),
                Reply::Integer => {}
            }
        }
        if self.cut {
            passed.gaps.push(format!("replies were looked at up to {} MiB", LARGEST >> 20));
        }
        Ok(passed)
    }

    fn databases(&mut self) -> Result<Vec<String>, StoreError> {
        let Reply::Items(items) = self.call(&[b"INFO", b"keyspace"])? else { return Ok(vec!["0".to_owned()]) };
        let text = items.concat();
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().filter_map(|line| Some(line.strip_prefix("db")?.split_once(':')?.0.to_owned())).collect())
    }

    fn keys(&mut self, database: &str, take: Take<'_>, passed: &mut Passed) -> Result<(), StoreError> {
        let mut cursor = b"0".to_vec();
        loop {
            let Reply::Items(mut items) = self.call(&[b"SCAN", &cursor, b"COUNT", b"500"])? else {
                return Err(StoreError::Command("SCAN"));
            };
            if items.is_empty() {
                return Err(StoreError::Protocol);
            }
            cursor = items.remove(0);
            for key in items {
                passed.places += 1;
                if passed.places > KEYS {
                    passed.gaps.push(format!("only the first {KEYS} keys were looked at"));
                    return Ok(());
                }
                let kind = self.kind(&key)?;
                let place = format!("database {database}, {kind}");
                hand_over(&place, std::slice::from_ref(&key), take, passed);
                if let Some(items) = self.value(&kind, &key)? {
                    hand_over(&place, &items, take, passed);
                } else {
                    passed.gaps.push(format!("a key of a module's type in database {database} was not looked at"));
                }
            }
            if cursor == b"0" {
                return Ok(());
            }
        }
    }

    fn kind(&mut self, key: &[u8]) -> Result<String, StoreError> {
        let Reply::Items(items) = self.call(&[b"TYPE", key])? else { return Ok(String::new()) };
        Ok(String::from_utf8_lossy(&items.concat()).into_owned())
    }

    fn value(&mut self, kind: &str, key: &[u8]) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let words: Vec<&[u8]> = match kind {
            "string" => vec![b"GET", key],
            "list" => vec![b"LRANGE", key, b"0", b"-1"],
            "set" => vec![b"SMEMBERS", key],
            "zset" => vec![b"ZRANGE", key, b"0", b"-1"],
            "hash" => vec![b"HGETALL", key],
            "stream" => vec![b"XRANGE", key, b"-", b"+"],
            // Expired meanwhile.
            "none" => return Ok(Some(Vec::new())),
            _ => return Ok(None),
        };
        match self.call(&words)? {
            Reply::Items(items) => Ok(Some(items)),
            _ => Ok(Some(Vec::new())),
        }
    }

    fn call(&mut self, words: &[&[u8]]) -> Result<Reply, StoreError> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).map_err(|error| StoreError::Gone(error.kind()))?;
        let mut items = Vec::new();
        let mut room = LARGEST;
        self.reply(&mut items, &mut room, 0)?.map_or(Ok(Reply::Items(items)), Ok)
    }

    /// Reads one reply; text goes to `items`, flat.
    fn reply(&mut self, items: &mut Vec<Vec<u8>>, room: &mut usize, depth: usize) -> Result<Option<Reply>, StoreError> {
        let line = self.line()?;
        let (kind, rest) = line.split_first().ok_or(StoreError::Protocol)?;
        let number = || std::str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok()).ok_or(StoreError::Protocol);
        match kind {
            b'+' => items.push(rest.to_vec()),
            b'-' => return Ok(Some(Reply::Error { password: rest.starts_with(b"NOAUTH") || rest.starts_with(b"WRONGPASS") })),
            b':' => return Ok((depth == 0).then_some(Reply::Integer)),
            // A negative length is "nothing" (RESP2's null).
            b'$' => {
                if let Ok(length) = usize::try_from(number()?) {
                    self.bulk(length, items, room)?;
                }
            }
            b'*' if depth < DEPTH => {
                for _ in 0..number()?.max(0) {
                    self.reply(items, room, depth + 1)?;
                }
            }
            _ => return Err(StoreError::Protocol),
        }
        Ok(None)
    }

    fn bulk(&mut self, length: usize, items: &mut Vec<Vec<u8>>, room: &mut usize) -> Result<(), StoreError> {
        let gone = |error: std::io::Error| StoreError::Gone(error.kind());
        let kept = length.min(*room);
        *room -= kept;
        self.cut |= kept < length;
        let mut bytes = Vec::new();
        (&mut self.stream).take(kept as u64).read_to_end(&mut bytes).map_err(gone)?;
        if bytes.len() < kept {
            return Err(StoreError::Gone(std::io::ErrorKind::UnexpectedEof));
        }
        // The rest, and the line's end.
        let rest = (length - kept) as u64 + 2;
        std::io::copy(&mut (&mut self.stream).take(rest), &mut std::io::sink()).map_err(gone)?;
        items.push(bytes);
        Ok(())
    }

    fn line(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(64 << 10).read_until(b'\n', &mut line);
        read.map_err(|error| StoreError::Gone(error.kind()))?;
        line.strip_suffix(b"\r\n").map(<[u8]>::to_vec).ok_or(StoreError::Protocol)
    }
}

fn hand_over(place: &str, items: &[Vec<u8>], take: Take<'_>, passed: &mut Passed) {
    for item in items {
        passed.bytes += item.len() as u64;
        take(place, item);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::{Redis, StoreError};

    /// Answers each request with the next of these, byte by byte as Redis' protocol description shows them.
    fn server(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            for answer in answers {
                assert_ne!(socket.read(&mut request).unwrap(), 0);
                socket.write_all(answer.as_bytes()).unwrap();
            }
        });
        url
    }

    #[test]
    fn every_type_of_value_is_passed_by() {
        let url = server(&[
            "+PONG\r\n",
            "$36\r\n# Keyspace\r\ndb3:keys=2,expires=0\r\n\r\n\r\n",
            "+OK\r\n",
            "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            "+string\r\n",
            "$5\r\nhello\r\n",
            "+hash\r\n",
            "*2\r\n$1\r\nf\r\n$5\r\nworld\r\n",
            "*1\r\n*3\r\n:1\r\n:2\r\n*2\r\n$3\r\nSET\r\n$4\r\nslow\r\n",
            "$10\r\nid=1 addr=\r\n",
        ]);
        let mut redis = Redis::connect(&url).unwrap();
        let mut seen = Vec::new();
        let passed = redis.pass(&mut |place, bytes| seen.push(format!("{place}: {}", String::from_utf8_lossy(bytes)))).unwrap();
        assert_eq!(
            seen,
            [
                "database 3, string: a",
                "database 3, string: hello",
                "database 3, hash: b",
                "database 3, hash: f",
                "database 3, hash: world",
                "the slow log: SET",
                "the slow log: slow",
                "the list of clients: id=1 addr=",
            ]
        );
        assert_eq!((passed.places, passed.gaps.len()), (2, 0));
    }

    #[test]
    fn what_is_no_redis_or_wants_a_password_is_told() {
        let told = |url: &str| Redis::connect(url).err().unwrap();
        assert_eq!(told(&server(&["-NOAUTH Authentication required.\r\n"])), StoreError::Password);
        assert_eq!(told(&server(&["HTTP/1.1 400 Bad Request\r\n"])), StoreError::Protocol);
        assert!(matches!(told("http://127.0.0.1"), StoreError::Url(_)));
        assert!(matches!(told("redis://127.0.0.1:1"), StoreError::Gone(_)));
    }
}
