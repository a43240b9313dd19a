//! Credentials that expire: obtained here, renewed before their end, pushed to gateways as what they are for so long. What they are
//! obtained with goes no further than this process.

mod oauth;
mod sts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use lethe_policy::{Credential, EntraProof, Grant};
use lethe_types::{Clock, Failure, Millis, SecretBytes};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::outbound::{Outbound, Outgoing, Trust};
use crate::start::ProviderSetup;

/// How OAuth and AWS take parameters (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>).
const FORM: &str = "application/x-www-form-urlencoded";
/// Nobody is asked more often than this, however short a credential's life is.
const SHORTEST: Duration = Duration::from_secs(1);
/// Between two tries of a server that fails, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Between two looks at the clock: it may be set, and the machine may have slept.
const LOOK: Duration = Duration::from_secs(30);

/// A credential and its end.
pub struct Obtained {
    /// What gateways show the provider.
    pub credential: Credential,
    /// When it is worth nothing any more.
    pub expires: Millis,
}

/// Why there is no credential.
#[derive(Debug)]
pub struct NotObtained {
    /// As operators know it from providers.
    pub failure: Failure,
    /// The server's own words, for whoever asks on the command line; kept nowhere.
    pub said: Option<String>,
}

impl From<Failure> for NotObtained {
    fn from(failure: Failure) -> Self {
        Self { failure, said: None }
    }
}

/// Asks for a credential once. `now` is what is signed and what lives are counted from.
///
/// # Errors
/// The server's refusal, or why it was not reached.
pub async fn obtain(outbound: &Outbound, grant: &Grant, trust: &Trust, now: Millis) -> Result<Obtained, NotObtained> {
    let server = grant.server();
    let outgoing = match grant {
        Grant::AwsRole { region, role, external_id, keys, .. } => {
            sts::assume_role(server, region, role, external_id.as_deref(), keys, now)
        }
        Grant::AwsWebIdentity { role, token, .. } => sts::assume_role_with_web_identity(role, token),
        Grant::Entra { client_id, proof, scope, .. } => match proof {
            EntraProof::Assertion(token) => oauth::client_credentials(client_id, scope, ("client_assertion", token), true),
            EntraProof::Secret(secret) => oauth::client_credentials(client_id, scope, ("client_secret", secret), false),
        },
        Grant::GoogleServiceAccount { email, key_id, private_key, .. } => {
            oauth::assertion(email, key_id.as_deref(), private_key, &server.url(), now)?
        }
        Grant::GoogleUser { client_id, client_secret, refresh_token, .. } => {
            oauth::refresh(client_id, client_secret, refresh_token)
        }
    };
    let answered = outbound.post(server, trust, outgoing).await?;
    match grant {
        Grant::AwsRole { .. } | Grant::AwsWebIdentity { .. } => sts::keys(&answered),
        Grant::Entra { .. } | Grant::GoogleServiceAccount { .. } | Grant::GoogleUser { .. } => oauth::token(&answered, now),
    }
}

