//! API keys: made here, shown once, kept as hashes, pushed to every linked gateway at once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use lethe_link::Down;
use lethe_policy::KeyEntry;
use lethe_store::{ApiKey, Counter, Store, StoreError};
use lethe_types::{AccountPseudonym, Clock, KeyHash, KeyId, Millis, Region};
use tokio::sync::broadcast;

use crate::{ControlError, base64url};

/// What every API key begins with, so that scanners for leaked secrets can find it.
const KEY_PREFIX: &str = "lethe_";
/// Changes that a slow link may be behind; beyond it the link is closed and begins anew with a snapshot.
const BEHIND: usize = 256;

/// The keys of this deployment.
pub(crate) struct Keys {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    /// Held over commit and push, so that changes are pushed in the order of their commits.
    changes: tokio::sync::Mutex<broadcast::Sender<Down>>,
}

struct Known {
    /// Rises with every change.
    version: u64,
    in_force: Vec<KeyEntry>,
    /// Accounts of revoked keys too: their last requests are still on the way.
    accounts: HashSet<AccountPseudonym>,
}

/// The accounts, for one batch of records.
pub(crate) struct Accounts<'a>(MutexGuard<'a, Known>);

impl Accounts<'_> {
    pub(crate) fn contains(&self, account: AccountPseudonym) -> bool {
        self.0.accounts.contains(&account)
    }
}

/// A new key, in the clear for the only time.
pub(crate) struct NewKey {
    pub(crate) key: String,
    pub(crate) entry: KeyEntry,
    pub(crate) created: Millis,
}

impl Keys {
    pub(crate) async fn load(store: Arc<Store>, clock: Arc<dyn Clock>) -> Result<Self, ControlError> {
        let keys = store.keys().await?;
        let known = Known {
            version: store.raise(Counter::SnapshotVersion).await?,
            in_force: keys.iter().filter(|key| key.revoked.is_none()).map(entry).collect(),
            accounts: keys.iter().map(|key| key.account).collect(),
        };
        let changes = tokio::sync::Mutex::new(broadcast::Sender::new(BEHIND));
        Ok(Self { store, clock, known: Mutex::new(known), changes })
    }

    /// The keys in force, the version of the snapshot they belong to, and every change from then on.
    pub(crate) async fn subscribe(&self) -> (u64, Vec<KeyEntry>, broadcast::Receiver<Down>) {
        let changes = self.changes.lock().await;
        let known = self.known();
        (known.version, known.in_force.clone(), changes.subscribe())
    }

    /// Raises the version of the snapshot, because something else in it changes.
    pub(crate) async fn raise(&self) -> Result<(), ControlError> {
        let _changes = self.changes.lock().await;
        let version = self.store.raise(Counter::SnapshotVersion).await?;
        self.known().version = version;
        Ok(())
    }

    /// The version of the snapshot that gateways are sent now.
    pub(crate) fn version(&self) -> u64 {
        self.known().version
    }

    /// Every account there has been, for a moment: key changes wait for it.
    pub(crate) fn accounts(&self) -> Accounts<'_> {
        Accounts(self.known())
    }

    /// Up to `limit` keys after the key `after`, revoked ones too.
    pub(crate) async fn list(&self, after: KeyId, limit: u32) -> Result<Vec<ApiKey>, StoreError> {
        self.store.keys_after(after, limit).await
    }

    /// Makes a key. `ControlError::Store` as [`Store::add_key`] says.
    pub(crate) async fn create(&self, name: &str, region: Option<Region>) -> Result<NewKey, ControlError> {
        let (key, hash) = new_secret(KEY_PREFIX)?;
        let account = new_account()?;
        let changes = self.changes.lock().await;
        let created = self.clock.now();
        let id = self.store.add_key(hash, account, name, region, created).await?;
        let entry = KeyEntry { hash, id, account, region };
        let version = self.store.raise(Counter::SnapshotVersion).await?;
        {
            let mut known = self.known();
            known.version = version;
            known.in_force.push(entry);
            known.accounts.insert(account);
        }
        // An error means that no gateway is linked.
        let _ = changes.send(Down::KeyAdded(entry));
        Ok(NewKey { key, entry, created })
    }

    /// Revokes a key and says since when it is revoked; `None` if there is no such key.
    pub(crate) async fn revoke(&self, id: KeyId) -> Result<Option<Millis>, ControlError> {
        let changes = self.changes.lock().await;
        let Some(since) = self.store.revoke_key(id, self.clock.now()).await? else { return Ok(None) };
        // Gateways first: whatever happens next, the key is no longer in force.
        self.known().in_force.retain(|entry| entry.id != id);
        let _ = changes.send(Down::KeyRevoked(id));
        let version = self.store.raise(Counter::SnapshotVersion).await?;
        self.known().version = version;
        Ok(Some(since))
    }

    /// No code that holds the lock can panic between two changes.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `prefix` and 32 random bytes in base64url, and the SHA-256 of the whole text.
pub(crate) fn new_secret(prefix: &str) -> Result<(String, KeyHash), ControlError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ControlError::Random)?;
    let text = format!("{prefix}{}", base64url::encode(&bytes));
    let hash = hash(text.as_bytes()).ok_or(ControlError::Random)?;
    Ok((text, hash))
}

/// The SHA-256 of a key or token as its holder sends it.
pub(crate) fn hash(secret: &[u8]) -> Option<KeyHash> {
    digest(&SHA256, secret).as_ref().try_into().ok().map(KeyHash)
}

/// A random pseudonym other than 0, which stands for nobody.
fn new_account() -> Result<AccountPseudonym, ControlError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ControlError::Random)?;
    Ok(AccountPseudonym(u64::from_be_bytes(bytes).max(1)))
}

fn entry(key: &ApiKey) -> KeyEntry {
    KeyEntry { hash: key.hash, id: key.id, account: key.account, region: key.region }
}
