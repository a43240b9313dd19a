//! A configuration that cannot be meant is refused with file, line and what to write instead, exit code 64.

use std::process::Command;

use lethe_testkit::lethe::{built, model_table, provider_table};

fn check(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("key"), "sk-never-shown").unwrap();
    let state = folder.path().join("state");
    let output = Command::new(built().join("lethe"))
        .args(["up", "--config", path.to_str().unwrap(), "--state", state.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("sk-never-shown"), "{said}");
    (output.status.code(), said)
}

fn refused(text: &str, names: &[&str]) {
    let (code, said) = check(text);
    assert_eq!(code, Some(64), "{said}");
    for name in names {
        assert!(said.contains(name), "{name:?} in: {said}");
    }
}

#[test]
fn each_mistake_is_named() {
    refused("[gateway]\nlisen = \"127.0.0.1:0\"\n", &["lethe.toml", "2", "lisen", "listen"]);
    refused("[gateway]\nlisten = \"0.0.0.0:0\"\n", &["lethe.toml", "2", "tls"]);
    refused(
        "[[provider]]\npreset = \"openai\"\napi_key = { env = \"LETHE_TEST_NO_SUCH_VARIABLE\" }\n",
        &["LETHE_TEST_NO_SUCH_VARIABLE"],
    );
    refused("[[provider]]\npreset = \"openai\"\napi_key = { file = \"/nonexistent/key\" }\n", &["/nonexistent/key"]);
    refused("[[provider]]\npreset = \"openai\"\napi_key = \"sk-never-shown\"\n", &["lethe.toml", "env", "file"]);
    let plain = provider_table("p", "http://192.0.2.1/v1", "", "key")
        .replace("allow_private_network = true\n", "")
        .replace("ca = \"\"\n", "");
    refused(&(plain + &model_table("m", "p", "m")), &["allow_private_network"]);
}
