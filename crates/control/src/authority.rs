//! The deployment's own certificate authority, and the key that signs endpoint lists.
//!
//! Made at the first start and kept in the folder `authority` (0700, files 0600) of the state folder. Every part of a
//! deployment trusts this authority and no other; a part's role is a URI in its certificate.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use lethe_handover::{Identity, Role};
use lethe_policy::endpoints::{EndpointList, SignedEndpoints};
use lethe_types::{Millis, SecretBytes};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use crate::ControlError;

/// DNS name of control in its certificate.
pub const CONTROL_NAME: &str = "control.lethe.internal";
/// DNS name of a node in its certificate.
pub const NODE_NAME: &str = "node.lethe.internal";

const FOLDER: &str = "authority";
const UNFINISHED: &str = "authority.new";
const CERTIFICATE: &str = "authority.crt";
const KEY: &str = "authority.key";
const ENDPOINTS_KEY: &str = "endpoints.key";

const AUTHORITY_LIFE: Duration = Duration::days(3652);
const ROLE_LIFE: Duration = Duration::days(90);
/// Two thirds of a certificate's life, in milliseconds: then the next one is issued.
pub(crate) const RENEW_AFTER: Millis = 60 * 24 * 60 * 60 * 1000;
/// Clocks of two machines may differ by this much.
const SKEW: Duration = Duration::hours(1);

/// Issues identities and signs endpoint lists.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    endpoints: Ed25519KeyPair,
}

impl Authority {
    /// Loads the authority from the state folder, or makes it if there is none.
    ///
    /// # Errors
    /// [`ControlError::Authority`] if it cannot be read or written.
    pub fn open(state: &Path, now: Millis) -> Result<Self, ControlError> {
        let folder = state.join(FOLDER);
        if !folder.exists() {
            make(state, now)?;
        }
        let read = |name: &str| fs::read(folder.join(name)).map(SecretBytes::new).map_err(|_| ControlError::Authority);
        let certificate = CertificateDer::from(read(CERTIFICATE)?.expose().to_vec());
        let key = key_pair(read(KEY)?.expose())?;
        let endpoints = Ed25519KeyPair::from_pkcs8(read(ENDPOINTS_KEY)?.expose()).map_err(|_| ControlError::Authority)?;
        Ok(Self { issuer: Issuer::new(authority_params(now)?, key), certificate, endpoints })
    }

    /// The authority's certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The public key for endpoint lists.
    ///
    /// # Errors
    /// [`ControlError::Authority`] if the key is not one of 32 bytes.
    pub fn verify_key(&self) -> Result<[u8; 32], ControlError> {
        self.endpoints.public_key().as_ref().try_into().map_err(|_| ControlError::Authority)
    }

    /// Signs an endpoint list.
    ///
    /// # Errors
    /// [`ControlError::Endpoints`] if it cannot be encoded.
    pub fn sign(&self, list: &EndpointList) -> Result<Vec<u8>, ControlError> {
        SignedEndpoints::sign(list, &self.endpoints).ok_or(ControlError::Endpoints)
    }

    /// A new key and certificate for a part with this role, in force for 90 days.
    ///
    /// Control serves as `control.lethe.internal`; a gateway is a client, `lethe://gateway/ID`; a node serves as
    /// `node.lethe.internal` and is a client of control, `lethe://node/ID`. Each ID is new.
    ///
    /// # Errors
    /// [`ControlError::Role`] for the roles that have no identity: dialer and engine.
    pub fn issue(&self, role: Role, now: Millis) -> Result<Identity, ControlError> {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let uri = SanType::URI(format!("lethe://{}/{}", role.name(), new_id()?).try_into().map_err(|_| ControlError::Authority)?);
        match role {
            Role::Control => self.certify(role.name(), vec![dns(CONTROL_NAME)?, uri], vec![ServerAuth], now),
            Role::Gateway => self.certify(role.name(), vec![uri], vec![ClientAuth], now),
            Role::Node => self.certify(role.name(), vec![dns(NODE_NAME)?, uri], vec![ServerAuth, ClientAuth], now),
            Role::Dialer | Role::Engine => Err(ControlError::Role),
        }
    }

