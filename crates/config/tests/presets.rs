//! Providers by preset: what three lines bring, and what each dialect needs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::{ffi::OsString, path::Path};

use lethe_config::{Config, Model, Scheme, preset::PRESETS};
use lethe_policy::{Credential, Dialect, PromptCache, Standing, Strategy, Terms};
use lethe_types::{Api, Capability, Region};

const TERMS: &str =
    "[provider.terms]\ntraining = \"never\"\nretention_days = 0\nreviewed = 2026-10-01\nreview_due = 2027-10-01\n";
const NOW: u64 = 1_800_000_000_000;

fn environment(name: &str) -> Option<OsString> {
    let value = if name == "AWS_ACCESS_KEY_ID" { "AKIAIOSFODNN7EXAMPLE".to_owned() } else { format!("value-of-{name}") };
    Some(OsString::from(value))
}

fn parse(text: &str) -> Result<Config, String> {
    lethe_config::parse(text, Path::new("lethe.toml"), &environment).map_err(|error| error.to_string())
}

fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str, says: &str) {
    let error = parse(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
    assert!(error.starts_with("lethe.toml:") && error.contains(says), "expected {says:?} in: {error}");
}

fn three_lines(preset: &str) -> String {
    let key = PRESETS[preset].api_key_env.as_ref().map(|name| format!("api_key = {{ env = \"{name}\" }}\n")).unwrap_or_default();
    format!("[[provider]]\npreset = \"{preset}\"\n{key}")
}

fn model<'a>(config: &'a Config, id: &str) -> &'a Model {
    config.models.iter().find(|model| model.id == id).unwrap_or_else(|| panic!("{id}"))
}

fn standing(config: &Config, provider: usize) -> Standing {
    Terms::standing(config.providers[provider].terms.as_ref().map(|terms| &terms.terms), NOW)
}

#[test]
fn three_lines_and_terms_are_enough() {
    let mut tried = 0;
    for (name, preset) in PRESETS.iter() {
        let Some(url) = &preset.base_url else { continue };
        let mut text = three_lines(name);
        for (place, line) in [
            ("{region}", "region = \"eu-central-1\"\n"),
            ("{location}", "location = \"europe-west4\"\n"),
            ("{project}", "project = \"my-project\"\n"),
            ("http:", "allow_private_network = true\n"),
        ] {
            if url.contains(place) {
                text.push_str(line);
            }
        }
        text.push_str(TERMS);
        if !preset.wildcard {
            refused(&text, "its preset knows none");
            continue;
        }
        let config = accepted(&text);
        assert_eq!(config.providers[0].dialect, preset.dialect, "{name}");
        for known in &preset.models {
            let model = model(&config, &known.id);
            assert_eq!((model.routes[0].provider, model.routes[0].model.as_str()), (0, known.id.as_str()));
            assert_eq!(model.capabilities, known.operations);
            assert_eq!(model.price.is_some(), known.input.is_some(), "{name}: {}", known.id);
        }
        assert_eq!(model(&config, &format!("{name}/*")).routes[0].model, "*");
        tried += 1;
    }
    assert!(tried > 15, "{tried}");
}

#[test]
fn prices_and_limits_come_with_the_models() {
    let config = accepted(&(three_lines("anthropic") + TERMS));
    let model = model(&config, "claude-haiku-4-5");
    assert_eq!(model.capabilities, [Capability::Chat, Capability::CountTokens]);
    let price = model.price.as_ref().unwrap();
    assert_eq!((price.input_per_million.nano_units(), price.output_per_million.nano_units()), (1_000_000_000, 5_000_000_000));
    assert_eq!((model.routes[0].price, model.routes[0].max_output_tokens), (Some(6_000_000), Some(64_000)));
}

