//! Every refusal: where it points, what it says to write instead, and that it repeats no secret.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::{ffi::OsString, path::Path};

use lethe_config::{ClientTls, Config, ConfigError, Provider, Scheme};
use lethe_policy::{ApiRules, Credential};
use lethe_types::{Api, Capability};

const SECRET: &str = "sk-0123456789-very-secret";

const PROVIDER: &str = r#"
[[provider]]
id = "openai"
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = { env = "KEY" }
[provider.terms]
training = "never"
retention_days = 0
reviewed = 2026-10-01
review_due = 2027-10-01
"#;

const MODEL: &str = r#"
[[model]]
id = "gpt-5-mini"
operations = ["chat"]
routes = [{ provider = "openai" }]
"#;

fn environment(name: &str) -> Option<OsString> {
    match name {
        "KEY" => Some(SECRET.into()),
        "EMPTY" => Some("".into()),
        "BROKEN" => Some(format!("{SECRET}\n{SECRET}").into()),
        _ => None,
    }
}

fn credential(provider: &Provider) -> &[u8] {
    match &provider.credential {
        Credential::Key(key) => key.expose(),
        Credential::Awaited | Credential::Aws { .. } | Credential::Bearer(_) | Credential::None => panic!("no key"),
    }
}

fn chat(provider: &Provider) -> &ApiRules {
    provider.rules.for_api(Api::Chat).unwrap()
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    lethe_config::parse(text, Path::new("lethe.toml"), &environment)
}

fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The whole error, which must not hold the secret.
fn refused(text: &str) -> String {
    let error = parse(text).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string();
    assert!(!error.contains(SECRET) && !error.contains("sk-"), "the secret is repeated: {error}");
    error
}

/// `text` is refused at `place`, and the message holds every part of `says`.
fn refused_at(text: &str, place: &str, says: &[&str]) {
    let error = refused(text);
    assert!(error.starts_with(&format!("lethe.toml:{place}: ")), "expected {place}: {error}");
    for part in says {
        assert!(error.contains(part), "expected {part:?} in: {error}");
    }
}

/// The good provider and model with one line replaced. The replaced line is line 1 + `n` of the provider.
fn with(from: &str, to: &str) -> String {
    let text = format!("{PROVIDER}{MODEL}");
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn the_text_that_all_cases_start_from_is_accepted() {
    let config = accepted(&format!("{PROVIDER}{MODEL}"));
    let provider = &config.providers[0];
    assert_eq!((provider.id.as_str(), provider.base_url.scheme, provider.base_url.port), ("openai", Scheme::Https, 443));
    assert_eq!(credential(provider), SECRET.as_bytes());
    let forced = [("store".to_owned(), "false".to_owned())];
    assert_eq!((provider.preset, chat(provider).force.as_slice()), ("openai", forced.as_slice()), "by its host");
    let terms = &provider.terms.as_ref().unwrap().terms;
    assert_eq!((terms.reviewed, terms.review_due), (1_790_812_800_000, 1_822_348_800_000));
    let model = &config.models[0];
    assert_eq!((model.capabilities.as_slice(), model.routes[0].model.as_str()), ([Capability::Chat].as_slice(), "gpt-5-mini"));
    assert!(!config.engine.enabled, "a provider is configured");
    assert!(config.notices.is_empty());
}

#[test]
fn nothing_is_needed_for_the_embedded_engine() {
    let config = accepted("");
    assert!(config.engine.enabled && config.providers.is_empty());
    assert_eq!(config.gateway.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.gateway.probes.to_string(), "127.0.0.1:8081");
    assert_eq!(config.control.console.to_string(), "127.0.0.1:8443");
}

#[test]
fn unknown_fields_and_broken_toml() {
    refused_at("[gateway]\nlisten_on = \"127.0.0.1:1\"", "2:1", &["unknown field `listen_on`", "`listen`"]);
    refused_at("[gatway]\n", "1:2", &["unknown field `gatway`", "`gateway`"]);
    refused_at("[gateway]\nmax_body_mb = 3", "2:1", &["max_body_mib"]);
    refused_at(&with("retention_days = 0", "retention_days = 0\nsecret_ok = true"), "10:1", &["unknown field `secret_ok`"]);
    refused_at(
        &with("provider = \"openai\" }", "provider = \"openai\", wieght = 1 }"),
        "16:34",
        &["unknown field `wieght`", "weight"],
    );
    refused_at("[gateway\n", "1:9", &[]);
    refused_at("[gateway]\nworkers = \"two\"\n", "2:11", &["string does not belong here"]);
    refused_at("[gateway]\nworkers = 2\nworkers = 3\n", "3:1", &["duplicate key"]);
    let missing = lethe_config::load(Path::new("/nonexistent/lethe.toml")).err().unwrap();
    assert!(missing.to_string().contains("/nonexistent/lethe.toml:1:1: the file cannot be read"));
}

#[test]
fn every_problem_is_told_at_once_in_order() {
    let error = parse("[engine]\nthreads = 0\n[gateway]\nlisten = \"here\"\nmax_body_mib = 0\n").err().unwrap();
    let lines: Vec<u32> = error.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 4, 5]);
}

