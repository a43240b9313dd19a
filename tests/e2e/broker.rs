//! Credentials that expire, and files of secrets that are replaced: control obtains, renews and hands on, and no request fails for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use lethe_testkit::canary::Canary;
use lethe_testkit::client::Answer;
use lethe_testkit::lethe::{Lethe, PROVIDER_KEY, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use lethe_testkit::provider::sigv4::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use lethe_testkit::scan::Scanner;
use lethe_testkit::tokens::{CLIENT_SECRET, Tokens};

use crate::supervision::wait_until;
use crate::{CHAT, chat};

const LIMIT: Duration = Duration::from_secs(60);
/// A life that is short for a test, and of which a third is long against whatever a busy machine holds up.
const SHORT: Duration = Duration::from_secs(6);
const LONG: Duration = Duration::from_secs(3600);

/// A provider, a server that gives credentials out for it, both with TLS, and what leads to them.
struct Scene {
    provider: Provider,
    tokens: Tokens,
    setup: Setup,
}

impl Scene {
    fn new(life: Duration) -> Self {
        let pki = Pki::new();
        let scene = Self {
            provider: Provider::start(Some(pki.server())),
            tokens: Tokens::start(Some(pki.server()), life),
            setup: Setup::engine(),
        };
        scene.file("ca.pem", &pki.authority_pem);
        scene
    }

    /// A file beside the configuration, which every user of this machine can read; its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.setup.folder().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path.display().to_string()
    }

    /// Starts with one provider of this dialect, with these lines, and one model.
    fn start(mut self, dialect: &str, path: &str, lines: &str, model: &str) -> Running {
        self.setup.config = Some(format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\n\n[[provider]]\nid = \"cloud\"\ndialect = \"{dialect}\"\n\
             base_url = \"https://localhost:{}{path}\"\nca = \"ca.pem\"\nallow_private_network = true\n{lines}\n\
             [provider.terms]\ntraining = \"never\"\nretention_days = 0\nagreement = \"test\"\nreviewed = 2026-01-01\n\
             review_due = 2099-01-01\n\n\
             [[model]]\nid = \"m\"\noperations = [\"chat\"]\nroutes = [{{ provider = \"cloud\", model = \"{model}\" }}]\n",
            self.provider.address.port()
        ));
        Running { lethe: self.setup.start(), provider: self.provider, tokens: self.tokens }
    }

    fn vertex(self, credentials: &str) -> Running {
        let lines =
            format!("project = \"p\"\nlocation = \"europe-west4\"\ngoogle = {{ credentials = {{ file = \"{credentials}\" }} }}");
        self.start("vertex", "/v1", &lines, "gemini-scripted-text")
    }

    fn azure(self, proof: &str) -> Running {
        let authority = self.tokens.url("https", "");
        let lines = format!("entra = {{ tenant = \"tenant-1\", client_id = \"app-1\", {proof}, authority = \"{authority}\" }}");
        self.start("azure-openai", "", &lines, "scripted-text")
    }

    fn bedrock(self, with: &str) -> Running {
        let sts = self.tokens.url("https", "/");
        let role = "arn:aws:iam::123456789012:role/lethe";
        let lines = format!("aws = {{ region = \"eu-central-1\", role = \"{role}\", sts_url = \"{sts}\", {with} }}");
        self.start("bedrock", "", &lines, "anthropic.claude-sonnet-4-5-scripted-text")
    }
}

struct Running {
    lethe: Lethe,
    provider: Provider,
    tokens: Tokens,
}

impl Running {
    fn ask(&self) -> Answer {
        self.lethe.client().post(CHAT, &chat("m", ""))
    }

    /// What the provider was shown with each request.
    fn shown(&self) -> Vec<String> {
        let seen = self.provider.seen();
        let of = |header: &str| seen.iter().filter_map(|seen| seen.header(header)).map(str::to_owned).collect::<Vec<_>>();
        let session = of("x-amz-security-token");
        if session.is_empty() { of("authorization").iter().map(|value| value.replace("Bearer ", "")).collect() } else { session }
    }

    fn diagnosis(&self) -> serde_json::Value {
        serde_json::from_slice(&self.lethe.run(&["diagnose", "--json"]).stdout).unwrap()
    }
}

/// Asks again and again until `done`; every answer must be good.
fn asks_well_until(running: &Running, done: impl Fn(&Running) -> bool) {
    let deadline = Instant::now() + LIMIT;
    let mut client = running.lethe.client();
    while !done(running) {
        let answer = client.post(CHAT, &chat("m", ""));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(Instant::now() < deadline, "not in time: {:?}", running.tokens.given());
    }
}

