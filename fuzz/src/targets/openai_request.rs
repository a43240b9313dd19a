//! An accepted request, edited, is JSON again: it names the routed model, forces what the rules force, and says the rest as it was.
//! However a key is spelled, nothing that asks to be stored gets through.

use std::sync::LazyLock;

use lethe_content::ContentBuf;
use lethe_policy::{FieldRules, ProviderKind};
use lethe_types::Operation;
use lethe_wire::openai::{Request, inspect_request};
use serde_json::{Map, Value};

const MODEL: &str = "routed/\"model\\\u{1}é";

static RULES: LazyLock<[FieldRules; 4]> = LazyLock::new(|| {
    [(false, false), (false, true), (true, false), (true, true)].map(|(force_store_false, stream_usage)| FieldRules {
        chat_fields: ["messages", "model", "store", "stream", "stream_options", "temperature", "tools"].map(String::from).into(),
        embeddings_fields: ["input", "model"].map(String::from).into(),
        tool_types: vec!["function".into()],
        force_store_false,
        stream_usage,
    })
});

fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn edited(request: &Request, body: &[u8], operation: Operation, rules: &FieldRules) {
    let edits = request.edits(MODEL, rules);
    let mut out = ContentBuf::new();
    edits.apply(body, &mut out);
    assert_eq!(edits.length(body.len()), out.len());
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(out.expose()).is_ok(), "edited, it is JSON");
    // Numbers out of range and lone surrogates are no `Value`; that must not change.
    let (before, after) = (object(body), object(out.expose()));
    assert_eq!(before.is_some(), after.is_some());
    let (Some(mut before), Some(mut after)) = (before, after) else { return };
    assert_eq!(after.remove("model"), Some(MODEL.into()));
    before.remove("model");
    let chat = operation == Operation::Chat;
    for (key, value) in &after {
        if key.to_lowercase() == "store" {
            assert!(matches!(value, Value::Null | Value::Bool(false)), "stored under another spelling");
        }
    }
    if chat && rules.force_store_false {
        assert_eq!(after.remove("store"), Some(false.into()));
        before.remove("store");
    }
    if request.stream && rules.stream_usage {
        assert_eq!(after["stream_options"]["include_usage"], true);
        let rest = |object: &mut Map<String, Value>| {
            let mut options = object.remove("stream_options").unwrap_or_default();
            options.as_object_mut().map(|options| {
                options.remove("include_usage");
                options.clone()
            })
        };
        let (before, after) = (rest(&mut before), rest(&mut after));
        assert_eq!(before.unwrap_or_default(), after.unwrap_or_default());
    }
    assert_eq!(before, after);
}

/// One input.
pub fn run(body: &[u8]) {
    for operation in [Operation::Chat, Operation::Embeddings] {
        let Ok(request) = inspect_request(body, operation) else { continue };
        for rules in RULES.iter() {
            edited(&request, body, operation, rules);
            assert!(request.check(ProviderKind::Node, rules).is_ok());
            if request.check(ProviderKind::Hosted, rules).is_ok()
                && let Some(object) = object(body)
            {
                let allowed = if operation == Operation::Chat { &rules.chat_fields } else { &rules.embeddings_fields };
                assert!(object.keys().all(|key| allowed.contains(key)), "a field that is not listed");
            }
        }
    }
}
