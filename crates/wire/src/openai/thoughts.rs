//! Thoughts with their signature in a format that has no field for it: `reasoning_details`, as OpenRouter's clients know it.

use crate::conversation::Thinking;
use crate::write::Writer;

/// One item of `reasoning_details`.
pub(super) fn write_details(json: &mut Writer<'_>, thought: &Thinking<'_>, index: u64) {
    json.object(|json| match (&thought.text, &thought.signature) {
        (None, Some(data)) => {
            json.constant("type", "reasoning.encrypted");
            json.member("data", data);
            json.key("index").number(index);
        }
        (text, signature) => {
            json.constant("type", "reasoning.text");
            if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
                json.member("text", text);
            }
            if let Some(signature) = signature {
                json.member("signature", signature);
            }
            json.key("index").number(index);
        }
    });
}