#[test]
fn beyond_loopback_needs_tls() {
    let open = "[gateway]\nlisten = \"0.0.0.0:8080\"\n";
    refused_at(open, "2:10", &["tls = { cert", "terminated-by-proxy", "trusted_peers", "127.0.0.1"]);
    refused_at("[gateway]\nlisten = \"[::]:8080\"\n", "2:10", &["tls"]);
    accepted("[gateway]\nlisten = \"[::1]:8080\"\n");
    refused_at(&format!("{open}tls = \"terminated-by-proxy\"\n"), "3:7", &["trusted_peers = [\"10.0.0.5\"]"]);
    refused_at(&format!("{open}tls = \"terminated-by-proxy\"\ntrusted_peers = []\n"), "4:17", &["trusted_peers = ["]);
    refused_at(&format!("{open}tls = \"terminated-by-proxy\"\ntrusted_peers = [\"10.0.0.5/8\"]\n"), "4:18", &["10.0.0.0/24"]);
    refused_at(&format!("{open}tls = \"none\"\n"), "3:7", &["terminated-by-proxy"]);
    refused_at(&format!("{open}tls = {{ cert = \"x.pem\" }}\n"), "3:7", &["missing field `key`"]);
    refused_at(
        &format!("{open}tls = {{ cert = \"absent.pem\", key = \"absent.pem\" }}\n"),
        "3:16",
        &["absent.pem cannot be read"],
    );
    refused_at("[gateway]\ntrusted_peers = [\"10.0.0.5\"]\n", "2:17", &["terminated-by-proxy"]);
    let config = accepted(&format!("{open}tls = \"terminated-by-proxy\"\ntrusted_peers = [\"10.0.0.0/24\"]\n"));
    assert!(matches!(config.gateway.tls, ClientTls::TerminatedByProxy { trusted_peers } if trusted_peers.len() == 1));
}

#[test]
fn addresses_and_bounds() {
    refused_at("[gateway]\nlisten = \"localhost:8080\"\n", "2:10", &["listen = \"127.0.0.1:8080\""]);
    refused_at("[gateway]\nprobes = \"127.0.0.1:8080\"\n", "2:10", &["same address"]);
    accepted("[gateway]\nlisten = \"127.0.0.1:0\"\nprobes = \"127.0.0.1:0\"\n");
    refused_at("[gateway]\nworkers = 0\n", "2:11", &["from 1 to 256"]);
    refused_at("[gateway]\nmax_stale_seconds = 0\n", "2:21", &["from 2 to 3600"]);
    refused_at("[gateway]\nmax_pending_records = 99\n", "2:23", &["from 100 to 10000000"]);
    refused_at("[gateway]\nmetering = \"lax\"\n", "2:12", &["metering = \"strict\""]);
    assert_eq!(accepted("[gateway]\nmetering = \"strict\"\n").gateway.metering, lethe_config::Metering::Strict);
    refused_at("[control]\nconsole = \"0.0.0.0:8443\"\n", "2:11", &["loopback only", "127.0.0.1:8443"]);
    refused_at("[engine]\nenabled = false\n", "2:11", &["nothing is left"]);
    refused_at("[engine]\nmodel = \"absent.gguf\"\n", "2:9", &["absent.gguf", "GGUF"]);
}

