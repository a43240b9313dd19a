//! The operator interface over both doors, and what a start leaves and finds.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "the harness is shared with the tests of the link")]

mod harness;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::{Control, start};
use lethe_control::start::ControlStart;
use lethe_control::{Authority, ControlError, Listeners, Mishaps, run};
use lethe_policy::endpoints::SignedEndpoints;
use lethe_types::{Clock, SystemClock};
use tempfile::TempDir;

#[tokio::test]
async fn keys_are_made_shown_once_and_revoked() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let made = control.ask("POST", "/v1/keys", r#"{"name":"build server"}"#).await;
    assert_eq!(made.status, 201);
    let key = made.body["key"].as_str().unwrap();
    assert!(key.starts_with("lethe_") && key.len() == 6 + 43);

    let listed = control.ask("GET", "/v1/keys", "").await;
    assert_eq!(listed.body["keys"].as_array().unwrap().len(), 2);
    assert_eq!(listed.body["keys"][1]["name"], "build server");
    let page = control.ask("GET", "/v1/keys?after=1&limit=1", "").await.body;
    assert_eq!((page["keys"].as_array().unwrap().len(), &page["keys"][0]["id"], &page["next"]), (1, &2.into(), &2.into()));
    let last = control.ask("GET", "/v1/keys?after=2", "").await.body;
    assert_eq!((last["keys"].as_array().unwrap().len(), &last["next"]), (0, &2.into()));
    assert!(!listed.body.to_string().contains(key));

    assert_eq!(control.ask("DELETE", "/v1/keys/2", "").await.status, 200);
    let since = &control.ask("GET", "/v1/keys", "").await.body["keys"][1]["revoked_ms"];
    assert!(since.is_u64());
    assert_eq!(&control.ask("DELETE", "/v1/keys/2", "").await.body["revoked_ms"], since);
    control.end().await;

    // The clear key is in no file; that its name is shows that looking would find it.
    let found = |needle: &[u8]| {
        let database = std::fs::read(folder.path().join("control.db")).unwrap();
        database.windows(needle.len()).any(|window| window == needle)
    };
    assert!(found(b"build server"));
    assert!(!found(key.as_bytes()) && !found(&key.as_bytes()[6..]));
}