/// One after the other, and never one that had been replaced long before.
fn were_shown_in_order(running: &Running) {
    let (mut shown, given) = (running.shown(), running.tokens.given());
    shown.dedup();
    let mut used = given.iter().filter(|token| shown.contains(token)).cloned().collect::<Vec<_>>();
    used.dedup();
    assert_eq!(shown, used, "each for a while, and then the next: {given:?}");
    assert!(shown.len() >= 3, "{shown:?}");
}

#[test]
fn a_service_accounts_token_is_renewed_before_its_end_and_no_request_fails() {
    for as_ordinary_user in [false, true] {
        let mut scene = Scene::new(SHORT);
        scene.setup.as_ordinary_user = as_ordinary_user;
        let account = scene.file("account.json", &scene.tokens.service_account("https"));
        let running = scene.vertex(&account);
        asks_well_until(&running, |running| running.tokens.given().len() >= 4);
        were_shown_in_order(&running);
        assert_eq!(running.tokens.refused(), 0);
    }
}

#[test]
fn a_roles_keys_are_renewed_before_their_end_and_no_request_fails() {
    let scene = Scene::new(SHORT);
    let secret = scene.file("aws-secret", SECRET_ACCESS_KEY);
    let keys = format!("access_key_id = \"{ACCESS_KEY_ID}\", secret_access_key = {{ file = \"{secret}\" }}");
    let running = scene.bedrock(&keys);
    asks_well_until(&running, |running| running.tokens.given().len() >= 4);
    were_shown_in_order(&running);
}

#[test]
fn every_way_to_a_credential_leads_to_an_answer() {
    let user = Scene::new(LONG);
    let file = user.file("adc.json", &user.tokens.authorized_user("https"));
    let secret = Scene::new(LONG);
    let proof = format!("client_secret = {{ file = \"{}\" }}", secret.file("client-secret", CLIENT_SECRET));
    let federated = Scene::new(LONG);
    let assertion = format!("federated_token = {{ file = \"{}\" }}", federated.file("token", "federated.token"));
    let web = Scene::new(LONG);
    let identity = format!("web_identity_token = {{ file = \"{}\" }}", web.file("token", "web-identity.token"));
    let shared = Scene::new(LONG);
    let text = format!("[default]\naws_access_key_id = {ACCESS_KEY_ID}\naws_secret_access_key = {SECRET_ACCESS_KEY}\n");
    let credentials = format!("credentials = {{ file = \"{}\" }}", shared.file("credentials", &text));
    let all = [
        user.vertex(&file),
        secret.azure(&proof),
        federated.azure(&assertion),
        web.bedrock(&identity),
        shared.bedrock(&credentials),
    ];
    for running in all {
        let answer = running.ask();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(running.shown(), running.tokens.given(), "asked for once, before the first request");
    }
}

#[test]
fn what_cannot_be_renewed_serves_to_its_end_and_then_nothing_is_sent() {
    let scene = Scene::new(SHORT);
    let account = scene.file("account.json", &scene.tokens.service_account("https"));
    let running = scene.vertex(&account);
    assert_eq!(running.ask().status, 200);
    running.tokens.refuse(true);
    wait_until("the last token has ended", || (running.ask().status == 503).then_some(()));
    let answer = running.ask();
    assert_eq!(answer.json()["error"]["code"], "provider_credential", "{}", answer.text());
    let (shown, given) = (running.shown(), running.tokens.given());
    assert_eq!(shown.last(), given.last());
    assert!(running.tokens.refused() > 0);
    let arrived = running.provider.seen().len();
    assert_eq!(running.ask().status, 503);
    assert_eq!(running.provider.seen().len(), arrived, "nothing is sent without a credential");

    // It is told: what, why, and since how many tries, and no word of the server.
    let diagnosis = running.diagnosis();
    let told = &diagnosis["credentials"][0];
    assert_eq!((&told["provider"], &told["grant"]), (&"cloud".into(), &"Google service account".into()), "{diagnosis}");
    assert_eq!(
        (&told["failing"]["failure"], &told["expires_ms"]),
        (&"unauthorized".into(), &serde_json::Value::Null),
        "{diagnosis}"
    );
    assert!(!diagnosis.to_string().contains("the script says so"), "{diagnosis}");
    wait_until("the requests that were not served are counted", || {
        let failures = running.diagnosis()["failures"].as_array().unwrap().clone();
        failures.iter().any(|failure| failure["failure"] == "credential").then_some(())
    });
    let metrics = String::from_utf8(running.lethe.run(&["metrics"]).stdout).unwrap();
    assert!(metrics.contains("lethe_credential_expires_timestamp_seconds{provider=\"cloud\"} 0\n"), "{metrics}");
    assert!(metrics.contains("lethe_credential_failures_total{provider=\"cloud\",failure=\"unauthorized\"}"), "{metrics}");

    // Whoever asks on the command line hears the server's own words.
    let file = running.lethe.folder().join("lethe.toml").display().to_string();
    let test = running.lethe.run(&["provider", "test", "cloud", "--config", &file]);
    let said = String::from_utf8_lossy(&test.stdout).into_owned();
    assert!(!test.status.success() && said.contains("invalid_grant: the script says so"), "{said}");
    assert!(said.contains(&running.tokens.url("https", "/token")), "{said}");

    running.tokens.refuse(false);
    wait_until("there is one again", || (running.ask().status == 200).then_some(()));
    let test = running.lethe.run(&["provider", "test", "cloud", "--config", &file]);
    let said = String::from_utf8_lossy(&test.stdout).into_owned();
    assert!(test.status.success() && said.contains("credential"), "{said}");
    assert!(!said.contains(running.tokens.given().last().unwrap()), "{said}");
}