#[test]
fn stores() {
    refused_at(
        &format!("[control]\nstore = \"postgres://user:{SECRET}@host/db\"\n"),
        "2:9",
        &["not in this version", "sqlite:control.db"],
    );
    for store in ["control.db", "sqlite:", "sqlite::memory:", "sqlite://x", "sqlite:x?mode=ro", "mysql://x"] {
        refused_at(&format!("[control]\nstore = \"{store}\"\n"), "2:9", &["sqlite:control.db"]);
    }
}

#[test]
fn secrets_stand_elsewhere() {
    let key = "{ env = \"KEY\" }";
    let place = "6:11";
    refused_at(&with(key, &format!("\"{SECRET}\"")), place, &["never stands in the file", "{ env = \"NAME\" }"]);
    refused_at(&with(key, "12345"), place, &["{ env = \"NAME\" }"]);
    refused_at(&with(key, &format!("[\"{SECRET}\"]")), place, &["{ env = \"NAME\" }"]);
    refused_at(&with(key, "{}"), place, &["{ env = \"NAME\" }"]);
    for value in [
        format!("{{ value = \"{SECRET}\" }}"),
        format!("{{ \"{SECRET}\" = 1 }}"),
        format!("{{ env = \"{SECRET}\" }}"),
        "{ env = 7 }".to_owned(),
        format!("{{ env = \"KEY\", file = \"{SECRET}\" }}"),
    ] {
        let error = refused(&with(key, &value));
        assert!(error.starts_with("lethe.toml:6:"), "{error}");
    }
    refused_at(&with(key, "{ env = \"NO_SUCH\" }"), place, &["NO_SUCH is not set", "export"]);
    refused_at(&with(key, "{ env = \"EMPTY\" }"), place, &["EMPTY is empty"]);
    refused_at(&with(key, "{ env = \"BROKEN\" }"), place, &["BROKEN holds"]);
    refused_at(&with(key, "{ file = \"absent.key\" }"), place, &["absent.key cannot be read"]);
    refused_at(&with("api_key = { env = \"KEY\" }\n", ""), "2:1", &["api_key = { env = \"OPENAI_API_KEY\" }"]);
    // A secret that slipped into another place is not repeated either.
    refused(&with("retention_days = 0", &format!("retention_days = \"{SECRET}\"")));
    refused(&with("\"https://api.openai.com/v1\"", &format!("\"https://{SECRET}@api.openai.com/v1\"")));
    refused(&with("\"https://api.openai.com/v1\"", &format!("\"https://api.openai.com/v1?key={SECRET}\"")));
    refused(&with("dialect = \"openai\"", &format!("dialect = \"{SECRET}\"")));
    refused(&with("training = \"never\"", &format!("training = \"{SECRET}\"")));
}

#[test]
fn a_secret_file_holds_the_secret_alone() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("openai.key");
    let text = with("{ env = \"KEY\" }", "{ file = \"openai.key\" }");
    let parse = || lethe_config::parse(&text, &folder.path().join("lethe.toml"), &environment);
    std::fs::write(&key, format!("{SECRET}\r\n")).unwrap();
    assert_eq!(credential(&parse().unwrap().providers[0]), SECRET.as_bytes());
    std::fs::write(&key, format!("{SECRET} {SECRET}")).unwrap();
    assert!(parse().err().unwrap().to_string().contains("must hold the secret alone"));
    std::fs::write(&key, vec![b'x'; 100_000]).unwrap();
    assert!(parse().err().unwrap().to_string().contains("is larger than"));
}

