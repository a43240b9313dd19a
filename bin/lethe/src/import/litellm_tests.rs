#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::{ffi::OsString, path::Path};

use lethe_config::Config;
use lethe_policy::Strategy;
use lethe_types::Capability;

use super::{Translated, translate};

fn translated(text: &str) -> (Translated, Config) {
    let translated = translate(text, &|_| None).unwrap_or_else(|why| panic!("{why}"));
    let environment = |_: &str| Some(OsString::from("AKIAIOSFODNN7EXAMPLE"));
    let config = lethe_config::parse(&translated.toml, Path::new("lethe.toml"), &environment);
    let config = config.unwrap_or_else(|error| panic!("{error}\n{}", translated.toml));
    (translated, config)
}

fn model<'a>(config: &'a Config, id: &str) -> &'a lethe_config::Model {
    config.models.iter().find(|model| model.id == id).unwrap_or_else(|| panic!("{id}"))
}

fn route(config: &Config, id: &str, at: usize) -> (String, String, u32) {
    let route = &model(config, id).routes[at];
    (config.providers[route.provider].id.clone(), route.model.clone(), route.weight)
}

#[test]
fn a_teams_configuration_is_carried_over() {
    let (translated, config) = translated(include_str!("samples/team.yaml"));
    let ids: Vec<&str> = config.models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, ["fast", "clever", "in-house", "azure-mini", "openrouter/*", "search", "vectors", "gpt-4o"]);
    assert_eq!(model(&config, "fast").strategy, Strategy::Weighted);
    assert_eq!(route(&config, "fast", 0), ("openai".into(), "gpt-5.4-mini".into(), 3));
    assert_eq!(route(&config, "fast", 1), ("groq".into(), "openai/gpt-oss-120b".into(), 1));
    let clever = model(&config, "clever");
    assert_eq!(
        (clever.strategy, clever.routes.len(), clever.capabilities.as_slice()),
        (Strategy::Ordered, 3, [Capability::Chat].as_slice())
    );
    assert_eq!(route(&config, "clever", 2).0, "groq", "its fallbacks come after it");
    let in_house = model(&config, "in-house");
    assert_eq!(in_house.routes[0].price, Some(1_250_000));
    assert!(config.providers[in_house.routes[0].provider].allow_private_network);
    assert_eq!(route(&config, "openrouter/*", 0).1, "*");
    assert_eq!(model(&config, "search").capabilities, [Capability::Rerank]);
    assert_eq!(model(&config, "vectors").capabilities, [Capability::Embeddings]);
    assert_eq!(model(&config, "gpt-4o").routes, model(&config, "fast").routes);
    let azure = &config.providers[model(&config, "azure-mini").routes[0].provider];
    assert_eq!(azure.base_url.host, "fill-in.invalid");
    assert!(azure.rules.apis[0].path.as_ref().unwrap().contains("/deployments/{model}/"));
    assert!(config.providers.iter().all(|provider| provider.terms.is_none()), "terms are the operator's to review");
    assert_eq!((translated.providers, translated.models), (config.providers.len(), config.models.len()));
}

#[test]
fn no_secret_is_copied_and_what_is_left_is_said() {
    let (translated, _) = translated(include_str!("samples/team.yaml"));
    let toml = &translated.toml;
    assert!(!toml.contains("DO-NOT-COPY"), "{toml}");
    for variable in ["OPENAI_API_KEY", "SHARED_OPENAI_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY"] {
        assert!(toml.contains(&format!("api_key = {{ env = \"{variable}\" }}")), "{variable}");
    }
    let comments: String =
        toml.lines().filter_map(|line| line.strip_prefix("# ")).map(|line| format!("{} ", line.trim())).collect();
    for said in [
        "fast: rpm and tpm are not carried over",
        "clever: temperature (Lethe adds nothing to requests",
        "clever: retries are built in, and limits of waiting belong to the provider",
        "images, sound and video are not in this version",
        "there is no preset for replicate/some/model",
        "claude-mythos-5 of anthropic is kept",
        "fallback of clever to absent: there is no such model",
        "litellm_settings.success_callback: refused on purpose",
        "litellm_settings.cache: refused on purpose: answers are never cached",
        "litellm_settings.drop_params: nothing is dropped silently",
        "general_settings.master_key: keys are made with `lethe key create`",
        "environment_variables: set them in the environment",
        "litellm_settings.something_new: no such thing here",
        "falls back to fast, absent",
        "Zero retention: by contract",
    ] {
        assert!(comments.contains(said), "{said}\n{toml}");
    }
}

#[test]
fn strategies_are_carried_over() {
    let text = |strategy: &str, more: &str| {
        format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: groq/openai/gpt-oss-120b{more}}}}}\n\
             - {{model_name: m, litellm_params: {{model: xai/grok-4.7}}}}\nrouter_settings: {{routing_strategy: {strategy}}}\n"
        )
    };
    for (written, strategy) in [
        ("simple-shuffle", Strategy::Weighted),
        ("least-busy", Strategy::LeastLoaded),
        ("latency-based-routing", Strategy::LeastLoaded),
        ("usage-based-routing-v2", Strategy::Weighted),
        ("cost-based-routing", Strategy::Cheapest),
    ] {
        assert_eq!(model(&translated(&text(written, "")).1, "m").strategy, strategy, "{written}");
    }
    let (_, config) = translated(&text("least-busy", ", order: 2"));
    assert_eq!(model(&config, "m").strategy, Strategy::Ordered);
    let unpriced = text("cost-based-routing", "").replace("grok-4.7", "grok-unknown");
    let (translated, config) = translated(&unpriced);
    assert_eq!(model(&config, "m").strategy, Strategy::Weighted);
    assert!(translated.toml.contains("needs a price in each route"));
}

#[test]
fn clouds_keep_their_regions_and_keys() {
    let (translated, config) = translated(
        "model_list:\n\
         - {model_name: a, litellm_params: {model: bedrock/eu-central-1/amazon.nova-pro-v1:0, aws_access_key_id: os.environ/ID, \
           aws_secret_access_key: os.environ/KEY}}\n\
         - {model_name: b, litellm_params: {model: vertex_ai/claude-opus-5, vertex_project: my-project, vertex_location: global, \
           vertex_credentials: /keys/account.json}}\n\
         - {model_name: c, litellm_params: {model: bedrock/us.amazon.nova-pro-v1:0, aws_region_name: us-east-1}}\n",
    );
    let hosts: Vec<&str> = config.providers.iter().map(|provider| provider.base_url.host.as_str()).collect();
    assert_eq!(
        hosts,
        ["bedrock-runtime.eu-central-1.amazonaws.com", "aiplatform.googleapis.com", "bedrock-runtime.us-east-1.amazonaws.com"]
    );
    assert_eq!(
        config.providers.iter().map(|provider| provider.id.as_str()).collect::<Vec<_>>(),
        ["bedrock", "vertex-anthropic", "bedrock-2"]
    );
    assert!(translated.toml.contains("b: vertex_credentials (Lethe obtains such credentials itself"), "{}", translated.toml);
}

#[test]
fn what_is_no_configuration_is_refused() {
    assert!(translate("model_list: [", &|_| None).err().unwrap().contains("no YAML"));
    assert!(translate("models: []", &|_| None).err().unwrap().contains("no model_list"));
    let (translated, config) = translated("model_list: []");
    assert!(config.models.is_empty() && translated.models == 0);
}
