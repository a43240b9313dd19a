//! `[[provider]]`.

use std::ops::Range;

use lethe_policy::{Dialect, PromptCache, Rules, Timeouts, conflict};
use lethe_types::Region;
use toml::Spanned;

use crate::{
    Provider, Scheme, address,
    check::Check,
    credential,
    file::FileProvider,
    pem,
    preset::{self, Preset},
    server::bounded,
    terms,
};

/// A provider's id, and the provider itself if nothing was wrong with it.
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) span: Range<usize>,
    /// The preset that the file names.
    pub(crate) preset: Option<&'static Preset>,
    /// The preset whose rules and knowledge apply.
    pub(crate) known: Option<&'static Preset>,
    pub(crate) provider: Option<Provider>,
}

/// Every `[[provider]]`, in the order of the file.
pub(crate) fn all(files: &[Spanned<FileProvider>], check: &mut Check<'_>) -> Vec<Named> {
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
        let preset = match written.preset.as_ref().map(|name| (name, preset::named(name.get_ref()))) {
            None => Ok(None),
            Some((_, Some(preset))) => Ok(Some(preset)),
            Some((name, None)) => {
                let known = preset::PRESETS.keys().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
                check.problem(
                    name.span(),
                    format!("there is no such preset: write {known}, or leave preset out and write dialect and base_url"),
                );
                Err(())
            }
        };
        let one = preset.ok().and_then(|preset| one(written, &id, preset, file.span(), check));
        let preset = preset.ok().flatten().map(|(_, preset)| preset);
        let known = one.as_ref().and_then(|one| preset::named(one.preset)).map(|(_, preset)| preset);
        named.push(Named { id, span, preset, known, provider: one });
    }
    named
}

fn one(
    file: &FileProvider,
    id: &str,
    named: Option<(&'static str, &'static Preset)>,
    span: Range<usize>,
    check: &mut Check<'_>,
) -> Option<Provider> {
    let dialect = dialect(file, named.map(|(_, preset)| preset), &span, check);
    let base_url = address::of(file, named.map(|(_, preset)| preset), dialect, &span, check);
    let (dialect, base_url) = (dialect?, base_url?);
    address::reachable(file, &base_url, &span, check);
    let (preset_name, preset) = named.or_else(|| preset::fitting(dialect, &base_url.host))?;
    let access = credential::checked(file, id, dialect, preset, span, check);
    let extra_roots = file.ca.as_ref().and_then(|ca| {
        let roots = pem::certificates(&check.path(ca.get_ref()));
        check.take(ca.span(), roots)
    });
    if let (Some(ca), Scheme::Http) = (&file.ca, base_url.scheme) {
        check.problem(ca.span(), "ca is for TLS, and base_url is http://: write https:// in base_url, or leave ca out");
    }
    let (rules, allowed_fields) = rules(file, preset, check);
    let terms = match &file.terms {
        Some(terms) => terms::checked(terms.get_ref(), preset, check),
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
    let access = access?;
    Some(Provider {
        id: id.to_owned(),
        preset: preset_name,
        dialect,
        base_url,
        credential: access.credential,
        grant: access.grant,
        allow_private_network: file.allow_private_network,
        extra_roots: extra_roots.unwrap_or_default(),
        terms,
        rules,
        allowed_fields,
        region: region(file, check),
        max_concurrent: bounded(file.max_concurrent.as_ref(), 1..=1_000_000, "max_concurrent", check),
        prompt_cache: prompt_cache(file, check),
        timeouts: timeouts(file, check),
    })
}

fn dialect(file: &FileProvider, preset: Option<&Preset>, span: &Range<usize>, check: &mut Check<'_>) -> Option<Dialect> {
    let Some(written) = &file.dialect else {
        if preset.is_none() {
            check.problem(span.clone(), "this provider has no dialect: write dialect = \"openai\", or preset = \"openai\"");
        }
        return preset.map(|preset| preset.dialect);
    };
    let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.name() == written.get_ref());
    let result = match (dialect, preset) {
        (None, _) => {
            let known = Dialect::ALL.map(|dialect| format!("\"{}\"", dialect.name())).join(" or ");
            Err(format!("there is no such dialect: write {known}"))
        }
        (Some(dialect), Some(preset)) if dialect != preset.dialect => {
            Err(format!("the preset speaks \"{}\": leave dialect out, or leave preset out", preset.dialect.name()))
        }
        (Some(dialect), _) => Ok(dialect),
    };
    check.take(written.span(), result)
}

