//! `[[provider]]`.

use std::{collections::BTreeMap, ops::Range};

use lethe_policy::{FieldRules, Terms, Timeouts, Training, conflict};
use toml::Spanned;

use crate::{
    BaseUrl, Dialect, Provider, ProviderTerms, Scheme,
    check::Check,
    file::{FileModel, FileProvider, FileTerms},
    network::Reach,
    pem,
    preset::{self, Preset},
    server::bounded,
};

/// Dialects of the plan that this version does not speak.
const LATER_DIALECTS: [&str; 3] = ["anthropic", "gemini", "predictions"];

/// A provider's id, and the provider itself if nothing was wrong with it.
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) span: Range<usize>,
    pub(crate) preset: bool,
    pub(crate) provider: Option<Provider>,
}

/// Every `[[provider]]`, in the order of the file.
pub(crate) fn all(files: &[Spanned<FileProvider>], check: &mut Check<'_>) -> Vec<Named> {
    let presets = preset::all();
    let mut named: Vec<Named> = Vec::new();
    for file in files {
        let written = file.get_ref();
        let (id, span) = match (&written.id, &written.preset) {
            (Some(id), _) => (id.get_ref().clone(), id.span()),
            (None, Some(preset)) => (preset.get_ref().clone(), preset.span()),
            (None, None) => {
                check.problem(file.span(), "this provider has no id: write id = \"openai\"");
                continue;
            }
        };
        if !is_id(&id) {
            check.problem(span.clone(), "an id is 1 to 64 lower-case letters, digits, '-', '_' or '.': write id = \"openai\"");
        } else if named.iter().any(|other| other.id == id) {
            check.problem(span.clone(), format!("there are two providers with the id \"{id}\": write another id"));
        }
        let provider = one(written, &id, file.span(), &presets, check);
        named.push(Named { id, span, preset: written.preset.is_some(), provider });
    }
    named
}

/// Providers that no model leads to: nobody could ever reach them. Not told while a route names a provider that does not exist,
/// because that is most likely the same mistake.
pub(crate) fn without_models(providers: &[Named], models: &[Spanned<FileModel>], check: &mut Check<'_>) {
    let mut routes = models.iter().flat_map(|model| model.get_ref().routes.get_ref());
    if routes.any(|route| !providers.iter().any(|named| named.id == *route.provider.get_ref())) {
        return;
    }
    for named in providers {
        let routed = |model: &Spanned<FileModel>| {
            model.get_ref().routes.get_ref().iter().any(|route| *route.provider.get_ref() == named.id)
        };
        if !models.iter().any(routed) {
            let why = if named.preset { "a preset brings no model catalogue in this version" } else { "no model leads to it" };
            check.problem(
                named.span.clone(),
                format!(
                    "provider \"{id}\" has no models ({why}): write\n    [[model]]\n    id = \"name-for-clients\"\n    \
                     operations = [\"chat\"]\n    routes = [{{ provider = \"{id}\", model = \"its-own-name\" }}]",
                    id = named.id
                ),
            );
        }
    }
}

