//! One entry of LiteLLM's `model_list`.

use lethe_config::preset::{PRESETS, Preset};
use lethe_types::Capability;

use super::{
    upstream::{self, Upstream},
    yaml::Node,
};

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    /// It stands in the file. Kept only to tell one provider from another, and never shown.
    Literal(String),
    /// A variable.
    Variable(String),
}

/// What tells one provider from another.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProviderKey {
    pub(crate) preset: &'static str,
    pub(crate) address: Option<Place>,
    pub(crate) api_key: Option<Secret>,
    pub(crate) api_version: Option<String>,
    pub(crate) aws: Option<(Secret, Secret, Option<Secret>)>,
    pub(crate) region: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) location: Option<String>,
}

/// An address, or what has to be filled in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Unset(String),
    Url(String),
}

/// One way to serve a model.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) provider: ProviderKey,
    pub(crate) model: String,
    pub(crate) weight: Option<u32>,
    pub(crate) order: Option<u32>,
    /// Input and output of a million tokens.
    pub(crate) price: Option<(String, String)>,
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) capabilities: Vec<Capability>,
}

impl Route {
    pub(crate) fn preset(&self) -> Option<&'static Preset> {
        PRESETS.get(self.provider.preset)
    }

    /// Whether its price is known, by what is written or by the catalogue.
    pub(crate) fn is_priced(&self) -> bool {
        self.price.is_some()
            || self.preset().and_then(|preset| preset.model(&self.model)).is_some_and(|model| model.input.is_some())
    }
}

/// A deployment that is carried over, with what of it has no place; or why it is not.
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) route: Route,
    pub(crate) left: Vec<String>,
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads one entry. `credentials` is LiteLLM's `credential_list`.
pub(crate) fn read(entry: &Node, credentials: &[Node], environment: Environment<'_>) -> Result<Deployment, String> {
    let name = entry.text_of("model_name").ok_or("an entry without model_name")?.to_owned();
    let params = Params {
        own: entry.get("litellm_params").ok_or_else(|| format!("{name}: no litellm_params"))?,
        credentials,
        environment,
    };
    let info = entry.get("model_info");
    let model = params.text("model").ok_or_else(|| format!("{name}: no model"))?;
    let address = params.text("api_base").or_else(|| params.text("base_url"));
    let Some(Upstream { preset, model: own }) = upstream::of(model, params.text("custom_llm_provider"), address.is_some()) else {
        return Err(format!("{name}: there is no preset for {model}"));
    };
    let known = PRESETS.get(preset).ok_or_else(|| format!("{name}: there is no preset {preset}"))?;
    let capabilities =
        capabilities(&own, info.and_then(|info| info.text_of("mode")), known).map_err(|why| format!("{name}: {why}"))?;
    if known.never(&own) || own.contains('*') && known.refuses_wildcards() {
        return Err(format!(
            "{name}: {own} of {preset} is kept or computed elsewhere, whatever was agreed ({})",
            known.terms.source
        ));
    }
    if !name.contains('*') && own.contains('*') || name.find('*').is_some_and(|star| star + 1 != name.len()) {
        return Err(format!("{name}: a wildcard is one * at the end of the name"));
    }
    let number =
        |key: &str| params.text(key).or_else(|| info?.text_of(key)).and_then(|text| text.replace('_', "").parse::<f64>().ok());
    let provider = params.provider(preset, model, address);
    let price = per_million(params.text("input_cost_per_token").or_else(|| info?.text_of("input_cost_per_token"))).map(|input| {
        let output = params.text("output_cost_per_token").or_else(|| info?.text_of("output_cost_per_token"));
        (input, per_million(output).unwrap_or_else(|| "0".to_owned()))
    });
    let limit = info.and_then(|info| info.text_of("max_output_tokens").or_else(|| info.text_of("max_tokens")));
    let route = Route {
        provider,
        model: own,
        weight: number("weight").map(|weight| clamped(if weight < 1.0 { weight * 100.0 } else { weight })),
        order: number("order").map(clamped),
        price,
        max_output_tokens: limit.and_then(|limit| limit.replace('_', "").parse().ok()),
        capabilities,
    };
    let left = left(&name, entry, params.own);
    Ok(Deployment { name, route, left })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range first")]
fn clamped(number: f64) -> u32 {
    number.round().clamp(1.0, 1000.0) as u32
}

struct Params<'a> {
    own: &'a Node,
    credentials: &'a [Node],
    environment: Environment<'a>,
}

