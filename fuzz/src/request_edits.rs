//! An accepted request of any format, edited, is JSON again: it names the routed model, forces, renames and leaves out what the rules say, and
//! says the rest as it was. However a key is spelled, nothing that asks to be stored gets through.

use std::sync::LazyLock;

use lethe_content::ContentBuf;
use lethe_policy::{ApiRules, ProviderKind, conflict};
use lethe_types::Api;
use lethe_wire::inspect::{Change, Inspected, inspect};
use serde_json::{Map, Value};

const MODEL: &str = "routed/\"model\\\u{1}é";
const RENAMED: (&str, &str) = ("max_completion_tokens", "max_tokens");
const STRIPPED: [&str; 2] = ["temperature", "user"];

static RULES: LazyLock<[ApiRules; 5]> = LazyLock::new(|| {
    [(false, false, false), (false, true, false), (true, false, true), (true, true, false), (true, true, true)].map(
        |(force_store_false, stream_usage, moved)| ApiRules {
            fields: ["contents", "input", "messages", "model", "store", "stream", "stream_options", "temperature", "tools"]
                .map(String::from)
                .into(),
            tool_types: vec!["function".into()],
            force: if force_store_false { vec![("store".into(), "false".into())] } else { Vec::new() },
            rename: if moved { vec![(RENAMED.0.into(), RENAMED.1.into())] } else { Vec::new() },
            strip: if moved { STRIPPED.map(String::from).into() } else { Vec::new() },
            stream_usage,
            ..ApiRules::plain(Api::Chat)
        },
    )
});

/// Formats with a reader of their own.
const APIS: [Api; 11] = [
    Api::Chat,
    Api::Completions,
    Api::CountMessageTokens,
    Api::CountTokens,
    Api::EmbedContent,
    Api::Embeddings,
    Api::GenerateContent,
    Api::Messages,
    Api::Moderations,
    Api::Rerank,
    Api::Responses,
];

fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// What is set wherever it stands: a user's name, wishes to cache, and names of the model beside the path's. Gemini's names are compared without their
/// underscores.
fn without_names(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|key, _| !matches!(key.to_lowercase().replace('_', "").as_str(), "cachecontrol" | "userid" | "model"));
            object.values_mut().for_each(without_names);
        }
        Value::Array(list) => list.iter_mut().for_each(without_names),
        _ => {}
    }
}

fn edited(request: &Inspected, body: &[u8], rules: &ApiRules) {
    let edits = request.edits(&Change { model: MODEL, pseudonym: "acct", cache: false }, rules);
    let mut out = ContentBuf::new();
    edits.apply(body, &mut out);
    assert_eq!(edits.length(body.len()), out.len());
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(out.expose()).is_ok(), "edited, it is JSON");
    // Numbers out of range and lone surrogates are no `Value`; what is one stays one.
    let (before, after) = (object(body), object(out.expose()));
    assert!(before.is_none() || after.is_some());
    let (Some(mut before), Some(mut after)) = (before, after) else { return };
    if lethe_wire::inspect::required(request.api).any(|field| field == "model") {
        assert_eq!(after.remove("model"), Some(MODEL.into()));
        before.remove("model");
    }
    for (key, value) in &after {
        if key.to_lowercase() == "store" && conflict::field(request.api, "store").is_some() {
            assert!(matches!(value, Value::Null | Value::Bool(false)), "stored under another spelling");
        }
    }
    if !rules.force.is_empty() {
        assert_eq!(after.remove("store"), Some(false.into()));
        before.remove("store");
    }
    for name in &rules.strip {
        before.remove(name);
        assert!(!after.contains_key(name), "left out");
    }
    for (name, servers) in &rules.rename {
        if !before.contains_key(servers)
            && let Some(value) = before.remove(name)
        {
            before.insert(servers.clone(), value);
        }
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
    let (mut before, mut after) = (Value::Object(before), Value::Object(after));
    without_names(&mut before);
    without_names(&mut after);
    assert_eq!(before, after);
}

/// Panics when the property does not hold for `body`.
pub fn holds(body: &[u8]) {
    for api in APIS {
        let Ok(request) = inspect(body, api) else { continue };
        // Only these two formats have `stream_options`, and only presets of them ask for it. Gemini's have no such names.
        let has_options = matches!(api, Api::Chat | Api::Completions);
        let is_gemini = matches!(api, Api::CountTokens | Api::EmbedContent | Api::GenerateContent);
        let fitting = |rules: &&ApiRules| (!rules.stream_usage || has_options) && (rules.rename.is_empty() || !is_gemini);
        for rules in RULES.iter().filter(fitting) {
            edited(&request, body, rules);
            assert!(request.check(ProviderKind::Node, rules).is_ok());
            if request.check(ProviderKind::Hosted, rules).is_ok()
                && api == Api::Chat
                && let Some(object) = object(body)
            {
                let listed = |key: &String| rules.fields.contains(key) || rules.strip.contains(key);
                assert!(object.keys().all(listed), "a field that is not listed");
            }
        }
    }
}
