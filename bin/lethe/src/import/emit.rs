//! What was translated, as a file.

use std::fmt::Write;

use lethe_config::preset::{PRESETS, Preset};

use super::{
    deployment::{Place, ProviderKey, Route, Secret},
    litellm::Model,
};

/// Stands where an address has to be filled in.
const TO_BE_FILLED_IN: &str = "https://fill-in.invalid";

const HEAD: &str = "\
# Translated from a LiteLLM proxy's configuration.
#
# Two things are left to you: the terms of each provider (without reviewed terms its routes answer 503 provider_terms), and the variables
# that hold the keys. `lethe config check` says what this file does. Clients' keys are made with `lethe key create`.
";

/// The file's text.
pub(crate) fn file(providers: &[ProviderKey], models: &[Model], left: &[String]) -> String {
    let mut out = String::from(HEAD);
    if !left.is_empty() {
        out.push_str("#\n# What has no place here:\n");
        left.iter().for_each(|line| comment(&mut out, "- ", line));
    }
    let names = names(providers);
    let variables = variables(providers);
    for ((provider, name), variable) in providers.iter().zip(&names).zip(&variables) {
        self::provider(&mut out, provider, name, variable);
    }
    for model in models {
        self::model(&mut out, model, providers, &names);
    }
    out
}

/// An id for each provider: its preset's name, with a number from the second on.
fn names(providers: &[ProviderKey]) -> Vec<String> {
    numbered(providers, |provider| provider.preset.to_owned(), "-")
}

/// A variable for each key that stood in the file.
fn variables(providers: &[ProviderKey]) -> Vec<String> {
    let usual = |provider: &ProviderKey| {
        let known = PRESETS.get(provider.preset).and_then(|preset| preset.api_key_env.clone());
        known.unwrap_or_else(|| format!("{}_API_KEY", provider.preset.to_ascii_uppercase().replace('-', "_")))
    };
    numbered(providers, usual, "_")
}

fn numbered(providers: &[ProviderKey], name: impl Fn(&ProviderKey) -> String, separator: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (position, provider) in providers.iter().enumerate() {
        let base = name(provider);
        let before = providers.iter().take(position).filter(|other| name(other) == base).count();
        names.push(if before == 0 { base } else { format!("{base}{separator}{}", before + 1) });
    }
    names
}

fn provider(out: &mut String, provider: &ProviderKey, name: &str, variable: &str) {
    let known = PRESETS.get(provider.preset);
    out.push_str("\n[[provider]]\n");
    if name != provider.preset {
        line(out, "id", name);
    }
    line(out, "preset", provider.preset);
    address(out, provider, known);
    for (field, value) in [
        ("api_version", &provider.api_version),
        ("project", &provider.project),
        ("location", &provider.location),
        (
            "region",
            &provider.region.clone().filter(|region| provider.aws.is_none() && lethe_types::Region::new(region).is_some()),
        ),
    ] {
        if let Some(value) = value {
            line(out, field, value);
        }
    }
    if provider.preset.starts_with("vertex") {
        for (field, value) in [("project", &provider.project), ("location", &provider.location)] {
            if value.is_none() && provider.address.is_none() {
                let _ = writeln!(out, "{field} = \"fill-in\"            # it was in a variable that is not set here");
            }
        }
    }
    if provider.preset == "bedrock" && provider.region.is_none() && provider.address.is_none() {
        out.push_str("region = \"us-east-1\"            # fill in: where the models are\n");
    }
    credential(out, provider, known, variable);
    terms(out, known);
}

fn address(out: &mut String, provider: &ProviderKey, known: Option<&Preset>) {
    let own = known.and_then(|preset| preset.base_url.as_deref());
    let url = match &provider.address {
        Some(Place::Url(url)) if Some(url.as_str()) == own => own.unwrap_or_default(),
        Some(Place::Url(url)) => {
            line(out, "base_url", url);
            url.as_str()
        }
        Some(Place::Unset(what)) => {
            let _ = writeln!(out, "base_url = {}   # fill in {}", quoted(TO_BE_FILLED_IN), plain(what));
            TO_BE_FILLED_IN
        }
        None if own.is_none() => {
            let _ = writeln!(out, "base_url = {}   # fill in the server's address", quoted(TO_BE_FILLED_IN));
            TO_BE_FILLED_IN
        }
        None => own.unwrap_or_default(),
    };
    if is_private(url) {
        out.push_str("allow_private_network = true\n");
    }
}

/// Whether the address needs the operator's word that it is inside a private network.
fn is_private(url: &str) -> bool {
    let host = lethe_config::BaseUrl::parse(url).map(|url| url.host).unwrap_or_default();
    let private = match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => address.is_loopback() || address.is_private() || address.is_link_local(),
        Ok(std::net::IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => host == "localhost" || host.ends_with(".local") || host.ends_with(".internal"),
    };
    private || url.starts_with("http://")
}