#[test]
fn what_a_credential_is_obtained_with_reaches_no_gateway() {
    let scene = Scene::new(LONG);
    let proof = format!("client_secret = {{ file = \"{}\" }}", scene.file("client-secret", CLIENT_SECRET));
    let running = scene.azure(&proof);
    assert_eq!(running.ask().status, 200);
    let token = running.tokens.given().remove(0);
    let pieces = [("secret", CLIENT_SECRET.to_owned()), ("token", token)];
    let scanner = Scanner::of(pieces.map(|(label, text)| (label.to_owned(), text.into_bytes())));
    let pid = |role| running.lethe.pid_now(role).unwrap();
    for role in ["gateway", "dialer"] {
        let found = || scanner.memory(pid(role)).is_empty().then_some(());
        wait_until("neither the secret nor the token is in ordinary memory", found);
    }
    let control = scanner.memory(pid("control"));
    assert!(control.iter().any(|found| found.contains("secret")), "control: who obtains it has it: {control:?}");
    let state = scanner.files(&running.lethe.state, running.lethe.born());
    assert!(state.is_empty(), "{state:?}");
}

#[test]
fn a_secret_file_that_is_replaced_is_used_without_a_reload() {
    for as_ordinary_user in [false, true] {
        let mut scene = Scene::new(LONG);
        scene.setup.as_ordinary_user = as_ordinary_user;
        let key = scene.file("provider-key", PROVIDER_KEY);
        let lines = format!("preset = \"openai-compatible\"\napi_key = {{ file = \"{key}\" }}");
        let running = scene.start("openai", "/v1", &lines, "ok");
        assert_eq!(running.ask().status, 200);
        assert_eq!(running.shown(), [PROVIDER_KEY]);

        // As Kubernetes and most tools do it: another file is moved there.
        let next = Canary::new("credential").value;
        let path = running.lethe.folder().join("provider-key");
        let replace = |text: &str| {
            fs::write(path.with_extension("new"), text).unwrap();
            fs::set_permissions(path.with_extension("new"), fs::Permissions::from_mode(0o644)).unwrap();
            fs::rename(path.with_extension("new"), &path).unwrap();
        };
        // Whatever else stands in the configuration file by now is nobody's order.
        let file = running.lethe.folder().join("lethe.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("id = \"m\"", "id = \"other\"")).unwrap();
        replace(&next);
        let shown = || (running.ask().status == 200 && running.shown().last() == Some(&next)).then_some(());
        wait_until("the new key is shown", shown);
        wait_until("it is told", || {
            running.lethe.printed().contains("refreshing of secrets: provider cloud: changed").then_some(())
        });

        // What cannot be used changes nothing, and is told once.
        replace("");
        wait_until("it is told", || running.lethe.printed().contains("no refreshing of secrets").then_some(()));
        assert_eq!(running.ask().status, 200);
        assert_eq!(running.shown().last(), Some(&next));
        let printed = running.lethe.printed();
        assert!(printed.contains("is empty") && !printed.contains(&next), "{printed}");
        let last = Canary::new("credential").value;
        replace(&last);
        wait_until("the last one is shown", || {
            (running.ask().status == 200 && running.shown().last() == Some(&last)).then_some(())
        });
        assert_eq!(running.lethe.printed().matches("no refreshing of secrets").count(), 1);
    }
}
