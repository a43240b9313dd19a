//! `lethe config check` and `lethe import litellm`: what a file would do, what a reload would change, and another gateway's file translated.

use std::process::{Command, Output};

use lethe_testkit::lethe::{PROVIDER_KEY, built, model_table};
use serde_json::Value;

use crate::supervision::Run;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_check_says_what_a_file_would_do_and_what_a_reload_would_change() {
    let run = Run::start(true);
    let file = run.lethe.folder().join("lethe.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let file = file.to_str().unwrap();
    let check = |more: &[&str]| run.lethe.run(&[&["config", "check", file], more].concat());

    let same = check(&[]);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    for part in ["listens on", "mock", "passes as it is: chat", "messages", "→ chat", "does the same"] {
        assert!(said(&same).contains(part), "{part:?} in: {}", said(&same));
    }
    assert!(!said(&same).contains(PROVIDER_KEY));

    let changed = text
        .replace("max_body_mib = 4", "max_body_mib = 4\nrecycle_hours = 1")
        .replace("retention_days = 0", "retention_days = 30");
    assert_ne!(changed, text);
    std::fs::write(file, changed + &model_table("another", "mock", "ok")).unwrap();
    let told = check(&["--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["good"], &told["does"]["providers"][0]["terms"]), (&Value::Bool(true), &Value::from("retains")));
    let changes = told["running"]["changes"]["reloaded"].to_string();
    assert!(changes.contains("provider mock: changed") && changes.contains("model another: added"), "{told}");
    let models = told["does"]["models"].as_array().unwrap();
    let another = models.iter().find(|model| model["id"] == "another").unwrap();
    assert!(another["refused"].as_str().unwrap().contains("503 provider_terms"), "{another}");

    std::fs::write(file, text.replace("max_body_mib = 4", "max_body_mib = \"four\"")).unwrap();
    let wrong = check(&[]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(said(&wrong).contains("lethe.toml:4:"), "{}", said(&wrong));
    let wrong: Value = serde_json::from_slice(&check(&["--json"]).stdout).unwrap();
    assert_eq!((&wrong["good"], &wrong["problems"][0]["line"]), (&Value::Bool(false), &Value::from(4)));
}

#[test]
fn a_litellm_configuration_becomes_one_that_can_be_checked() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "model_list:\n- model_name: fast\n  litellm_params: {model: openai/gpt-5.4-mini, api_key: sk-not-to-be-copied}\n\
                litellm_settings: {cache: true}\n";
    std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
    let lethe = |arguments: &[&str]| {
        let mut command = Command::new(built().join("lethe"));
        command.args(arguments).current_dir(folder.path()).env("OPENAI_API_KEY", "sk-test").env_remove("LETHE_STATE");
        command.output().unwrap()
    };
    let imported = lethe(&["import", "litellm", "config.yaml", "--out", "lethe.toml"]);
    assert_eq!(imported.status.code(), Some(0), "{}", said(&imported));
    let text = std::fs::read_to_string(folder.path().join("lethe.toml")).unwrap();
    assert!(text.contains("answers are never cached") && !text.contains("not-to-be-copied"), "{text}");
    let checked = lethe(&["config", "check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    assert!(said(&checked).contains("no terms are recorded"), "{}", said(&checked));

    let again = lethe(&["import", "litellm", "config.yaml", "--out", "lethe.toml"]);
    assert_eq!(again.status.code(), Some(64), "nothing is overwritten: {}", said(&again));
    let printed = lethe(&["import", "litellm", "config.yaml"]);
    assert_eq!(String::from_utf8_lossy(&printed.stdout).trim(), text.trim());
    std::fs::write(folder.path().join("broken.yaml"), "model_list: [").unwrap();
    let broken = lethe(&["import", "litellm", "broken.yaml"]);
    assert_eq!(broken.status.code(), Some(64));
    assert!(said(&broken).contains("broken.yaml:"), "{}", said(&broken));
}
