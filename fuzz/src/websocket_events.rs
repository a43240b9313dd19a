//! What becomes of an event is the same JSON without what WebSocket adds, and a stream is asked for.

use lethe_wire::responses::websocket::into_body;
use serde_json::Value;

/// Panics when the property does not hold for `input`.
pub fn holds(input: &[u8]) {
    let mut body = input.to_vec();
    if into_body(&mut body).is_err() {
        return;
    }
    assert_eq!(body.len(), input.len());
    // The other reader takes no lone surrogates and no numbers that are too large for it.
    let Ok(event) = serde_json::from_slice(input) else { return };
    let Value::Object(mut event) = event else { panic!("no object") };
    assert_eq!(event.remove("type"), Some("response.create".into()));
    assert!(matches!(event.remove("generate"), None | Some(Value::Null | Value::Bool(true))));
    assert!(matches!(event.insert("stream".into(), true.into()), None | Some(Value::Null | Value::Bool(_))));
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), Value::Object(event));
}
