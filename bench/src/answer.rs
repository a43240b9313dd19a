//! The least that reads an answer: status, framing, body. Strict enough to notice a wrong one, cheap enough not to be measured.

use memchr::{memchr, memmem};

/// The bytes are not an answer that keeps its connection open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAnAnswer;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of body to go.
    Exactly(usize),
    /// At the line with a chunk's size.
    Size,
    /// So many bytes of a chunk to go, then CRLF.
    Chunk(usize),
    ChunkEnd,
    /// At the empty line after the last chunk.
    LastEnd,
    Done,
}

/// Reads one answer after another out of `inbuf`.
pub(crate) struct Answer {
    /// Where the bytes of the connection go.
    pub(crate) inbuf: Vec<u8>,
    /// The body so far.
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
    state: State,
}

impl Answer {
    pub(crate) const fn new() -> Self {
        Self { inbuf: Vec::new(), body: Vec::new(), status: 0, state: State::Head }
    }

    /// Gets ready for the next answer.
    pub(crate) fn restart(&mut self) {
        self.body.clear();
        self.status = 0;
        self.state = State::Head;
    }

    /// Takes what has arrived; true when the answer is complete.
    pub(crate) fn take(&mut self) -> Result<bool, NotAnAnswer> {
        let mut at = 0;
        while let Some(used) = self.step(at)? {
            at += used;
        }
        self.inbuf.drain(..at);
        // One answer per request: what follows belongs to nothing.
        if self.state == State::Done && !self.inbuf.is_empty() { Err(NotAnAnswer) } else { Ok(self.state == State::Done) }
    }

    /// One step at `at`: how many bytes it used, `None` when there is nothing to do before more arrives.
    fn step(&mut self, at: usize) -> Result<Option<usize>, NotAnAnswer> {
        let rest = &self.inbuf[at..];
        match self.state {
            State::Done => Ok(None),
            State::Head => {
                let Some(end) = memmem::find(rest, b"\r\n\r\n") else { return Ok(None) };
                (self.status, self.state) = head(&rest[..end])?;
                Ok(Some(end + 4))
            }
            State::Exactly(0) => {
                self.state = State::Done;
                Ok(None)
            }
            State::Size => {
                let Some(end) = memchr(b'\n', rest) else { return Ok(None) };
                let digits = std::str::from_utf8(&rest[..end]).map_err(|_| NotAnAnswer)?;
                let size = usize::from_str_radix(digits.trim_end(), 16).map_err(|_| NotAnAnswer)?;
                self.state = if size == 0 { State::LastEnd } else { State::Chunk(size) };
                Ok(Some(end + 1))
            }
            State::ChunkEnd | State::LastEnd => {
                if rest.len() < 2 {
                    return Ok(None);
                }
                if !rest.starts_with(b"\r\n") {
                    return Err(NotAnAnswer);
                }
                self.state = if self.state == State::LastEnd { State::Done } else { State::Size };
                Ok(Some(2))
            }
            State::Exactly(left) | State::Chunk(left) => {
                let take = left.min(rest.len());
                if take == 0 {
                    return Ok(None);
                }
                self.body.extend_from_slice(&rest[..take]);
                self.state = match self.state {
                    State::Exactly(_) => State::Exactly(left - take),
                    _ if take == left => State::ChunkEnd,
                    _ => State::Chunk(left - take),
                };
                Ok(Some(take))
            }
        }
    }
}

fn head(bytes: &[u8]) -> Result<(u16, State), NotAnAnswer> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotAnAnswer)?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()).ok_or(NotAnAnswer)?;
    let mut state = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(NotAnAnswer)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            state = value.parse().ok().map(State::Exactly);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            state = Some(State::Size);
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            // A connection per request would be another measurement.
            return Err(NotAnAnswer);
        }
    }
    Ok((status, state.ok_or(NotAnAnswer)?))
}

#[cfg(test)]
mod tests {
    use super::{Answer, NotAnAnswer};

    fn read(bytes: &[u8], cut: usize) -> Result<(bool, u16, Vec<u8>), NotAnAnswer> {
        let mut answer = Answer::new();
        let mut done = false;
        for part in bytes.chunks(cut) {
            answer.inbuf.extend_from_slice(part);
            done = answer.take()?;
        }
        Ok((done, answer.status, answer.body))
    }

    #[test]
    fn both_framings_are_read_at_any_split() {
        for cut in 1..70 {
            let length = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
            assert_eq!(read(length, cut), Ok((true, 200, b"hello".to_vec())));
            let chunked = b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
            assert_eq!(read(chunked, cut), Ok((true, 503, b"hello".to_vec())));
            assert_eq!(read(&chunked[..chunked.len() - 1], cut).map(|read| read.0), Ok(false));
        }
    }

    #[test]
    fn what_would_spoil_a_figure_is_an_error() {
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 99), Err(NotAnAnswer));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", 99), Err(NotAnAnswer));
    }
}
