//! Who is asking: an API key in the header in which the client's format puts it, looked up by its hash.

use aws_lc_rs::digest;
use lethe_http1::RequestHead;
use lethe_policy::KeyEntry;
use lethe_types::KeyHash;

use crate::problem::Problem;
use crate::upstream::Upstreams;

/// Headers that hold a key and nothing else: Anthropic's and Google's.
const KEY_HEADERS: [&str; 2] = ["x-api-key", "x-goog-api-key"];
/// Longer than any key.
const KEY_LIMIT: usize = 256;

/// Finds the key that `request` shows.
///
/// The look-up compares SHA-256 hashes, of which a caller cannot choose the bytes, so its timing tells nothing about keys.
pub(crate) fn authenticate(request: &RequestHead, upstreams: &Upstreams) -> Result<KeyEntry, Problem> {
    let bearers = request.headers().all("authorization").map(bearer);
    let plain = KEY_HEADERS.into_iter().flat_map(|name| request.headers().all(name)).map(token);
    let mut keys = bearers.chain(plain);
    // Two keys could be of two accounts.
    let (Some(Some(key)), None) = (keys.next(), keys.next()) else { return Err(Problem::key_missing()) };
    let digest = digest::digest(&digest::SHA256, key);
    let hash = digest.as_ref().try_into().map(KeyHash).map_err(|_| Problem::key_invalid())?;
    upstreams.view.key(&upstreams.shared, &hash).ok_or_else(Problem::key_invalid)
}

/// The token of `Bearer …` (RFC 6750; the scheme in any case, RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    token(rest).filter(|_| scheme.eq_ignore_ascii_case(b"Bearer "))
}

fn token(value: &[u8]) -> Option<&[u8]> {
    let token = value.trim_ascii();
    (!token.is_empty() && token.len() <= KEY_LIMIT).then_some(token)
}
