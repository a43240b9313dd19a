//! API keys and operator tokens: hashes only.

use lethe_types::{AccountPseudonym, KeyHash, KeyId, Millis, Region};

use crate::open::{narrow, signed};
use crate::{Store, StoreError};

/// Upper bound of a key's name, in characters.
pub const NAME_CHARACTERS: usize = 64;

const INSERT_KEY: &str =
    "INSERT INTO api_keys (hash, account, name, created_ms, region) VALUES ($1, $2, $3, $4, $5) RETURNING id";
const KEYS: &str = "SELECT id, hash, account, name, created_ms, revoked_ms, region FROM api_keys ORDER BY id";
const KEYS_AFTER: &str =
    "SELECT id, hash, account, name, created_ms, revoked_ms, region FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2";
const REVOKE_KEY: &str = "UPDATE api_keys SET revoked_ms = coalesce(revoked_ms, $2) WHERE id = $1 RETURNING revoked_ms";
const INSERT_TOKEN: &str = "INSERT INTO operator_tokens (hash, created_ms) VALUES ($1, $2) RETURNING id";
const TOKENS: &str = "SELECT hash FROM operator_tokens WHERE revoked_ms IS NULL ORDER BY id";

/// An API key, in force or revoked.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Number.
    pub id: KeyId,
    /// SHA-256 of the key.
    pub hash: KeyHash,
    /// Who its usage is counted for.
    pub account: AccountPseudonym,
    /// What the operator calls it.
    pub name: String,
    /// When it was created, ms.
    pub created: Millis,
    /// When it was revoked, ms.
    pub revoked: Option<Millis>,
    /// Where the content of its requests may be processed; `None` for anywhere.
    pub region: Option<Region>,
}

type KeyRow = (i64, Vec<u8>, i64, String, i64, Option<i64>, Option<String>);

impl Store {
    /// Adds a key. `account` must not be 0, which stands for nobody.
    ///
    /// # Errors
    /// [`StoreError::Name`] for a name that is empty, longer than [`NAME_CHARACTERS`] or has control characters;
    /// [`StoreError::Exists`] if hash or pseudonym are taken.
    pub async fn add_key(
        &self,
        hash: KeyHash,
        account: AccountPseudonym,
        name: &str,
        region: Option<Region>,
        now: Millis,
    ) -> Result<KeyId, StoreError> {
        let length = name.chars().count();
        if length == 0 || length > NAME_CHARACTERS || name.chars().any(char::is_control) {
            return Err(StoreError::Name);
        }
        let mut tx = self.tx("add_key").await?;
        let done = async {
            let id: i64 = sqlx::query_scalar(INSERT_KEY)
                .bind(hash.0.as_slice())
                .bind(signed(account.0))
                .bind(name)
                .bind(signed(now))
                .bind(region.as_ref().map(Region::as_str))
                .fetch_one(tx.on()?)
                .await?;
            Ok(KeyId(narrow(id)?))
        }
        .await;
        tx.end(done).await
    }

    /// Every key there has ever been, by number.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<KeyRow> =
            sqlx::query_as(KEYS).fetch_all(&self.readers).await.map_err(|error| StoreError::in_tx("keys", &error))?;
        rows.into_iter().map(key).collect()
    }

    /// Up to `limit` keys after the key `after` (`KeyId(0)`: from the first), by number.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn keys_after(&self, after: KeyId, limit: u32) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as(KEYS_AFTER)
            .bind(i64::from(after.0))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(|error| StoreError::in_tx("keys_after", &error))?;
        rows.into_iter().map(key).collect()
    }

    /// Revokes a key and says since when it is revoked; revoking it again changes nothing. `None` if there is no such key.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn revoke_key(&self, id: KeyId, now: Millis) -> Result<Option<Millis>, StoreError> {
        let mut tx = self.tx("revoke_key").await?;
        let done = async {
            let since: Option<i64> =
                sqlx::query_scalar(REVOKE_KEY).bind(i64::from(id.0)).bind(signed(now)).fetch_optional(tx.on()?).await?;
            Ok(since.map(i64::cast_unsigned))
        }
        .await;
        tx.end(done).await
    }

    /// Adds an operator token by its SHA-256 and returns its number.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn add_token(&self, hash: [u8; 32], now: Millis) -> Result<u32, StoreError> {
        let mut tx = self.tx("add_token").await?;
        let done = async {
            let id: i64 = sqlx::query_scalar(INSERT_TOKEN).bind(hash.as_slice()).bind(signed(now)).fetch_one(tx.on()?).await?;
            Ok(narrow(id)?)
        }
        .await;
        tx.end(done).await
    }

    /// Hashes of the operator tokens in force.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn token_hashes(&self) -> Result<Vec<[u8; 32]>, StoreError> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(TOKENS)
            .fetch_all(&self.readers)
            .await
            .map_err(|error| StoreError::in_tx("token_hashes", &error))?;
        rows.into_iter().map(|hash| hash.try_into().map_err(|_| StoreError::Corrupt)).collect()
    }
}

fn key((id, hash, account, name, created, revoked, region): KeyRow) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: KeyId(narrow(id)?),
        hash: KeyHash(hash.try_into().map_err(|_| StoreError::Corrupt)?),
        account: AccountPseudonym(account.cast_unsigned()),
        name,
        created: created.cast_unsigned(),
        revoked: revoked.map(i64::cast_unsigned),
        region: region.map(|tag| Region::new(&tag).ok_or(StoreError::Corrupt)).transpose()?,
    })
}
