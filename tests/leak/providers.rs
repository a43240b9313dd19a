//! A Lethe with every dialect of provider behind it. A client's `anthropic/text-…` is that provider's `scripted-text-…`, so that what a client
//! writes as a model's name goes all the way.

use std::fmt::Write as _;
use std::fs;

use lethe_testkit::lethe::{PROVIDER_KEY, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::{Provider, sigv4};

/// Id, path of the base URL, further lines of `[[provider]]`, and what is served.
const PROVIDERS: &[(&str, &str, &str, &[&str])] = &[
    ("anthropic", "", "dialect = \"anthropic\"\n", &["chat", "count_tokens"]),
    ("azure", "/openai/v1", "dialect = \"azure-openai\"\n", &["chat", "embeddings"]),
    ("bedrock", "", "dialect = \"bedrock\"\n", &["chat"]),
    ("cohere", "", "dialect = \"cohere\"\n", &["chat", "embeddings", "rerank"]),
    ("compatible", "/v1", "preset = \"openai-compatible\"\n", &["chat", "completions", "embeddings"]),
    // Behind the same server; what it is asked for fails.
    ("failing", "/v1", "preset = \"openai-compatible\"\n", &[]),
    ("gemini", "/v1beta", "dialect = \"gemini\"\n", &["chat", "count_tokens", "embeddings"]),
    ("jina", "/v1", "preset = \"jina\"\n", &["rerank"]),
    ("mistral", "/mistral/v1", "dialect = \"mistral\"\n", &["chat", "embeddings"]),
    ("ollama", "", "dialect = \"ollama\"\n", &["chat", "embeddings"]),
    ("openai", "/v1", "preset = \"openai\"\n", &["chat", "completions", "embeddings", "moderations"]),
    ("vertex", "/v1/projects/project/locations/eu", "dialect = \"vertex\"\n", &["chat"]),
];

/// What models do that have no wildcard.
const BEHAVIOURS: &[&str] =
    &["text", "tool", "think", "text-split", "error-400", "error-500", "text-midstream-error", "text-cut"];

/// Those that there are a second time, as `quick-…`: their silence is not borne for long.
const QUICK: &[&str] = &["anthropic", "cohere", "gemini", "openai"];

pub(crate) fn setup(provider: &Provider, pki: &Pki) -> Setup {
    let mut setup = Setup::engine();
    let write = |name: &str, text: &str| {
        let path = setup.folder().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (ca, chain, key) =
        (write("ca.pem", &pki.authority_pem), write("chain.pem", &pki.chain_pem), write("key.pem", &pki.key_pem));
    let (secret, aws) = (write("provider-key", PROVIDER_KEY), write("aws-secret", sigv4::SECRET_ACCESS_KEY));
    let port = provider.address.port();
    let mut config = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ntls = {{ cert = \"{chain}\", key = \"{key}\" }}\nmax_body_mib = 1\n\
             keep_alive_seconds = 3600\n\n"
    );
    let quick = PROVIDERS.iter().filter(|(id, ..)| QUICK.contains(id)).map(|provider| (provider, true));
    for ((id, path, lines, operations), is_quick) in PROVIDERS.iter().map(|provider| (provider, false)).chain(quick) {
        let (id, silence) = if is_quick { (format!("quick-{id}"), 2) } else { ((*id).to_owned(), 60) };
        let credential = match id.as_str() {
            "bedrock" => format!(
                "aws = {{ access_key_id = \"{}\", secret_access_key = {{ file = \"{aws}\" }}, region = \"eu-central-1\" }}\n",
                sigv4::ACCESS_KEY_ID
            ),
            "ollama" => String::new(),
            _ => format!("api_key = {{ file = \"{secret}\" }}\n"),
        };
        let _ = write!(
            config,
            "[[provider]]\nid = \"{id}\"\n{lines}base_url = \"https://localhost:{port}{path}\"\nca = \"{ca}\"\n{credential}\
             allow_private_network = true\nfirst_byte_seconds = {silence}\nidle_seconds = {silence}\n\
             [provider.terms]\ntraining = \"never\"\nretention_days = 0\nagreement = \"test\"\nreviewed = 2026-01-01\n\
             review_due = 2099-01-01\n\n"
        );
        // Behind Ollama are models of somebody else's, too, which no wildcard may reach.
        if id == "ollama" {
            for behaviour in BEHAVIOURS {
                let routes = format!("{{ provider = \"{id}\", model = \"scripted-{behaviour}\" }}");
                model(&mut config, &format!("{id}/{behaviour}-*"), operations, "weighted", &routes);
            }
        } else if !operations.is_empty() {
            let routes = format!("{{ provider = \"{id}\", model = \"scripted-*\" }}");
            model(&mut config, &format!("{id}/*"), operations, "weighted", &routes);
        }
    }
    for (second, operations) in [("anthropic", &["chat"][..]), ("gemini", &["embeddings"]), ("openai", &["completions"])] {
        let routes = format!(
            "{{ provider = \"failing\", model = \"scripted-error-500-*\" }}, {{ provider = \"{second}\", model = \"scripted-*\" }}"
        );
        model(&mut config, &format!("fallback-{}/*", operations[0]), operations, "ordered", &routes);
    }
    setup.config = Some(config);
    setup.tls = Some(pki.client());
    setup.fault_injection = true;
    setup
}

fn model(config: &mut String, id: &str, operations: &[&str], strategy: &str, routes: &str) {
    let _ = write!(
        config,
        "[[model]]\nid = \"{id}\"\noperations = {operations:?}\nstrategy = \"{strategy}\"\nroutes = [{routes}]\n\n"
    );
}
