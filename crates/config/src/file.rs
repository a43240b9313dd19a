//! The file's own shape. Every table refuses fields that it does not know.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use crate::{
    date::Day,
    price::FilePrice,
    secret::{SecretRef, TextRef},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) control: Option<FileControl>,
    pub(crate) engine: Option<FileEngine>,
    pub(crate) gateway: Option<FileGateway>,
    #[serde(default)]
    pub(crate) model: Vec<Spanned<FileModel>>,
    #[serde(default)]
    pub(crate) provider: Vec<Spanned<FileProvider>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileGateway {
    pub(crate) body_idle_seconds: Option<Spanned<u32>>,
    pub(crate) drain_seconds: Option<Spanned<u32>>,
    pub(crate) head_seconds: Option<Spanned<u32>>,
    pub(crate) keep_alive_seconds: Option<Spanned<u32>>,
    pub(crate) listen: Option<Spanned<String>>,
    pub(crate) max_body_mib: Option<Spanned<u32>>,
    pub(crate) max_connections: Option<Spanned<u32>>,
    pub(crate) max_content_mib: Option<Spanned<u32>>,
    pub(crate) max_pending_records: Option<Spanned<u32>>,
    pub(crate) max_stale_seconds: Option<Spanned<u32>>,
    pub(crate) metering: Option<Spanned<String>>,
    pub(crate) min_bytes_per_second: Option<Spanned<u32>>,
    pub(crate) probes: Option<Spanned<String>>,
    pub(crate) recycle_hours: Option<Spanned<u32>>,
    pub(crate) tls: Option<Spanned<FileTls>>,
    pub(crate) trusted_peers: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) workers: Option<Spanned<u32>>,
}

/// `tls = { cert = "…", key = "…" }` or `tls = "terminated-by-proxy"`.
pub(crate) enum FileTls {
    Files(TlsFiles),
    TerminatedByProxy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    pub(crate) cert: Spanned<String>,
    pub(crate) key: Spanned<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileControl {
    pub(crate) console: Option<Spanned<String>>,
    pub(crate) otlp: Option<FileOtlp>,
    pub(crate) store: Option<Spanned<String>>,
}

/// Where metrics are sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileOtlp {
    #[serde(default)]
    pub(crate) allow_private_network: bool,
    pub(crate) authorization: Option<Spanned<SecretRef>>,
    pub(crate) ca: Option<Spanned<String>>,
    pub(crate) seconds: Option<Spanned<u32>>,
    pub(crate) url: Spanned<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEngine {
    pub(crate) concurrent: Option<Spanned<u32>>,
    pub(crate) enabled: Option<Spanned<bool>>,
    pub(crate) model: Option<Spanned<String>>,
    pub(crate) threads: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileProvider {
    #[serde(default)]
    pub(crate) allow_fields: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) allow_private_network: bool,
    pub(crate) api_key: Option<Spanned<SecretRef>>,
    pub(crate) api_version: Option<Spanned<String>>,
    pub(crate) aws: Option<Spanned<FileAws>>,
    pub(crate) base_url: Option<Spanned<String>>,
    pub(crate) ca: Option<Spanned<String>>,
    pub(crate) connect_seconds: Option<Spanned<u32>>,
    pub(crate) dialect: Option<Spanned<String>>,
    pub(crate) entra: Option<Spanned<FileEntra>>,
    pub(crate) first_byte_seconds: Option<Spanned<u32>>,
    pub(crate) google: Option<Spanned<FileGoogle>>,
    pub(crate) id: Option<Spanned<String>>,
    pub(crate) idle_seconds: Option<Spanned<u32>>,
    pub(crate) location: Option<Spanned<String>>,
    pub(crate) max_concurrent: Option<Spanned<u32>>,
    pub(crate) preset: Option<Spanned<String>>,
    pub(crate) project: Option<Spanned<String>>,
    pub(crate) prompt_cache: Option<Spanned<String>>,
    pub(crate) region: Option<Spanned<String>>,
    pub(crate) terms: Option<Spanned<FileTerms>>,
    pub(crate) total_seconds: Option<Spanned<u32>>,
}

/// Keys of an AWS account or role, or how temporary ones are had.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileAws {
    pub(crate) access_key_id: Option<Spanned<TextRef>>,
    pub(crate) credentials: Option<Spanned<SecretRef>>,
    pub(crate) external_id: Option<Spanned<String>>,
    pub(crate) profile: Option<Spanned<String>>,
    pub(crate) region: Option<Spanned<String>>,
    pub(crate) role: Option<Spanned<String>>,
    pub(crate) secret_access_key: Option<Spanned<SecretRef>>,
    pub(crate) session_token: Option<Spanned<SecretRef>>,
    pub(crate) sts_url: Option<Spanned<String>>,
    pub(crate) web_identity_token: Option<Spanned<SecretRef>>,
}

/// An application of Microsoft Entra.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntra {
    pub(crate) authority: Option<Spanned<String>>,
    pub(crate) client_id: Spanned<TextRef>,
    pub(crate) client_secret: Option<Spanned<SecretRef>>,
    pub(crate) federated_token: Option<Spanned<SecretRef>>,
    pub(crate) scope: Option<Spanned<String>>,
    pub(crate) tenant: Spanned<TextRef>,
}

/// Google's application default credentials.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileGoogle {
    pub(crate) credentials: Spanned<SecretRef>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileTerms {
    pub(crate) agreement: Option<String>,
    pub(crate) retention_days: Spanned<u32>,
    pub(crate) review_due: Spanned<Day>,
    pub(crate) reviewed: Spanned<Day>,
    pub(crate) training: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileModel {
    pub(crate) id: Spanned<String>,
    pub(crate) operations: Spanned<Vec<Spanned<String>>>,
    pub(crate) price: Option<FilePrice>,
    pub(crate) routes: Spanned<Vec<FileRoute>>,
    pub(crate) strategy: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRoute {
    pub(crate) max_output_tokens: Option<Spanned<u32>>,
    pub(crate) model: Option<Spanned<String>>,
    pub(crate) price: Option<FilePrice>,
    pub(crate) provider: Spanned<String>,
    pub(crate) weight: Option<Spanned<u32>>,
}

impl<'de> Deserialize<'de> for FileTls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TlsVisitor)
    }
}

/// By hand rather than `untagged`, which would lose the place of a mistake inside the table.
struct TlsVisitor;

impl<'de> Visitor<'de> for TlsVisitor {
    type Value = FileTls;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tls = { cert = \"cert.pem\", key = \"key.pem\" } or tls = \"terminated-by-proxy\"")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<FileTls, E> {
        if value == "terminated-by-proxy" {
            return Ok(FileTls::TerminatedByProxy);
        }
        Err(E::invalid_value(serde::de::Unexpected::Str(value), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FileTls, A::Error> {
        TlsFiles::deserialize(MapAccessDeserializer::new(map)).map(FileTls::Files)
    }
}
