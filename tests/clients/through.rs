//! Each client through Lethe, to each dialect of provider. The client does not know what stands behind.
//!
//! A model of Lethe is named after the dialect and the behaviour, `anthropic-tool`; its provider knows it as `scripted-tool`.

use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lethe_testkit::lethe::{Lethe, PROVIDER_KEY, Setup};
use lethe_testkit::provider::{Provider, sigv4};

use crate::suite::Suite;

/// Behaviours that the suites ask for.
const BEHAVIOURS: &[&str] = &[
    "text",
    "text-crlf",
    "text-split",
    "text-comments",
    "text-no-done",
    "text-slow",
    "text-midstream-error",
    "text-cut",
    "length",
    "filter",
    "tool",
    "two-tools",
    "json",
    "see",
    "think",
    "think-tool",
    "error-400",
    "error-401",
    "error-429",
    "error-500",
    "error-529",
];

/// A dialect of provider, and what its configuration says beside the terms.
pub(crate) struct Target {
    /// As `dialect` in the configuration says it.
    pub(crate) dialect: &'static str,
    /// Path of the base URL at the scripted provider.
    pub(crate) path: &'static str,
    /// Further lines of `[[provider]]`.
    pub(crate) lines: &'static str,
    /// What stands before the behaviour in its own names of models: it may say what they can.
    pub(crate) models: &'static str,
    /// What clients are told of as cached, with a cache that is theirs alone; 0 for the default, which tells nobody.
    pub(crate) cached: u64,
    /// Models beside those that chat: each a behaviour and what it is asked for.
    pub(crate) others: &'static [(&'static str, &'static str)],
    /// Words of parts that it cannot express: those are refused by name, which tests of the gateway show.
    pub(crate) without: &'static str,
}

impl Target {
    /// What stands before the behaviour in its models' names at Lethe. Google's client makes one vector of several texts where a name has its
    /// model's word in it.
    pub(crate) fn named(&self) -> String {
        format!("{}-", if self.dialect == "gemini" { "google" } else { self.dialect })
    }
}

/// The usual beginning of a model's name at the scripted provider.
pub(crate) const SCRIPTED: &str = "scripted-";
/// A model that makes vectors.
pub(crate) const EMBED: &[(&str, &str)] = &[("embed", "embeddings")];

pub(crate) const OPENAI: Target = Target {
    dialect: "openai",
    path: "/v1",
    lines: "preset = \"openai-compatible\"\n",
    models: SCRIPTED,
    cached: 4,
    others: EMBED,
    without: "",
};

/// Starts a Lethe with every behaviour behind `target`.
pub(crate) fn lethe(provider: &Provider, target: &Target) -> Lethe {
    let mut setup = Setup::engine();
    let secret = |name: &str, value: &str| {
        let path = setup.folder().join(name);
        fs::write(&path, value).expect("a file");
        path.display().to_string()
    };
    let key = secret("provider-key", PROVIDER_KEY);
    let credential = if target.dialect == "bedrock" {
        let secret = secret("aws-secret", sigv4::SECRET_ACCESS_KEY);
        let id = sigv4::ACCESS_KEY_ID;
        format!("aws = {{ access_key_id = \"{id}\", secret_access_key = {{ file = \"{secret}\" }}, region = \"eu-central-1\" }}")
    } else if target.dialect == "ollama" {
        String::new()
    } else {
        format!("api_key = {{ file = \"{key}\" }}")
    };
    let (dialect, port) = (target.dialect, provider.address.port());
    let cache = if target.cached > 0 { "prompt_cache = \"isolated\"\n" } else { "" };
    let mut config = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n\n[[provider]]\nid = \"{dialect}\"\ndialect = \"{dialect}\"\n{cache}{}\
         base_url = \"http://localhost:{port}{}\"\n{credential}\nallow_private_network = true\n\
         [provider.terms]\ntraining = \"never\"\nretention_days = 0\nagreement = \"test\"\nreviewed = 2026-01-01\n\
         review_due = 2099-01-01\n\n",
        target.lines, target.path
    );
    let named = target.named();
    let mut model = |behaviour: &str, operations: &[&str]| {
        let _ = write!(
            config,
            "[[model]]\nid = \"{named}{behaviour}\"\noperations = {operations:?}\n\
             routes = [{{ provider = \"{dialect}\", model = \"{}{behaviour}\" }}]\n\n",
            target.models
        );
    };
    // Jina has nothing that chats.
    let behaviours = if target.lines.contains("jina") { &[] } else { BEHAVIOURS };
    for behaviour in behaviours {
        let too = target.others.iter().filter(|(other, _)| other == behaviour).map(|(_, operation)| *operation);
        model(behaviour, &too.chain(["chat"]).collect::<Vec<_>>());
    }
    for (behaviour, operation) in target.others.iter().filter(|(other, _)| !behaviours.contains(other)) {
        model(behaviour, &[operation]);
    }
    setup.config = Some(config);
    setup.start()
}

/// A client's suite: its language, its name, and the parts that are run.
pub(crate) type Client = (Language, &'static str, &'static str);

pub(crate) enum Language {
    Node,
    Python,
}

/// Clients that run at the same time: they wait for streams more than they compute.
const AT_ONCE: usize = 3;

/// Every client against one Lethe; fails with what all of them that failed have printed.
pub(crate) fn through(target: &Target, clients: &[Client]) {
    let provider = Provider::start(None);
    let lethe = lethe(&provider, target);
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let run = |(language, name, parts): &Client| {
        let base = format!("http://{}", lethe.api());
        let models = target.named();
        let suite = Suite {
            name,
            base,
            key: lethe.key(),
            secret: "",
            models: &models,
            parts,
            without: target.without,
            through: true,
            cached: target.cached,
        };
        let result = match language {
            Language::Node => suite.try_node(),
            Language::Python => suite.try_python(),
        };
        failed.lock().expect("no panic").extend(result.err());
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(clients.len()) {
            scope.spawn(|| {
                while let Some(client) = clients.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(client);
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    let count = failed.len();
    assert!(failed.is_empty(), "to {}: {count} of {} clients failed: {}", target.dialect, clients.len(), failed.join("\n"));
    // What it was sent is what the clients said, and nothing of who asked.
    let seen = provider.seen();
    assert!(!seen.is_empty(), "the provider was asked");
    assert!(seen.iter().all(|seen| !seen.head.contains(lethe.key())), "the client's key went to the provider");
}

#[test]
fn clients_through_chat_completions_to_openai() {
    through(
        &OPENAI,
        &[
            (
                Language::Python,
                "with_openai",
                "chat_text chat_stop chat_filter chat_stream chat_stream_broken chat_tools chat_choice_named chat_choice_none \
                 chat_tools_parallel chat_json chat_json_object chat_image chat_file chat_think chat_errors embeddings",
            ),
            (Language::Python, "with_langchain_openai", "completions embeddings"),
            (Language::Node, "with_openai", "chat_text chat_stream chat_tools chat_json chat_image chat_errors embeddings"),
            (Language::Node, "with_ai", "openai_chat openai_compatible embeddings"),
        ],
    );
}
