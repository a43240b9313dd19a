//! An accepted request, edited, is JSON again: it names the routed model, forces what the rules force, and says the rest as it was.
//! However a key is spelled, nothing that asks to be stored gets through.

use std::sync::LazyLock;

use lethe_content::ContentBuf;
use lethe_policy::{ApiRules, ProviderKind};
use lethe_types::Api;
use lethe_wire::inspect::{Change, Inspected, inspect};
use serde_json::{Map, Value};

const MODEL: &str = "routed/\"model\\\u{1}é";

static RULES: LazyLock<[ApiRules; 4]> = LazyLock::new(|| {
    [(false, false), (false, true), (true, false), (true, true)].map(|(force_store_false, stream_usage)| ApiRules {
        fields: ["input", "messages", "model", "store", "stream", "stream_options", "temperature", "tools"]
            .map(String::from)
            .into(),
        tool_types: vec!["function".into()],
        force: if force_store_false { vec![("store".into(), "false".into())] } else { Vec::new() },
        stream_usage,
        ..ApiRules::plain(Api::Chat)
    })
});

fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn edited(request: &Inspected, body: &[u8], rules: &ApiRules) {
    let edits = request.edits(&Change { model: MODEL, pseudonym: "acct", cache: false }, rules);
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
    for (key, value) in &after {
        if key.to_lowercase() == "store" {
            assert!(matches!(value, Value::Null | Value::Bool(false)), "stored under another spelling");
        }
    }
    if !rules.force.is_empty() {
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

/// Panics when the property does not hold for `body`.
pub fn holds(body: &[u8]) {
    for api in [Api::Chat, Api::Embeddings] {
        let Ok(request) = inspect(body, api) else { continue };
        for rules in RULES.iter() {
            edited(&request, body, rules);
            assert!(request.check(ProviderKind::Node, rules).is_ok());
            if request.check(ProviderKind::Hosted, rules).is_ok()
                && let Some(object) = object(body)
            {
                assert!(object.keys().all(|key| rules.fields.contains(key)), "a field that is not listed");
            }
        }
    }
}
