//! Opaque data that must come back to where it came from through formats that have one field for several kinds of it.
//!
//! Both marks are base64 of whole groups, so that a client which decodes and encodes the field gives back the same.

use crate::conversation::Str;

/// Before the data of a `redacted_thinking` block, in formats where it looks like the signature over thoughts that are not shown
/// (`display: "omitted"`).
const REDACTED: &str = "redactedthinking";

/// Before a call's signature in a `redacted_thinking` block that stands directly before the call: Gemini demands it back with the call, and
/// `tool_use` has no field for it.
const OF_THE_CALL: &str = "signatureofacall";

/// The data of a `redacted_thinking` block, as it is carried in the common form.
pub(super) fn redacted(data: &Str<'_>) -> Str<'static> {
    Str::constant(REDACTED).and(data.raw())
}

/// What [`redacted`] was given; `None` for what it did not make.
pub(super) fn unredacted<'s>(signature: &'s Str<'_>) -> Option<Str<'s>> {
    let data = signature.raw().strip_prefix(REDACTED)?;
    signature.slice(signature.raw().len() - data.len()..signature.raw().len())
}

/// A call's signature, as the data of a `redacted_thinking` block: both parts of the string.
pub(super) fn of_the_call<'s>(signature: &'s Str<'_>) -> [&'s str; 2] {
    [OF_THE_CALL, signature.raw()]
}

/// The call's signature in the data of a `redacted_thinking` block; `None` for other data.
pub(super) fn signature_of_the_call(data: &Str<'_>) -> Option<Str<'static>> {
    data.raw().strip_prefix(OF_THE_CALL).map(|signature| Str::EMPTY.and(signature))
}