impl<'a> Params<'a> {
    /// The parameter, from the entry or from the credential that it names.
    fn text(&self, key: &str) -> Option<&'a str> {
        self.own.text_of(key).or_else(|| {
            let name = self.own.text_of("litellm_credential_name")?;
            let credential = self.credentials.iter().find(|item| item.text_of("credential_name") == Some(name))?;
            credential.get("credential_values")?.text_of(key)
        })
    }

    fn secret(&self, key: &str) -> Option<Secret> {
        let text = self.text(key)?;
        Some(match text.strip_prefix("os.environ/") {
            Some(name) => Secret::Variable(name.to_owned()),
            None => Secret::Literal(text.to_owned()),
        })
    }

    /// What is no secret: read from the variable where that is set now.
    fn plain(&self, key: &str) -> Option<String> {
        let text = self.text(key)?;
        match text.strip_prefix("os.environ/") {
            Some(name) => (self.environment)(name),
            None => Some(text.to_owned()),
        }
    }

    fn provider(&self, preset: &'static str, model: &str, address: Option<&str>) -> ProviderKey {
        let address = address.map(|text| match text.strip_prefix("os.environ/") {
            Some(name) => {
                let url = (self.environment)(name).and_then(|url| url_for(preset, &url));
                url.map_or_else(|| Place::Unset(format!("what {name} holds")), Place::Url)
            }
            None => url_for(preset, text)
                .map_or_else(|| Place::Unset("the address, which begins with https://".to_owned()), Place::Url),
        });
        let is = |wanted: &str| preset == wanted;
        let vertex = preset.starts_with("vertex");
        let aws = self.secret("aws_access_key_id").zip(self.secret("aws_secret_access_key")).filter(|_| is("bedrock"));
        let usual = PRESETS.get(preset).and_then(|preset| preset.api_key_env.clone()).filter(|_| aws.is_none());
        ProviderKey {
            preset,
            address,
            api_key: self.secret("api_key").or_else(|| usual.map(Secret::Variable)),
            api_version: self.plain("api_version").filter(|_| is("azure-openai")),
            aws: aws.map(|(id, secret)| (id, secret, self.secret("aws_session_token"))),
            region: if is("bedrock") {
                self.plain("aws_region_name").or_else(|| upstream::region_in(model).map(str::to_owned))
            } else {
                self.plain("region_name")
            },
            project: self.plain("vertex_project").filter(|_| vertex),
            location: self.plain("vertex_location").filter(|_| vertex),
        }
    }
}

/// The address as Lethe wants it: with everything before the operation's own path. `None` if it is none.
fn url_for(preset: &str, url: &str) -> Option<String> {
    let url = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
    let url = match preset {
        "anthropic" if !url.ends_with("/v1") => format!("{url}/v1"),
        "azure-openai" => {
            let (scheme, rest) = url.split_once("://")?;
            format!("{scheme}://{}", rest.split("/openai").next().unwrap_or(rest))
        }
        "ollama" if !url.ends_with("/api") => format!("{url}/api"),
        _ => url.trim_end_matches("/chat/completions").to_owned(),
    };
    lethe_config::BaseUrl::parse(&url).is_ok().then_some(url)
}

fn capabilities(model: &str, mode: Option<&str>, preset: &Preset) -> Result<Vec<Capability>, String> {
    let wanted = match mode {
        Some("chat" | "responses") => Capability::Chat,
        Some("completion") => Capability::Completions,
        Some("embedding") => Capability::Embeddings,
        Some("moderation") => Capability::Moderations,
        Some("rerank") => Capability::Rerank,
        Some(other) => return Err(format!("the mode {other} is not in this version")),
        None if model == "*" => return Ok(preset.capabilities()),
        None => {
            let name = model.to_ascii_lowercase();
            let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
            if has(&[
                "dall-e",
                "gpt-image",
                "imagen",
                "realtime",
                "sora",
                "stable-diffusion",
                "transcribe",
                "-tts",
                "tts-",
                "whisper",
            ]) {
                return Err("images, sound and video are not in this version".to_owned());
            }
            if has(&["rerank"]) {
                Capability::Rerank
            } else if has(&["embed", "bge-", "gte-", "e5-"]) {
                Capability::Embeddings
            } else if has(&["moderation"]) {
                Capability::Moderations
            } else {
                Capability::Chat
            }
        }
    };
    let served = preset.capabilities();
    if !served.contains(&wanted) {
        return Err(format!("{} has no way to be asked for {}", preset.name, wanted.name()));
    }
    let counts = wanted == Capability::Chat && served.contains(&Capability::CountTokens);
    Ok(if counts { vec![wanted, Capability::CountTokens] } else { vec![wanted] })
}