fn one(
    file: &FileProvider,
    id: &str,
    span: Range<usize>,
    presets: &BTreeMap<String, Preset>,
    check: &mut Check<'_>,
) -> Option<Provider> {
    let named_preset = match &file.preset {
        None => None,
        Some(name) => {
            let known = presets.keys().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
            let message = || {
                format!(
                    "there is no such preset in this version: write {known}, or leave preset out and write dialect and base_url"
                )
            };
            Some(check.take(name.span(), presets.get(name.get_ref()).ok_or_else(message))?)
        }
    };
    let base_url = base_url(file, named_preset, &span, check)?;
    reachable(file, &base_url, &span, check);
    let preset = match named_preset {
        Some(preset) => preset,
        None => presets.get(preset::name_for(&base_url.host))?,
    };
    let dialect = dialect(file, preset, named_preset.is_some(), &span, check)?;
    let api_key = file.api_key.as_ref().and_then(|secret| secret.get_ref().resolve(secret.span(), check));
    if let (None, Some(variable)) = (&file.api_key, &preset.api_key_env) {
        check.problem(
            span,
            format!("provider \"{id}\" needs a key: write api_key = {{ env = \"{variable}\" }} or {{ file = \"path\" }}"),
        );
    }
    let extra_roots = file.ca.as_ref().and_then(|ca| {
        let roots = pem::certificates(&check.path(ca.get_ref()));
        check.take(ca.span(), roots)
    });
    if let (Some(ca), Scheme::Http) = (&file.ca, base_url.scheme) {
        check.problem(ca.span(), "ca is for TLS, and base_url is http://: write https:// in base_url, or leave ca out");
    }
    let (rules, allowed_fields) = rules(&preset.rules, &file.allow_fields, check);
    let terms = match &file.terms {
        Some(terms) => self::terms(terms.get_ref(), check),
        None => {
            let at = file.id.as_ref().or(file.preset.as_ref()).map_or(0..0, Spanned::span);
            check.notice(
                at,
                format!(
                    "provider \"{id}\" has no [provider.terms]: its routes answer 503 provider_terms until terms are reviewed"
                ),
            );
            None
        }
    };
    Some(Provider {
        id: id.to_owned(),
        dialect,
        base_url,
        api_key,
        allow_private_network: file.allow_private_network,
        extra_roots: extra_roots.unwrap_or_default(),
        terms,
        rules,
        allowed_fields,
        timeouts: timeouts(file, check),
    })
}

fn base_url(file: &FileProvider, preset: Option<&Preset>, span: &Range<usize>, check: &mut Check<'_>) -> Option<BaseUrl> {
    let (url, span) = match (&file.base_url, preset.and_then(|preset| preset.base_url.as_ref())) {
        (Some(url), _) => (url.get_ref(), url.span()),
        (None, Some(url)) => (url, span.clone()),
        (None, None) => {
            check.problem(span.clone(), "this provider has no address: write base_url = \"https://host/v1\"");
            return None;
        }
    };
    check.take(span, BaseUrl::parse(url).map_err(str::to_owned))
}

/// Plain HTTP and private addresses only where the operator says so (DESIGN, "The dialer").
fn reachable(file: &FileProvider, url: &BaseUrl, span: &Range<usize>, check: &mut Check<'_>) {
    let span = file.base_url.as_ref().map_or_else(|| span.clone(), Spanned::span);
    let allowed = file.allow_private_network;
    match (url.reach(), url.scheme) {
        (Reach::Nowhere, _) => check.problem(span, "nobody answers at this address: write the server's own"),
        (Reach::Private, _) if !allowed => check.problem(
            span,
            "this is a private or loopback address: write allow_private_network = true beside it, or a public host",
        ),
        (_, Scheme::Http) if !allowed => {
            check.problem(span, "http:// is not protected in transit: write https://, or allow_private_network = true if the server is in a private network");
        }
        (Reach::Public, Scheme::Http) if url.is_address() => {
            check.problem(span, "this address is public, and http:// is not protected in transit: write https://");
        }
        (Reach::Public, Scheme::Http) => {
            check.notice(span, "http:// to a name: that it is inside a private network is the operator's assertion");
        }
        _ => {}
    }
}

fn dialect(file: &FileProvider, preset: &Preset, named: bool, span: &Range<usize>, check: &mut Check<'_>) -> Option<Dialect> {
    let (dialect, span) = match &file.dialect {
        Some(dialect) => (dialect.get_ref().as_str(), dialect.span()),
        None if named => (preset.dialect.as_str(), span.clone()),
        None => {
            check.problem(span.clone(), "this provider has no dialect: write dialect = \"openai\"");
            return None;
        }
    };
    let result = match dialect {
        "openai" => Ok(Dialect::OpenAi),
        other if LATER_DIALECTS.contains(&other) => Err(format!(
            "the dialect \"{other}\" is not in this version: write dialect = \"openai\" if the server also speaks that"
        )),
        _ => Err("there is no such dialect: write dialect = \"openai\"".to_owned()),
    };
    check.take(span, result)
}

