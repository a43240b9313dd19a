//! Streams as providers frame them.

use lethe_types::Api;
use serde_json::Value;

/// CRC-32, a bit at a time: not the code that is tested.
fn checksum(bytes: &[u8]) -> u32 {
    let bit = |sum: u32| if sum & 1 == 1 { 0xedb8_8320 ^ sum >> 1 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| bit(sum)))
}

/// A message of AWS' event stream.
pub(crate) fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(u8::try_from(name.len()).unwrap());
        encoded.extend(name.as_bytes());
        encoded.push(7);
        encoded.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        encoded.extend(value.as_bytes());
    }
    let length = u32::try_from(16 + encoded.len() + payload.len()).unwrap();
    let mut out = [length.to_be_bytes(), u32::try_from(encoded.len()).unwrap().to_be_bytes()].concat();
    out.extend(checksum(&out).to_be_bytes());
    out.extend(encoded);
    out.extend(payload.as_bytes());
    out.extend(checksum(&out).to_be_bytes());
    out
}

/// The frames of `input` as `api`'s provider sends them; Converse's have their one key as their name, those of others
/// their `type`.
pub(crate) fn framed(api: Api, input: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in input.as_array().unwrap() {
        match api {
            Api::Converse => {
                let (name, payload) = frame.as_object().unwrap().iter().next().unwrap();
                let (key, kind) =
                    if name.ends_with("Exception") { (":exception-type", "exception") } else { (":event-type", "event") };
                let headers = [(key, name.as_str()), (":content-type", "application/json"), (":message-type", kind)];
                out.extend(message(&headers, &payload.to_string()));
            }
            Api::CohereChat | Api::Messages | Api::Responses => {
                out.extend(format!("event: {}\r\ndata: {frame}\r\n\r\n", frame["type"].as_str().unwrap()).into_bytes());
            }
            Api::OllamaChat => out.extend(format!("{frame}\n").into_bytes()),
            // `[DONE]`
            _ if frame.is_string() => out.extend(format!("data: {}\n\n", frame.as_str().unwrap()).into_bytes()),
            _ => out.extend(format!("data: {frame}\n\n").into_bytes()),
        }
    }
    out
}