fn credential(out: &mut String, provider: &ProviderKey, known: Option<&Preset>, variable: &str) {
    if let Some((id, secret, token)) = &provider.aws {
        let mut parts = vec![format!("access_key_id = {}", reference(id, "AWS_ACCESS_KEY_ID"))];
        parts.push(format!("secret_access_key = {}", reference(secret, "AWS_SECRET_ACCESS_KEY")));
        if let Some(token) = token {
            parts.push(format!("session_token = {}", reference(token, "AWS_SESSION_TOKEN")));
        }
        if let Some(region) = &provider.region {
            parts.push(format!("region = {}", quoted(region)));
        }
        let _ = writeln!(out, "aws = {{ {} }}", parts.join(", "));
        return;
    }
    match &provider.api_key {
        Some(Secret::Variable(name)) => {
            if known.is_some_and(|preset| preset.api_key_env.as_ref() == Some(name)) && provider.preset == "bedrock" {
                out.push_str(
                    "# a machine's role is not enough: a token, or aws = { … } with keys or a role (docs/configuration.md)\n",
                );
            }
            let _ = writeln!(out, "api_key = {}", reference(&Secret::Variable(name.clone()), variable));
        }
        Some(secret @ Secret::Literal(_)) => {
            let _ = writeln!(
                out,
                "api_key = {}   # the key stood in the file: put it into this variable",
                reference(secret, variable)
            );
        }
        None => {}
    }
}

/// `{ env = "NAME" }`, whatever the secret.
fn reference(secret: &Secret, otherwise: &str) -> String {
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let name = match secret {
        Secret::Variable(name) if !name.is_empty() && is_name(name) => name,
        Secret::Literal(_) | Secret::Variable(_) => otherwise,
    };
    format!("{{ env = {} }}", quoted(name))
}

fn terms(out: &mut String, known: Option<&Preset>) {
    let Some(preset) = known else { return };
    comment(out, "Zero retention: ", &format!("{}; {} ({})", preset.terms.zero.name(), preset.terms.how, preset.terms.source));
    out.push_str(
        "# [provider.terms]                # when you have reviewed them\n# training = \"never\"\n# retention_days = 0\n# agreement = \"contract reference\"\n\
         # reviewed = 2026-01-31\n# review_due = 2027-01-31\n",
    );
}

fn model(out: &mut String, model: &Model, providers: &[ProviderKey], names: &[String]) {
    out.push('\n');
    model.notes.iter().for_each(|note| comment(out, "", note));
    out.push_str("[[model]]\n");
    line(out, "id", &model.id);
    let operations: Vec<String> = model.capabilities().iter().map(|capability| quoted(capability.name())).collect();
    let _ = writeln!(out, "operations = [{}]", operations.join(", "));
    if model.routes.len() > 1 {
        line(out, "strategy", model.strategy.name());
    }
    let routes: Vec<String> = model.routes.iter().map(|route| self::route(route, providers, names)).collect();
    match routes.as_slice() {
        [only] => {
            let _ = writeln!(out, "routes = [{only}]");
        }
        _ => {
            out.push_str("routes = [\n");
            routes.iter().for_each(|route| {
                let _ = writeln!(out, "    {route},");
            });
            out.push_str("]\n");
        }
    }
}

fn route(route: &Route, providers: &[ProviderKey], names: &[String]) -> String {
    let name = providers.iter().position(|provider| *provider == route.provider).and_then(|at| names.get(at));
    let mut parts =
        vec![format!("provider = {}", quoted(name.map_or("", String::as_str))), format!("model = {}", quoted(&route.model))];
    parts.extend(route.weight.map(|weight| format!("weight = {weight}")));
    parts.extend(route.price.as_ref().map(|(input, output)| {
        format!(
            "price = {{ currency = \"USD\", input_per_million = {}, output_per_million = {} }}",
            quoted(input),
            quoted(output)
        )
    }));
    parts.extend(route.max_output_tokens.map(|limit| format!("max_output_tokens = {limit}")));
    format!("{{ {} }}", parts.join(", "))
}

fn line(out: &mut String, field: &str, value: &str) {
    let _ = writeln!(out, "{field} = {}", quoted(value));
}

/// A TOML basic string: JSON's escapes are TOML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// Text of the other file, fit for a comment.
fn plain(text: &str) -> String {
    text.chars().take(400).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn comment(out: &mut String, lead: &str, text: &str) {
    const WIDTH: usize = 118;
    let mut written = format!("# {lead}");
    for word in plain(text).split_whitespace() {
        if written.chars().count() + word.chars().count() > WIDTH {
            out.push_str(written.trim_end());
            out.push('\n');
            written = "#   ".to_owned();
        }
        written.push_str(word);
        written.push(' ');
    }
    out.push_str(written.trim_end());
    out.push('\n');
}