#[tokio::test]
async fn a_keys_region_is_kept_and_listed() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    for (body, region) in [
        (r#"{"name":"clinic","region":"eu"}"#, Some("eu")),
        (r#"{"name":"longest","region":"eu-central-1-ab"}"#, Some("eu-central-1-ab")),
        (r#"{"name":"null","region":null}"#, None),
        (r#"{"name":"nowhere"}"#, None),
    ] {
        let made = control.ask("POST", "/v1/keys", body).await;
        assert_eq!((made.status, made.body["region"].as_str()), (201, region), "{body}");
    }
    let regions = |body: &serde_json::Value| -> Vec<Option<String>> {
        body["keys"].as_array().unwrap().iter().map(|key| key["region"].as_str().map(str::to_owned)).collect()
    };
    let expected = [None, Some("eu"), Some("eu-central-1-ab"), None, None].map(|region| region.map(str::to_owned));
    assert_eq!(regions(&control.ask("GET", "/v1/keys", "").await.body), expected);
    control.end().await;
    let again = Control::start(&folder).await;
    assert_eq!(regions(&again.ask("GET", "/v1/keys", "").await.body), expected, "another start has them");
    again.end().await;
}

#[tokio::test]
async fn a_refusal_is_json_with_a_code_and_nothing_is_cached() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let long = format!(r#"{{"name":"{}"}}"#, "n".repeat(65));
    let large = format!(r#"{{"name":"{}"}}"#, "n".repeat(20_000));
    let cases = [
        ("POST", "/v1/keys", "canary-text", 400, "invalid_body"),
        ("POST", "/v1/keys", r#"{"name":"canary-text","more":1}"#, 400, "invalid_body"),
        ("POST", "/v1/keys", large.as_str(), 400, "invalid_body"),
        ("POST", "/v1/keys", r#"{"name":""}"#, 400, "invalid_name"),
        ("POST", "/v1/keys", long.as_str(), 400, "invalid_name"),
        ("POST", "/v1/keys", r#"{"name":"n","region":"Canary-Text"}"#, 400, "invalid_region"),
        ("POST", "/v1/keys", r#"{"name":"n","region":""}"#, 400, "invalid_region"),
        ("POST", "/v1/keys", r#"{"name":"n","region":"canary-text-that"}"#, 400, "invalid_region"),
        ("POST", "/v1/keys", r#"{"name":"n","region":["eu"]}"#, 400, "invalid_body"),
        ("GET", "/v1/keys?after=canary-text", "", 400, "invalid_query"),
        ("PUT", "/v1/keys", "", 405, "method_not_allowed"),
        ("DELETE", "/v1/keys/77", "", 404, "not_found"),
        ("DELETE", "/v1/keys/canary-text", "", 404, "not_found"),
        ("GET", "/v1/records?after=canary-text", "", 400, "invalid_query"),
        ("GET", "/v1/records?canary-text=1", "", 400, "invalid_query"),
        ("GET", "/canary-text", "", 404, "not_found"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = control.ask(method, path, body).await;
        assert_eq!((answer.status, answer.body["error"]["code"].as_str()), (status, Some(code)), "{method} {path}");
        assert!(answer.body["error"]["message"].is_string());
        assert!(!answer.body.to_string().to_ascii_lowercase().contains("canary"));
        assert!(answer.head.contains("cache-control: no-store"));
    }
    for path in ["/v1/keys", "/v1/records?after=0&limit=5", "/v1/status"] {
        let answer = control.ask("GET", path, "").await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("cache-control: no-store"));
    }
    control.end().await;
}

#[tokio::test]
async fn the_console_needs_a_token_that_only_the_socket_gives() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let operations = [
        ("GET", "/v1/records"),
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("DELETE", "/v1/keys/1"),
        ("GET", "/v1/status"),
        ("GET", "/v1/diagnosis"),
        ("GET", "/metrics"),
        ("POST", "/v1/tokens"),
        ("GET", "/nowhere"),
    ];
    let made = control.ask("POST", "/v1/tokens", "").await;
    assert_eq!(made.status, 201);
    let token = made.body["token"].as_str().unwrap();
    assert!(token.starts_with("lethe_op_"));
    let key = control.ready.first_key.clone().unwrap();
    let wrong = ["", token, &format!("Bearer {token}x"), &format!("Bearer {key}"), "Bearer ", &format!("Basic {token}")]
        .map(|value| if value.is_empty() { String::new() } else { format!("Authorization: {value}\r\n") });
    for (method, path) in operations {
        for headers in &wrong {
            let answer = control.ask_console(method, path, headers).await;
            assert_eq!((answer.status, &answer.body["error"]["code"]), (401, &"unauthorized".into()), "{method} {path}");
            assert!(answer.head.contains("cache-control: no-store"));
        }
    }
    let right = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(control.ask_console("GET", "/v1/status", &right).await.status, 200);
    assert_eq!(control.ask_console("GET", "/nowhere", &right).await.status, 404);
    let more = control.ask_console("POST", "/v1/tokens", &right).await;
    assert_eq!((more.status, &more.body["error"]["code"]), (403, &"socket_only".into()));
    // Nothing that a stranger asked for was done.
    assert_eq!(control.ask("GET", "/v1/keys", "").await.body["keys"][0]["revoked_ms"], serde_json::Value::Null);
    control.end().await;
}

#[tokio::test]
async fn a_second_start_finds_the_authority_and_makes_no_second_first_key() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let first = control.ready.clone();
    control.end().await;
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("authority"), 0o700);
    for name in ["authority/authority.crt", "authority/authority.key", "authority/endpoints.key", "control.db"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }

    let control = Control::start(&folder).await;
    assert!(first.first_key.is_some() && control.ready.first_key.is_none());
    assert_eq!((first.verify_key, &first.authority), (control.ready.verify_key, &control.ready.authority));
    let version = |endpoints: &[u8]| SignedEndpoints::verify(endpoints, &first.verify_key).unwrap().version;
    assert!(version(&control.ready.endpoints) > version(&first.endpoints));
    // An identity of the first start is still good.
    let gateway = &first.identities[0].1;
    let mut gateway = control.connect(Some(gateway)).await.unwrap();
    gateway.hello(harness::INSTANCE).await;
    assert!(gateway.hear().await.is_some());
    drop(gateway);
    control.end().await;
}

#[test]
fn a_damaged_authority_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let now = SystemClock.now();
    let certificate = Authority::open(folder.path(), now).unwrap().certificate().clone();
    assert_eq!(Authority::open(folder.path(), now).unwrap().certificate(), &certificate);
    std::fs::write(folder.path().join("authority/authority.key"), b"x").unwrap();
    assert_eq!(Authority::open(folder.path(), now).err(), Some(ControlError::Authority));
    std::fs::remove_file(folder.path().join("authority/authority.key")).unwrap();
    assert_eq!(Authority::open(folder.path(), now).err(), Some(ControlError::Authority));
}

async fn refused(folder: &Path, change: impl FnOnce(&mut ControlStart)) -> Option<ControlError> {
    let mut start = start(folder);
    change(&mut start);
    let socket = folder.join("refused.sock");
    let _ = std::fs::remove_file(&socket);
    let operator = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let link = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = Listeners { link, console: None, operator };
    run(
        start,
        listeners,
        harness::outside(std::sync::Arc::new(SystemClock)),
        harness::no_supervisor(),
        std::future::ready(()),
        drop,
        Mishaps::default(),
    )
    .await
    .err()
}

#[tokio::test]
async fn a_configuration_that_contradicts_itself_does_not_start() {
    let folder = TempDir::new().unwrap();
    let again = |start: &mut ControlStart, id: &str, allow_private: bool| {
        let mut other = start.providers[0].clone();
        other.provider.id = id.into();
        other.allow_private = allow_private;
        start.providers.push(other);
    };
    assert_eq!(refused(folder.path(), |start| again(start, "engine", true)).await, Some(ControlError::DuplicateProvider));
    let contradicting = refused(folder.path(), |start| again(start, "other", false)).await;
    assert_eq!(contradicting, Some(ControlError::ContradictingProviders));
    let unknown = refused(folder.path(), |start| start.models[0].routes[0].provider = "nobody".into()).await;
    assert_eq!(unknown, Some(ControlError::UnknownProvider));
    let role = refused(folder.path(), |start| start.issue.push(lethe_handover::Role::Dialer)).await;
    assert_eq!(role, Some(ControlError::Role));
    // The control.
    assert_eq!(refused(folder.path(), |start| again(start, "other", true)).await, None);
}