/// The preset's rules, extended by what the operator answers for.
fn rules(file: &FileProvider, preset: &Preset, check: &mut Check<'_>) -> (Rules, Vec<String>) {
    let mut rules = preset.rules();
    let mut allowed = Vec::new();
    for field in &file.allow_fields {
        let name = field.get_ref();
        // Gemini's server reads `topK` and `top_k` alike, and so are both compared with what conflicts.
        let folded = name.to_ascii_lowercase();
        let joined = folded.replace('_', "");
        let conflict = rules.apis.iter().find_map(|rules| {
            conflict::field(rules.api, &folded).or_else(|| conflict::field(rules.api, &joined)).map(|conflict| conflict.instead)
        });
        let conflict = conflict.or_else(|| preset.retains.get(&folded).map(String::as_str));
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            check.problem(field.span(), "a field is named by letters, digits and '_': write allow_fields = [\"top_k\"]");
        } else if let Some(instead) = conflict {
            check.problem(field.span(), format!("`{name}` cannot be allowed: {instead}"));
        } else {
            check.notice(
                field.span(),
                format!("`{name}` is sent to this provider: that it leaves nothing behind is the operator's assertion"),
            );
            allowed.push(name.clone());
        }
    }
    for api in &mut rules.apis {
        api.fields.extend(allowed.iter().cloned());
        api.fields.sort_unstable();
        api.fields.dedup();
    }
    if let (Dialect::AzureOpenai, Some(version)) = (preset.dialect, &file.api_version) {
        address::azure_paths(version, &mut rules, check);
    }
    (rules, allowed)
}

/// The tag that is written, else what the cloud calls the place, where that can be a tag.
fn region(file: &FileProvider, check: &mut Check<'_>) -> Option<Region> {
    if let Some(written) = &file.region {
        let message = || "a region is 1 to 15 lower-case letters, digits and '-': write region = \"eu\"".to_owned();
        return check.take(written.span(), Region::new(written.get_ref()).ok_or_else(message));
    }
    let aws = file.aws.as_ref().and_then(|aws| aws.get_ref().region.as_ref());
    Region::new(aws.or(file.location.as_ref())?.get_ref())
}

fn prompt_cache(file: &FileProvider, check: &mut Check<'_>) -> PromptCache {
    let Some(written) = &file.prompt_cache else { return PromptCache::default() };
    let result = match written.get_ref().as_str() {
        "isolated" => Ok(PromptCache::Isolated),
        "off" => Ok(PromptCache::Off),
        "shared" => Ok(PromptCache::Shared),
        _ => Err("there are three ways: write prompt_cache = \"off\", \"isolated\" (the credential serves one account only) or \
                  \"shared\" (accounts share a cache, and can tell by time what others have sent)"
            .to_owned()),
    };
    let cache = check.take(written.span(), result).unwrap_or_default();
    match cache {
        PromptCache::Isolated => {
            check.notice(written.span(), "that this credential serves one account only is the operator's assertion");
        }
        PromptCache::Shared => check.notice(
            written.span(),
            "accounts share this provider's prompt cache: by time alone one can tell whether another has sent the same beginning",
        ),
        PromptCache::Off => {}
    }
    cache
}

fn timeouts(file: &FileProvider, check: &mut Check<'_>) -> Timeouts {
    let defaults = Timeouts::default();
    let mut seconds =
        |written: Option<&Spanned<u32>>, default, name| bounded(written, 1..=86_400, name, check).unwrap_or(default);
    let timeouts = Timeouts {
        connect_seconds: seconds(file.connect_seconds.as_ref(), defaults.connect_seconds, "connect_seconds"),
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
