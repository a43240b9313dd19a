//! An authority for one audit, and a certificate of it for this machine: with it every link of the Lethe that is started is a protected one.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;

/// Both ends' files, as PEM, and the scripted provider's side.
pub(super) struct Certificates {
    pub(super) authority: String,
    pub(super) chain: String,
    pub(super) key: String,
    pub(super) server: Arc<ServerConfig>,
}

/// Makes them; the authority's own key is gone when this returns.
pub(super) fn make() -> Option<Certificates> {
    let mut params = CertificateParams::new(Vec::new()).ok()?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "lethe audit");
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().ok()?).ok()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).ok()?;
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    // As many days as nobody's audit takes.
    let today = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
    let end = today.checked_add(jiff::Span::new().days(30)).ok()?;
    params.not_after = rcgen::date_time_ymd(end.year().into(), end.month().unsigned_abs(), end.day().unsigned_abs());
    let key = KeyPair::generate().ok()?;
    let leaf = params.signed_by(&key, &issuer).ok()?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).ok()?;
    let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .ok()?;
    Some(Certificates { authority: issuer.pem(), chain: leaf.pem(), key: key.serialize_pem(), server: Arc::new(server) })
}
