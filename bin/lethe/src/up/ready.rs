//! `DIR/ready.json`: where the running Lethe is, and the first API key, which is kept in the clear here and nowhere else.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::state::replace;
use crate::failure::Failure;

const FILE: &str = "ready.json";

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Base address of the API, without `/v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<String>,
    /// Address of the operator interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) console: Option<String>,
    /// Address of liveness and readiness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probes: Option<String>,
    /// The first API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<String>,
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key_id: Option<u64>,
    /// What to know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key_note: Option<String>,
    /// Process ids by part.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) pids: BTreeMap<String, u32>,
    /// Started with `--unconfined`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unconfined: bool,
}

impl Ready {
    /// The file in `folder`; empty if there is none that makes sense.
    pub(crate) fn load(folder: &Path) -> Self {
        std::fs::read(folder.join(FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Writes the file, mode 0600, whole or not at all.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|_| Failure::failed("ready.json cannot be made"))?;
        text.push(b'\n');
        replace(&folder.join(FILE), &text)
    }

    /// What stays true when nothing runs: the key.
    pub(crate) fn without_process(&self) -> Self {
        Self {
            api_key: self.api_key.clone(),
            api_key_id: self.api_key_id,
            api_key_note: self.api_key_note.clone(),
            ..Self::default()
        }
    }

    /// Sets the key and says how to be rid of it.
    pub(crate) fn with_key(mut self, key: Option<(String, u64)>, folder: &Path) -> Self {
        let state = folder.display();
        self.api_key_note = Some(match &key {
            Some((_, id)) => format!(
                "This key is the only secret that Lethe keeps in the clear, here only. Revoke it with: lethe key revoke {id} --state {state}"
            ),
            None => format!("The first key is revoked. Make another with: lethe key create --state {state}"),
        });
        (self.api_key, self.api_key_id) = key.unzip();
        self
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::Ready;

    #[test]
    fn the_key_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let running =
            Ready { api: Some("http://127.0.0.1:8080".into()), pids: [("gateway".into(), 7)].into(), ..Ready::default() };
        let running = running.with_key(Some(("lethe_x".into(), 1)), folder.path());
        running.save(folder.path()).unwrap();
        assert_eq!(Ready::load(folder.path()), running);
        let ended = running.without_process();
        ended.save(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("ready.json")).unwrap();
        assert!(text.contains("lethe_x") && text.contains("lethe key revoke 1"), "{text}");
        assert!(!text.contains("pids") && !text.contains("8080"), "{text}");
        assert!(Ready::load(folder.path()).with_key(None, folder.path()).api_key.is_none());
    }

    #[test]
    fn a_damaged_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ready.json"), "{").unwrap();
        assert_eq!(Ready::load(folder.path()), Ready::default());
    }
}