#[test]
fn two_providers_of_one_name_serve_one_model() {
    let text = format!("{}{TERMS}{}{TERMS}", three_lines("groq"), three_lines("together"));
    let config = accepted(&text);
    let both = model(&config, "openai/gpt-oss-120b");
    assert_eq!(both.routes.iter().map(|route| route.provider).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(model(&config, "openai/gpt-oss-20b").routes.len(), 1);
}

#[test]
fn what_the_file_says_of_models_holds() {
    let own = "[[model]]\nid = \"openai/gpt-oss-120b\"\noperations = [\"chat\"]\nroutes = [{ provider = \"groq\" }]\n";
    let config = accepted(&format!("{}{TERMS}{}{TERMS}{own}", three_lines("groq"), three_lines("together")));
    assert_eq!(model(&config, "openai/gpt-oss-120b").routes.len(), 1, "not joined by a preset's");
    assert!(
        config.models.iter().any(|model| model.id == "together/*") && !config.models.iter().any(|model| model.id == "groq/*")
    );
}

#[test]
fn what_is_never_zero_retention_is_refused_by_its_terms() {
    let config = accepted(&(three_lines("deepseek") + TERMS));
    assert_eq!(standing(&config, 0), Standing::Retains);
    assert!(config.notices.iter().any(|notice| notice.message.contains("never zero retention")));
    // Nothing is published: the operator's own agreement decides.
    let nvidia = three_lines("nvidia") + TERMS;
    assert_eq!(standing(&accepted(&nvidia), 0), Standing::Retains);
    assert_eq!(standing(&accepted(&format!("{nvidia}agreement = \"contract 7\"\n")), 0), Standing::Good);
    assert_eq!(standing(&accepted(&(three_lines("groq") + TERMS)), 0), Standing::Good, "positive control");
}

#[test]
fn models_that_are_never_zero_retention_are_not_reached() {
    let routed = |id: &str, route: &str| {
        let model = format!("[[model]]\nid = \"{id}\"\noperations = [\"chat\"]\nroutes = [{route}]\n");
        format!("{}{TERMS}{}{TERMS}{model}", three_lines("anthropic"), three_lines("openrouter"))
    };
    refused(&routed("mythos", "{ provider = \"anthropic\", model = \"claude-mythos-5\" }"), "whatever was agreed");
    refused(&routed("mythos-*", "{ provider = \"anthropic\", model = \"claude-mythos-*\" }"), "whatever was agreed");
    accepted(&routed("opus", "{ provider = \"anthropic\", model = \"claude-opus-5\" }"));
    // A wildcard that would take them in serves them by nobody, or by whoever else is behind it.
    let config = accepted(&routed("a/*", "{ provider = \"anthropic\", model = \"*\" }"));
    assert!(model(&config, "a/claude-mythos-*").routes.is_empty());
    assert_eq!(model(&config, "a/*").routes.len(), 1);
    let both =
        "{ provider = \"anthropic\", model = \"claude-*\" }, { provider = \"openrouter\", model = \"anthropic/claude-*\" }";
    let config = accepted(&routed("claude/*", both));
    let narrowed = model(&config, "claude/fable-*");
    assert_eq!(narrowed.routes.iter().map(|route| route.model.as_str()).collect::<Vec<_>>(), ["anthropic/claude-fable-*"]);
}

#[test]
fn ollama_is_reached_by_name_only() {
    let ollama = format!("[[provider]]\npreset = \"ollama\"\nallow_private_network = true\n{TERMS}");
    let model =
        |id: &str| format!("{ollama}[[model]]\nid = \"{id}\"\noperations = [\"chat\"]\nroutes = [{{ provider = \"ollama\" }}]\n");
    let config = accepted(&model("llama3.2:3b"));
    assert_eq!((config.providers[0].base_url.scheme, config.providers[0].base_url.path.as_str()), (Scheme::Http, "/api"));
    refused(&model("gpt-oss:120b-cloud"), "whatever was agreed");
    refused(&model("*"), "a wildcard would reach them");
}

#[test]
fn wildcards() {
    let text = |id: &str, route: &str| {
        format!("{}{TERMS}[[model]]\nid = \"{id}\"\noperations = [\"chat\"]\nroutes = [{route}]\n", three_lines("openai"))
    };
    let config = accepted(&text("openai/*", "{ provider = \"openai\", model = \"*\" }"));
    assert_eq!((config.models[0].id.as_str(), config.models[0].routes[0].model.as_str()), ("openai/*", "*"));
    let config = accepted(&text("gpt-*", "{ provider = \"openai\" }"));
    assert_eq!(config.models[0].routes[0].model, "gpt-*", "the name itself");
    accepted(&text("small-*", "{ provider = \"openai\", model = \"gpt-4.1-mini\" }"));
    refused(&text("*-mini", "{ provider = \"openai\" }"), "one * at the end");
    refused(&text("gpt", "{ provider = \"openai\", model = \"gpt-*\" }"), "a * stands for");
    refused(&text("gpt-*", "{ provider = \"openai\", model = \"*-*\" }"), "a * stands for");
}

#[test]
fn strategies_and_prices_of_routes() {
    let text = |more: &str, routes: &str| {
        format!(
            "{}{TERMS}{}{TERMS}[[model]]\nid = \"m\"\noperations = [\"chat\"]\n{more}routes = [{routes}]\n",
            three_lines("groq"),
            three_lines("xai")
        )
    };
    let unknown = "{ provider = \"groq\", model = \"new\" }";
    let known = "{ provider = \"groq\", model = \"openai/gpt-oss-120b\" }, { provider = \"xai\", model = \"grok-4.7\" }";
    for strategy in Strategy::ALL {
        let config = accepted(&text(&format!("strategy = \"{}\"\n", strategy.name()), known));
        assert_eq!(config.models[0].strategy, strategy);
        assert_eq!(config.models[0].routes.iter().map(|route| route.price).collect::<Vec<_>>(), [Some(750_000), Some(8_000_000)]);
    }
    refused(&text("strategy = \"fastest\"\n", known), "\"cheapest\" or \"least-loaded\"");
    refused(&text("strategy = \"cheapest\"\n", unknown), "which one is cheapest?");
    let priced = "{ provider = \"groq\", model = \"new\", price = { currency = \"USD\", input_per_million = \"0.1\" }, max_output_tokens = 9 }";
    let route = accepted(&text("strategy = \"cheapest\"\n", priced)).models[0].routes[0].clone();
    assert_eq!((route.price, route.max_output_tokens), (Some(100_000), Some(9)));
    let euro = priced.replace("USD", "EUR");
    refused(&text("", &format!("{euro}, {known}")), "write one currency");
    refused(&text("", &priced.replace("= 9", "= 0")), "max_output_tokens = 0 is out of range");
}

#[test]
fn aws() {
    let text = |aws: &str| format!("[[provider]]\npreset = \"bedrock\"\n{aws}\n{TERMS}");
    let keys = "access_key_id = \"AKIAIOSFODNN7EXAMPLE\", secret_access_key = { env = \"SECRET\" }";
    let config =
        accepted(&text(&format!("aws = {{ {keys}, session_token = {{ env = \"TOKEN\" }}, region = \"eu-central-1\" }}")));
    let provider = &config.providers[0];
    assert_eq!(
        (provider.dialect, provider.base_url.host.as_str()),
        (Dialect::Bedrock, "bedrock-runtime.eu-central-1.amazonaws.com")
    );
    assert_eq!(provider.region, Region::new("eu-central-1"));
    let Credential::Aws { access_key_id, secret_access_key, session_token } = &provider.credential else { panic!("no AWS keys") };
    assert_eq!((access_key_id.as_str(), secret_access_key.expose()), ("AKIAIOSFODNN7EXAMPLE", b"value-of-SECRET".as_slice()));
    assert_eq!(session_token.as_ref().unwrap().expose(), b"value-of-TOKEN");
    let by_name = keys.replace("\"AKIAIOSFODNN7EXAMPLE\"", "{ env = \"AWS_ACCESS_KEY_ID\" }");
    accepted(&text(&format!("aws = {{ {by_name}, region = \"eu-central-1\" }}")));
    accepted(&text("api_key = { env = \"AWS_BEARER_TOKEN_BEDROCK\" }\naws = { region = \"eu-central-1\" }"));
    refused(&text(&format!("aws = {{ {keys} }}")), "where is it? Write region");
    refused(&text("aws = { access_key_id = \"AKIAIOSFODNN7EXAMPLE\", region = \"us-east-1\" }"), "both halves");
    refused(&text("region = \"us-east-1\""), "needs a key");
    refused(&text("aws = { secret_access_key = \"SECRETSECRETSECRET\", region = \"us-east-1\" }"), "never stands in the file");
    refused(&text(&format!("aws = {{ {keys}, region = \"../x\" }}")), "no name that could stand in an address");
    refused(&format!("{}aws = {{ {keys} }}\n{TERMS}", three_lines("openai")), "aws is for the dialect \"bedrock\"");
    // A host that does not say its region is signed for the one that is written; AWS' own say it themselves.
    let path = |host: &str, region: &str| {
        let text = text(&format!("base_url = \"https://{host}\"\naws = {{ {keys}{region} }}"));
        parse(&text).map(|config| config.providers[0].base_url.path.clone())
    };
    let region = ", region = \"eu-central-1\"";
    assert_eq!(path("bedrock.example.com/x", region).unwrap(), "/x?region=eu-central-1");
    assert_eq!(path("vpce-1.bedrock-runtime.eu-central-1.vpce.amazonaws.com", "").unwrap(), "");
    assert!(path("bedrock.example.com", "").unwrap_err().contains("requests are signed for a region"));
    assert!(path("bedrock.example.com", ", region = \"a&b\"").unwrap_err().contains("requests are signed for a region"));
}

#[test]
fn azure_and_vertex() {
    let azure = |more: &str| {
        let text = format!("{}base_url = \"https://name.openai.azure.com\"\n{more}{TERMS}", three_lines("azure-openai"));
        accepted(&text).providers.remove(0)
    };
    let path = |provider: &lethe_config::Provider, api| provider.rules.for_api(api).unwrap().path.clone();
    let current = azure("");
    assert_eq!((current.base_url.path.as_str(), path(&current, Api::Chat)), ("/openai/v1", None));
    let dated = azure("api_version = \"2024-10-21\"\n");
    assert_eq!(dated.base_url.path, "/openai");
    assert_eq!(path(&dated, Api::Chat).unwrap(), "/deployments/{model}/chat/completions?api-version=2024-10-21");
    assert!(dated.rules.for_api(Api::Responses).is_none(), "this version has none");
    let later = azure("api_version = \"2025-04-01-preview\"\n");
    assert_eq!(path(&later, Api::Responses).unwrap(), "/responses?api-version=2025-04-01-preview");
    refused(&(three_lines("azure-openai") + TERMS), "https://NAME.openai.azure.com");
    refused(&format!("{}api_version = \"x\"\n{TERMS}", three_lines("openai")), "api_version is for the dialect \"azure-openai\"");
    let vertex = |location: &str| {
        accepted(&format!("{}project = \"p-1\"\nlocation = \"{location}\"\n{TERMS}", three_lines("vertex"))).providers.remove(0)
    };
    let regional = vertex("europe-west4");
    assert_eq!(regional.base_url.host, "europe-west4-aiplatform.googleapis.com");
    assert_eq!(regional.base_url.path, "/v1/projects/p-1/locations/europe-west4");
    assert_eq!(regional.region, Region::new("europe-west4"));
    assert_eq!(vertex("global").base_url.host, "aiplatform.googleapis.com");
    assert_eq!(vertex("northamerica-northeast1").region, None, "too long for a tag: one is written, or there is none");
    refused(&format!("{}location = \"global\"\n{TERMS}", three_lines("vertex")), "where is it? Write project");
}

#[test]
fn limits_regions_and_caches() {
    let text = |more: &str| format!("{}{more}\n{TERMS}", three_lines("openai"));
    let config = accepted(&text("region = \"eu\"\nmax_concurrent = 50\nconnect_seconds = 3\nprompt_cache = \"isolated\""));
    let provider = &config.providers[0];
    assert_eq!((provider.region, provider.max_concurrent), (Region::new("eu"), Some(50)));
    assert_eq!((provider.timeouts.connect_seconds, provider.prompt_cache), (3, PromptCache::Isolated));
    assert!(config.notices[0].message.contains("operator's assertion"));
    let plain = accepted(&text(""));
    assert_eq!((plain.providers[0].prompt_cache, plain.providers[0].max_concurrent), (PromptCache::Off, None));
    refused(&text("region = \"EU\""), "write region = \"eu\"");
    refused(&text("max_concurrent = 0"), "from 1 to 1000000");
    refused(&text("prompt_cache = \"on\""), "there are three ways");
    refused(&format!("{}allow_fields = [\"plugins\"]\n{TERMS}", three_lines("openrouter")), "`plugins` cannot be allowed");
}
