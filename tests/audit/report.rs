//! A report that was changed is refused, in each of its two forms, and its form is the published one.

use std::fs;
use std::process::Command;

use lethe_testkit::lethe::executable;
use serde_json::Value;

use crate::{audit, verify};

#[test]
fn a_changed_report_is_refused() {
    let audited = audit(&["--only", "POST /v1/embeddings"]);
    let (json, page) = (audited.file("lethe-audit.json"), audited.file("lethe-audit.html"));
    for file in [&json, &page] {
        let (code, printed) = verify(file, &[]);
        assert_eq!(code, 0, "{printed}");
        assert!(printed.contains("unchanged since"), "{printed}");
    }
    let statement: Value = serde_json::from_slice(&fs::read(&json).expect("a report")).expect("JSON");
    let key = statement["signatures"][0]["public_key"].as_str().expect("a key");
    assert_eq!(verify(&page, &["--key", key]).0, 0);
    let other = "0".repeat(64);
    let (code, printed) = verify(&page, &["--key", &other]);
    assert!(code == 1 && printed.contains("another key"), "{printed}");

    let text = fs::read_to_string(&json).expect("a report");
    fs::write(&json, text.replace("embeddings", "embeddingz")).expect("a file");
    let (code, printed) = verify(&json, &[]);
    assert!(code == 1 && printed.contains("changed after signing"), "{printed}");
    // Only what is shown, not what is signed.
    let text = fs::read_to_string(&page).expect("a page");
    fs::write(&page, text.replacen("<td class=\"\">process memory</td>", "<td class=\"\">nothing</td>", 1)).expect("a file");
    let (code, printed) = verify(&page, &[]);
    assert!(code == 1 && printed.contains("page around it was changed"), "{printed}");
}

/// Every member of a report stands in the schema, and every required member of the schema in a report.
#[test]
fn a_report_has_the_published_form() {
    let output = Command::new(executable("lethe")).args(["audit", "--schema"]).output().expect("lethe audit");
    let schema: Value = serde_json::from_slice(&output.stdout).expect("a schema");
    let audited = audit(&["--only", "POST /v1/embeddings"]);
    let statement: Value = serde_json::from_slice(&fs::read(audited.file("lethe-audit.json")).expect("a report")).expect("JSON");
    let mut wrong = Vec::new();
    conforms(&schema, &statement, "", &mut wrong);
    assert_eq!(wrong, Vec::<String>::new());
    // Control: the check sees a member too many, one too few and a wrong word.
    let mut broken = statement;
    broken["payload"]["verdict"] = "fine".into();
    broken["payload"]["more"] = 1.into();
    broken["payload"].as_object_mut().expect("an object").remove("limits");
    conforms(&schema, &broken, "", &mut wrong);
    assert_eq!(wrong.len(), 3, "{wrong:?}");
}

/// The part of JSON Schema 2020-12 that the published schema uses.
fn conforms(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = |one: &&Value| {
            let mut inner = Vec::new();
            conforms(one, value, at, &mut inner);
            inner.is_empty()
        };
        if !any.iter().any(|one| fits(&one)) {
            wrong.push(format!("{at}: none of the forms"));
        }
        return;
    }
    let constant = schema.get("const").is_none_or(|constant| constant == value);
    let listed = schema["enum"].as_array().is_none_or(|values| values.contains(value));
    let kind = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => true,
    };
    if !(constant && listed && kind) {
        wrong.push(format!("{at}: {value}"));
    }
    if let (Some(members), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for (name, member) in members {
            match properties.get(name) {
                Some(form) => conforms(form, member, &format!("{at}/{name}"), wrong),
                None => wrong.push(format!("{at}/{name}: not in the schema")),
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                wrong.push(format!("{at}/{name}: missing"));
            }
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        conforms(&schema["items"], item, &format!("{at}/{index}"), wrong);
    }
}