/// The preset's rules, extended by what the operator answers for.
fn rules(preset: &FieldRules, extension: &[Spanned<String>], check: &mut Check<'_>) -> (FieldRules, Vec<String>) {
    let mut rules = preset.clone();
    let mut allowed = Vec::new();
    for field in extension {
        let name = field.get_ref();
        if name.is_empty()
            || name.len() > 64
            || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        {
            check.problem(
                field.span(),
                "a field is named by lower-case letters, digits and '_': write allow_fields = [\"top_k\"]",
            );
        } else if let Some(conflict) = conflict::field(name) {
            check.problem(field.span(), format!("`{name}` cannot be allowed: {}", conflict.instead));
        } else {
            check.notice(
                field.span(),
                format!("`{name}` is sent to this provider: that it leaves nothing behind is the operator's assertion"),
            );
            allowed.push(name.clone());
        }
    }
    for fields in [&mut rules.chat_fields, &mut rules.embeddings_fields] {
        fields.extend(allowed.iter().cloned());
        fields.sort_unstable();
        fields.dedup();
    }
    (rules, allowed)
}

fn terms(file: &FileTerms, check: &mut Check<'_>) -> Option<ProviderTerms> {
    let training = match file.training.get_ref().as_str() {
        "never" => Some(Training::Never),
        "allowed" => Some(Training::Allowed),
        _ => {
            check.problem(file.training.span(), "training is \"never\" or \"allowed\": write what the reviewed terms say");
            None
        }
    };
    let (reviewed, due) = (*file.reviewed.get_ref(), *file.review_due.get_ref());
    if due <= reviewed {
        check.problem(file.review_due.span(), "review_due lies before the review itself: write a day after reviewed");
        return None;
    }
    if due.days_since(reviewed) > 366 {
        check.notice(
            file.review_due.span(),
            "the next review is due more than a year after the last one: the policy asks for one each year (3.2)",
        );
    }
    let terms = Terms {
        training: training?,
        retention_days: *file.retention_days.get_ref(),
        reviewed: reviewed.start()?,
        review_due: due.start()?,
    };
    if terms.training != Training::Never {
        check.notice(file.training.span(), "the provider may train on content: its routes answer 503 provider_terms");
    }
    if terms.retention_days > 0 {
        check.notice(file.retention_days.span(), "the provider keeps content: its routes answer 503 provider_terms");
    }
    Some(ProviderTerms { terms, agreement: file.agreement.clone() })
}

fn timeouts(file: &FileProvider, check: &mut Check<'_>) -> Timeouts {
    let defaults = Timeouts::default();
    let mut seconds =
        |written: Option<&Spanned<u32>>, default, name| bounded(written, 1..=86_400, name, check).unwrap_or(default);
    let timeouts = Timeouts {
        first_byte_seconds: seconds(file.first_byte_seconds.as_ref(), defaults.first_byte_seconds, "first_byte_seconds"),
        idle_seconds: seconds(file.idle_seconds.as_ref(), defaults.idle_seconds, "idle_seconds"),
        total_seconds: seconds(file.total_seconds.as_ref(), defaults.total_seconds, "total_seconds"),
    };
    if timeouts.total_seconds < timeouts.first_byte_seconds
        && let Some(written) = file.total_seconds.as_ref().or(file.first_byte_seconds.as_ref())
    {
        check.problem(
            written.span(),
            format!(
                "total_seconds ({}) is shorter than first_byte_seconds ({}): write a longer total_seconds",
                timeouts.total_seconds, timeouts.first_byte_seconds
            ),
        );
    }
    timeouts
}

fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&id.len()) && id.bytes().all(plain)
}