#[test]
fn private_networks_are_asked_for() {
    let url = "\"https://api.openai.com/v1\"";
    for address in
        ["https://127.0.0.1/v1", "https://localhost/v1", "https://10.0.0.5/v1", "https://[fd00::1]/v1", "http://192.168.0.1:8000"]
    {
        refused_at(&with(url, &format!("\"{address}\"")), "5:12", &["allow_private_network = true"]);
        accepted(&with(url, &format!("\"{address}\"\nallow_private_network = true")));
    }
    refused_at(&with(url, "\"http://api.example.com/v1\""), "5:12", &["https://", "allow_private_network = true"]);
    let config = accepted(&with(url, "\"http://vllm.example.com/v1\"\nallow_private_network = true"));
    assert!(config.notices[0].message.contains("operator's assertion"));
    let provider = &config.providers[0];
    assert_eq!((provider.preset, chat(provider).force.len()), ("openai-compatible", 0), "any other host");
    refused_at(&with(url, "\"http://8.8.8.8/v1\"\nallow_private_network = true"), "5:12", &["public"]);
    refused_at(&with(url, "\"https://0.0.0.0/v1\"\nallow_private_network = true"), "5:12", &["nobody answers"]);
    refused_at(&with(url, "\"api.openai.com\""), "5:12", &["starts with https://"]);
}

#[test]
fn providers() {
    refused_at(&format!("{PROVIDER}{PROVIDER}{MODEL}"), "14:6", &["two providers with the id \"openai\""]);
    refused_at(&with("id = \"openai\"", "id = \"Open AI\""), "3:6", &["an id is"]);
    refused_at(&with("id = \"openai\"\n", ""), "2:1", &["no id", "id = \"openai\""]);
    refused_at(&with("dialect = \"openai\"", "dialect = \"klingon\""), "4:11", &["no such dialect", "\"anthropic\" or"]);
    refused_at(
        &with("dialect = \"openai\"", "dialect = \"openai\"\npreset = \"anthropic\""),
        "4:11",
        &["the preset speaks \"anthropic\""],
    );
    refused_at(&with("dialect = \"openai\"\n", ""), "2:1", &["dialect = \"openai\""]);
    refused_at(&with("base_url = \"https://api.openai.com/v1\"\n", ""), "2:1", &["base_url = "]);
    refused_at(
        &with("dialect = \"openai\"", "preset = \"opnai\""),
        "4:10",
        &["no such preset", "\"openai\" or \"openai-compatible\""],
    );
    refused_at(&with("id = \"openai\"", "id = \"openai\"\nca = \"absent.pem\""), "4:6", &["absent.pem cannot be read"]);
    refused_at(&with("id = \"openai\"", "id = \"openai\"\ntotal_seconds = 10"), "4:17", &["shorter than first_byte_seconds"]);
    refused_at(
        &with("id = \"openai\"", "id = \"openai\"\nallow_fields = [\"store\"]"),
        "4:17",
        &["`store` cannot be allowed", "nothing is stored"],
    );
    refused_at(&with("id = \"openai\"", "id = \"openai\"\nallow_fields = [\"Top-K\"]"), "4:17", &["allow_fields = [\"top_k\"]"]);
    let config = accepted(&with("id = \"openai\"", "id = \"openai\"\nallow_fields = [\"top_k\"]"));
    let provider = &config.providers[0];
    assert!(chat(provider).fields.contains(&"top_k".to_owned()) && chat(provider).fields.is_sorted());
    assert_eq!(provider.allowed_fields, ["top_k"]);
    assert_eq!(config.notices.len(), 1);
}

#[test]
fn a_provider_needs_models() {
    refused_at(PROVIDER, "3:6", &["has no models", "no model leads to it", "[[model]]", "routes = [{ provider = \"openai\""]);
    let config = accepted(&format!("[[provider]]\npreset = \"openai\"\napi_key = {{ env = \"KEY\" }}\n{MODEL}"));
    assert_eq!(config.providers[0].base_url.host, "api.openai.com");
    assert_eq!(config.models.len(), 1, "what the file says of models holds alone");
    assert!(config.notices[0].message.contains("503 provider_terms"), "no terms: told, and allowed");
}