/// A body of these pairs.
fn form(pairs: &[(&str, &[u8])]) -> Outgoing {
    let length = pairs.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    // In one piece, so that nothing is left behind by growing.
    let mut body = Vec::with_capacity(length);
    for (position, (name, value)) in pairs.iter().enumerate() {
        if position > 0 {
            body.push(b'&');
        }
        body.extend_from_slice(name.as_bytes());
        body.push(b'=');
        for byte in *value {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                body.push(*byte);
            } else {
                let digit = |digit: u8| b"0123456789ABCDEF"[usize::from(digit)];
                body.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    Outgoing { fields: vec![("content-type", FORM.to_owned())], body: SecretBytes::new(body) }
}

/// What operators are shown of a provider's credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) provider: String,
    /// How it is obtained.
    pub(crate) grant: &'static str,
    /// When the one at hand ends; `None` if there is none.
    pub(crate) expires: Option<Millis>,
    /// Tries that failed since the last one that did not, and why the last did.
    pub(crate) failing: Option<(u32, Failure)>,
    /// Tries that failed since the start.
    pub(crate) failures: BTreeMap<Failure, u64>,
}

/// Keeps a credential at hand for every provider that has a grant.
pub(crate) struct Broker {
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    kept: Mutex<BTreeMap<String, Kept>>,
    /// Rises with every credential that comes or goes.
    news: watch::Sender<u64>,
}

/// A provider, and what is obtained for it with what.
struct Whose {
    id: String,
    fingerprint: [u8; 32],
}

/// One provider's.
struct Kept {
    /// Tells whether a new configuration has the same grant, without a second copy of it.
    fingerprint: [u8; 32],
    obtained: Option<Obtained>,
    /// One try has come to its end.
    tried: bool,
    shown: Shown,
    task: JoinHandle<()>,
}

impl Broker {
    pub(crate) fn new(outbound: Outbound, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { outbound, clock, kept: Mutex::default(), news: watch::Sender::new(0) })
    }

    /// Follows a configuration: what it no longer has is forgotten, what is new in it is asked for at once.
    pub(crate) fn follow(self: &Arc<Self>, providers: &[ProviderSetup]) {
        let mut kept = self.kept();
        kept.retain(|id, _| providers.iter().any(|setup| setup.provider.id == *id && setup.grant.is_some()));
        for setup in providers {
            let Some(grant) = &setup.grant else { continue };
            let (id, trust) = (&setup.provider.id, setup.trust());
            let fingerprint = fingerprint(grant, &trust);
            if kept.get(id).is_some_and(|kept| kept.fingerprint == fingerprint) {
                continue;
            }
            let shown =
                Shown { provider: id.clone(), grant: grant.name(), expires: None, failing: None, failures: BTreeMap::new() };
            let whose = Whose { id: id.clone(), fingerprint };
            let keeping = Arc::clone(self).keep(whose, grant.clone(), trust);
            // A task that is replaced ends with its entry.
            kept.insert(id.clone(), Kept { fingerprint, obtained: None, tried: false, shown, task: tokio::spawn(keeping) });
        }
    }

    /// Waits until every grant has been tried once, for `limit` at most.
    pub(crate) async fn tried(&self, limit: Duration) {
        let mut news = self.news.subscribe();
        let all = async { while self.kept().values().any(|kept| !kept.tried) && news.changed().await.is_ok() {} };
        // Whoever takes longer is waited for by his provider's requests alone.
        let _ = timeout(limit, all).await;
    }

    /// Every credential that comes or goes from now on.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The credential at hand for a provider that has a grant.
    pub(crate) fn credential(&self, provider: &str) -> Option<Credential> {
        let kept = self.kept();
        kept.get(provider).and_then(|kept| kept.obtained.as_ref()).map(|obtained| obtained.credential.clone())
    }

    /// What operators may see, in the order of the providers' ids.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        self.kept().values().map(|kept| kept.shown.clone()).collect()
    }

    /// Has a credential ready for as long as the task lives.
    async fn keep(self: Arc<Self>, whose: Whose, grant: Grant, trust: Trust) {
        let mut failed = 0;
        loop {
            let began = self.clock.now();
            let obtained = obtain(&self.outbound, &grant, &trust, began).await;
            // One that has ended already is none, and no reason to ask again at once.
            let alive = obtained
                .and_then(|obtained| if obtained.expires > began { Ok(obtained) } else { Err(Failure::Malformed.into()) });
            let pause = match alive {
                Ok(obtained) => {
                    failed = 0;
                    let life = Duration::from_millis(obtained.expires.saturating_sub(began));
                    self.change(&whose, |kept| {
                        kept.shown.expires = Some(obtained.expires);
                        kept.shown.failing = None;
                        kept.obtained = Some(obtained);
                    });
                    renewal(life)
                }
                Err(NotObtained { failure, .. }) => {
                    failed += 1;
                    self.change(&whose, |kept| {
                        kept.shown.failing = Some((failed, failure));
                        *kept.shown.failures.entry(failure).or_default() += 1;
                    });
                    again(failed)
                }
            };
            self.wait(&whose, began.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX))).await;
        }
    }

    /// Until the clock shows `due`. What expires meanwhile is taken away.
    async fn wait(&self, whose: &Whose, due: Millis) {
        loop {
            let now = self.clock.now();
            let expires = self.kept().get(&whose.id).and_then(|kept| kept.obtained.as_ref()).map(|obtained| obtained.expires);
            if expires.is_some_and(|expires| expires <= now) {
                self.change(whose, |kept| {
                    kept.shown.expires = None;
                    kept.obtained = None;
                });
                continue;
            }
            if now >= due {
                return;
            }
            let next = expires.map_or(due, |expires| expires.min(due));
            sleep(Duration::from_millis(next - now).min(LOOK)).await;
        }
    }

    fn change(&self, whose: &Whose, change: impl FnOnce(&mut Kept)) {
        // A task that is being replaced may have its answer just now: it is for nobody.
        if let Some(kept) = self.kept().get_mut(&whose.id).filter(|kept| kept.fingerprint == whose.fingerprint) {
            change(kept);
            kept.tried = true;
        }
        self.news.send_modify(|news| *news += 1);
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When a credential with so long a life is renewed: after two thirds, so that a server may fail for the last.
fn renewal(life: Duration) -> Duration {
    (life / 3 * 2).max(SHORTEST)
}

/// How long to wait after so many failures in a row: 1 s, twice as long each time, up to a minute, less a part that differs
/// from one deployment to the next.
fn again(failed: u32) -> Duration {
    let whole = SHORTEST.saturating_mul(1 << failed.saturating_sub(1).min(8)).min(LONGEST_PAUSE);
    let mut dice = [0];
    // Without dice all wait alike, which does no harm here.
    let _ = aws_lc_rs::rand::fill(&mut dice);
    whole - whole / 4 * u32::from(dice[0]) / 255
}

fn fingerprint(grant: &Grant, trust: &Trust) -> [u8; 32] {
    let secret = postcard::to_allocvec(grant).map(SecretBytes::new);
    let mut of = secret.as_ref().map_or_else(|_| Vec::new(), |secret| digest(&SHA256, secret.expose()).as_ref().to_vec());
    of.push(u8::from(trust.allow_private));
    trust.extra_roots.iter().for_each(|root| of.extend_from_slice(root));
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, &of).as_ref());
    fingerprint
}

#[cfg(test)]
mod tests;
