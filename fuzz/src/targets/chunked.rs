//! The chunked decoder against a second one that has the whole text before it, and against itself at any split.

use super::Cuts;
use lethe_content::ContentBuf;
use lethe_http1::{ChunkedDecoder, Malformed};

/// How much was used, the body, and whether it ended.
type Decoded = (usize, Vec<u8>, Result<bool, Malformed>);

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Decoded {
    let (mut decoder, mut body, mut used) = (ChunkedDecoder::new(), ContentBuf::new(), 0);
    for piece in pieces {
        match decoder.decode(piece, &mut body) {
            Ok(count) => {
                assert!(count == piece.len() || decoder.is_done());
                used += count;
            }
            Err(malformed) => return (0, body.expose().to_vec(), Err(malformed)),
        }
        if decoder.is_done() {
            break;
        }
    }
    (used, body.expose().to_vec(), Ok(decoder.is_done()))
}

/// RFC 9112 section 7.1, read line by line: `None` when the text is malformed or incomplete. Chunk extensions are not looked into;
/// both bounds of the decoder (digits of a size, bytes skipped) are left to it.
fn oracle(text: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let line = line(text, &mut at)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits == 0 || !matches!(line.get(digits), None | Some(b';' | b' ' | b'\t')) {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let end = at.checked_add(usize::try_from(size).ok()?)?;
        body.extend_from_slice(text.get(at..end)?);
        at = end;
        if text.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    while !line(text, &mut at)?.is_empty() {}
    Some((at, body))
}

/// The next line without its CRLF; `None` for a bare CR or LF.
fn line<'a>(text: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = &text[*at..];
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    if rest.get(end..end + 2)? != b"\r\n" {
        return None;
    }
    *at += end + 2;
    Some(&rest[..end])
}

/// One input.
pub fn run(input: &[u8]) {
    let Some((cuts, text)) = Cuts::split_off(input) else { return };
    let whole = decode(std::iter::once(text));
    let cut = decode(cuts.pieces(text));
    assert_eq!(whole, cut);
    if let (used, body, Ok(true)) = &whole {
        assert_eq!(oracle(text), Some((*used, body.clone())));
    } else if let Some((used, _)) = oracle(text) {
        // Only the decoder's own bounds may refuse what the grammar allows.
        let digits = text[..used].windows(17).any(|window| window.iter().all(u8::is_ascii_hexdigit));
        assert!(whole.2.is_err() && (digits || used > 8 * 1024), "refused without a reason");
    }
}