#[test]
fn terms() {
    refused_at(&with("reviewed = 2026-10-01", "reviewed = \"2026-10-01\""), "10:12", &["without quotes", "2026-10-01"]);
    refused_at(&with("reviewed = 2026-10-01", "reviewed = 2026-10-01T00:00:00Z"), "10:12", &["without a time"]);
    refused_at(&with("reviewed = 2026-10-01", "reviewed = 2026-02-30"), "10:12", &[]);
    refused_at(&with("reviewed = 2026-10-01", "reviewed = 1812-10-01"), "10:12", &["no such day"]);
    refused_at(&with("review_due = 2027-10-01", "review_due = 2026-10-01"), "11:14", &["before the review"]);
    refused_at(&with("training = \"never\"", "training = \"maybe\""), "8:12", &["\"never\" or \"allowed\""]);
    refused_at(&with("retention_days = 0", "retention_days = -1"), "9:18", &[]);
    refused_at(&with("retention_days = 0\n", ""), "7:1", &["missing field `retention_days`"]);
    for (from, to, notice) in [
        ("training = \"never\"", "training = \"allowed\"", "may train"),
        ("retention_days = 0", "retention_days = 30", "keeps content"),
        ("review_due = 2027-10-01", "review_due = 2029-10-01", "more than a year"),
    ] {
        let config = accepted(&with(from, to));
        assert!(config.notices.iter().any(|told| told.message.contains(notice)), "{to}");
    }
}

#[test]
fn models() {
    refused_at(&format!("{PROVIDER}{MODEL}{MODEL}"), "19:6", &["two models with the id \"gpt-5-mini\""]);
    refused_at(&with("id = \"gpt-5-mini\"", "id = \"gpt-*-mini\""), "14:6", &["one * at the end"]);
    refused_at(&with("id = \"gpt-5-mini\"", "id = \"gpt 5\""), "14:6", &["without spaces"]);
    refused_at(&with("[\"chat\"]", "[]"), "15:14", &["operations = [\"chat\"]"]);
    refused_at(&with("[\"chat\"]", "[\"chat\", \"fax\"]"), "15:23", &["no such operation"]);
    refused_at(&with("[\"chat\"]", "[\"video\"]"), "15:14", &["no operation that this version serves"]);
    refused_at(&with("[\"chat\"]", "[\"rerank\"]"), "16:24", &["no way to be asked for rerank"]);
    let error = refused(&with("{ provider = \"openai\" }", ""));
    assert!(error.contains("\nlethe.toml:16:10: this model has no route"), "{error}");
    refused_at(
        &with("{ provider = \"openai\" }", "{ provider = \"opnai\" }"),
        "16:24",
        &["no provider \"opnai\"", "write \"openai\""],
    );
    refused_at(&with("{ provider = \"openai\" }", "{ provider = \"openai\", weight = 0 }"), "16:43", &["from 1 to 1000"]);
    let config = accepted(&with("[\"chat\"]", "[\"responses\", \"chat\", \"messages\", \"images\"]"));
    assert_eq!(config.models[0].capabilities, [Capability::Chat], "any chat model serves all chat formats");
    assert!(config.notices[0].message.contains("\"images\" is not in this version"));
}

#[test]
fn prices() {
    let routes = "routes = [{ provider = \"openai\" }]";
    let price = |price: &str| with(routes, &format!("{routes}\nprice = {{ {price} }}"));
    refused_at(&price("currency = \"USD\", input_per_million = 0.25"), "17:49", &["does not belong here"]);
    for amount in ["", ".5", "1.", "-1", "1e3", "1,5", "0.1234567891", "12345678901234"] {
        refused_at(&price(&format!("currency = \"USD\", input_per_million = \"{amount}\"")), "17:49", &["write \"0.25\""]);
    }
    refused_at(&price("currency = \"dollar\", input_per_million = \"1\""), "17:22", &["currency = \"USD\""]);
    let config = accepted(&price("currency = \"USD\", input_per_million = \"0.25\", output_per_million = \"2.00\""));
    let price = config.models[0].price.as_ref().unwrap();
    assert_eq!((price.input_per_million.nano_units(), price.output_per_million.nano_units()), (250_000_000, 2_000_000_000));
}