    /// [`Authority::issue`] for each of `roles`, in their order.
    pub(crate) fn issue_all(&self, roles: &[Role], now: Millis) -> Result<Vec<(Role, Identity)>, ControlError> {
        roles.iter().map(|role| Ok((*role, self.issue(*role, now)?))).collect()
    }

    /// A new key and certificate for the console, on loopback and on `address`.
    ///
    /// # Errors
    /// [`ControlError::Authority`] if it cannot be made.
    pub(crate) fn issue_console(&self, address: IpAddr, now: Millis) -> Result<Identity, ControlError> {
        let mut names = vec![dns("localhost")?, dns(CONTROL_NAME)?];
        names.extend([IpAddr::from([127, 0, 0, 1]), IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1])].map(SanType::IpAddress));
        let address = SanType::IpAddress(address);
        if !names.contains(&address) {
            names.push(address);
        }
        self.certify("console", names, vec![ExtendedKeyUsagePurpose::ServerAuth], now)
    }

    fn certify(
        &self,
        name: &str,
        names: Vec<SanType>,
        usages: Vec<ExtendedKeyUsagePurpose>,
        now: Millis,
    ) -> Result<Identity, ControlError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| ControlError::Random)?;
        let mut params = params(&format!("lethe {name}"), ROLE_LIFE, now)?;
        params.subject_alt_names = names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.issuer).map_err(|_| ControlError::Authority)?;
        Ok(Identity {
            authority: self.certificate.to_vec(),
            chain: vec![leaf.der().to_vec()],
            key: SecretBytes::new(key.serialize_der()),
        })
    }
}

/// Makes the authority in a folder of another name and renames it: either all of it is there, or nothing.
fn make(state: &Path, now: Millis) -> Result<(), ControlError> {
    let failed = |_| ControlError::Authority;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| ControlError::Random)?;
    let certificate = authority_params(now)?.self_signed(&key).map_err(|_| ControlError::Authority)?;
    let endpoints = Ed25519KeyPair::generate().map_err(|_| ControlError::Random)?;
    let endpoints: Pkcs8V1Der<'_> = endpoints.as_der().map_err(|_| ControlError::Random)?;

    let unfinished = state.join(UNFINISHED);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(failed)?;
    }
    DirBuilder::new().mode(0o700).create(&unfinished).map_err(failed)?;
    let key = SecretBytes::new(key.serialize_der());
    for (name, bytes) in [(CERTIFICATE, certificate.der().as_ref()), (KEY, key.expose()), (ENDPOINTS_KEY, endpoints.as_ref())] {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished.join(name)).map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    let sync = |folder: &Path| File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed);
    sync(&unfinished)?;
    fs::rename(&unfinished, state.join(FOLDER)).map_err(failed)?;
    sync(state)
}

fn authority_params(now: Millis) -> Result<CertificateParams, ControlError> {
    let mut params = params("lethe authority", AUTHORITY_LIFE, now)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

fn params(name: &str, life: Duration, now: Millis) -> Result<CertificateParams, ControlError> {
    let seconds = i64::try_from(now / 1000).map_err(|_| ControlError::Authority)?;
    let now = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| ControlError::Authority)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now.checked_sub(SKEW).ok_or(ControlError::Authority)?;
    params.not_after = now.checked_add(life).ok_or(ControlError::Authority)?;
    Ok(params)
}

fn key_pair(der: &[u8]) -> Result<KeyPair, ControlError> {
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ECDSA_P256_SHA256)
        .map_err(|_| ControlError::Authority)
}

fn dns(name: &str) -> Result<SanType, ControlError> {
    name.try_into().map(SanType::DnsName).map_err(|_| ControlError::Authority)
}

/// 64 random bits in hexadecimal.
fn new_id() -> Result<String, ControlError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ControlError::Random)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}