/// `2.5e-06` per token → `2.5` per million, exactly.
pub(crate) fn per_million(per_token: Option<&str>) -> Option<String> {
    let text = per_token?.trim().to_ascii_lowercase();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 40 || !digits.bytes().all(|byte| byte.is_ascii_digit()) || exponent.abs() > 40 {
        return None;
    }
    // Where the point stands in `digits` once it has moved.
    let point = i32::try_from(whole.len()).ok()? + exponent + 6;
    let padded = if point <= 0 {
        format!("{}{digits}", "0".repeat(usize::try_from(1 - point).ok()?))
    } else {
        let missing = usize::try_from(point).ok()?.saturating_sub(digits.len());
        format!("{digits}{}", "0".repeat(missing))
    };
    let point = usize::try_from(point.max(1)).ok()?;
    let (whole, fraction) = padded.split_at_checked(point)?;
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") })
}

/// Parameters that are carried over, or that say nothing to Lethe.
const CARRIED: &[&str] = &[
    "api_base",
    "api_key",
    "api_version",
    "aws_access_key_id",
    "aws_region_name",
    "aws_secret_access_key",
    "aws_session_token",
    "base_url",
    "custom_llm_provider",
    "input_cost_per_token",
    "litellm_credential_name",
    "model",
    "order",
    "output_cost_per_token",
    "region_name",
    "vertex_location",
    "vertex_project",
    "weight",
];

/// Parameters of credentials that expire.
const GRANTED: &[&str] = &[
    "aws_profile_name",
    "aws_role_name",
    "aws_session_name",
    "aws_web_identity_token",
    "azure_ad_token",
    "client_id",
    "client_secret",
    "tenant_id",
    "vertex_credentials",
];

/// What of a deployment has no place, by reason.
fn left(name: &str, entry: &Node, params: &Node) -> Vec<String> {
    let mut left = Vec::new();
    let limits = |node: &Node| node.entries().iter().any(|(key, _)| matches!(key.as_str(), "rpm" | "tpm"));
    if limits(entry) || limits(params) {
        left.push(format!("{name}: rpm and tpm are not carried over; a provider's max_concurrent bounds what is open at once"));
    }
    let others: Vec<&str> = params
        .entries()
        .iter()
        .map(|(key, _)| key.as_str())
        .filter(|key| !CARRIED.contains(key) && !matches!(*key, "rpm" | "tpm"))
        .collect();
    let waits = |key: &str| key.contains("timeout") || key.contains("retries");
    if others.iter().any(|key| waits(key)) {
        left.push(format!(
            "{name}: retries are built in, and limits of waiting belong to the provider: connect_seconds, first_byte_seconds, idle_seconds, total_seconds"
        ));
    }
    let (granted, rest): (Vec<&str>, Vec<&str>) =
        others.into_iter().filter(|key| !waits(key)).partition(|key| GRANTED.contains(key));
    if !granted.is_empty() {
        left.push(format!(
            "{name}: {} (Lethe obtains such credentials itself: write google, entra or aws with role into the provider, as docs/configuration.md says)",
            granted.join(", ")
        ));
    }
    if !rest.is_empty() {
        left.push(format!("{name}: {} (Lethe adds nothing to requests: clients send what they want)", rest.join(", ")));
    }
    left
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{per_million, url_for};

    #[test]
    fn prices_are_moved_exactly() {
        for (per_token, expected) in [
            ("2.5e-06", "2.5"),
            ("0.00000025", "0.25"),
            ("1e-5", "10"),
            ("0", "0"),
            ("3.75E-8", "0.0375"),
            ("0.002", "2000"),
            ("1.234567e-6", "1.234567"),
        ] {
            assert_eq!(per_million(Some(per_token)).as_deref(), Some(expected), "{per_token}");
        }
        assert_eq!(per_million(Some("free")), None);
        assert_eq!(per_million(Some("-1e-6")), None);
    }

    #[test]
    fn addresses_end_where_lethes_begin() {
        let url = |preset, url| url_for(preset, url).unwrap();
        assert_eq!(url("openai-compatible", "http://10.0.0.5:8000/v1/"), "http://10.0.0.5:8000/v1");
        assert_eq!(url("ollama", "http://localhost:11434"), "http://localhost:11434/api");
        assert_eq!(url("anthropic", "https://proxy.example.com"), "https://proxy.example.com/v1");
        let azure = "https://x.openai.azure.com/openai/deployments/o1/chat/completions?api-version=2025-01-01-preview";
        assert_eq!(url("azure-openai", azure), "https://x.openai.azure.com");
        assert_eq!(url("azure-openai", "https://openai-x.openai.azure.com/"), "https://openai-x.openai.azure.com");
        assert_eq!(url_for("openai-compatible", "<your-server>"), None);
    }
}
