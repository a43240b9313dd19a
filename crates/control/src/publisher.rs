//! What gateways are sent changes in one place, one change at a time: by another configuration, or by a credential that came or went.

use std::sync::Arc;
use std::time::Duration;

use lethe_store::Store;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use crate::broker::Broker;
use crate::catalogue::{Catalogue, Current};
use crate::doors::stopped;
use crate::keys::Keys;
use crate::start::ControlStart;
use crate::{Authority, ControlError};

/// What a new configuration waits for the credentials that it asks for first.
const FIRST_TRY: Duration = Duration::from_secs(10);
/// Before a change is tried again that could not be committed.
const AGAIN: Duration = Duration::from_secs(1);

/// Changes the catalogue in force.
pub(crate) struct Publisher {
    pub(crate) keys: Arc<Keys>,
    pub(crate) catalogue: Arc<Current>,
    pub(crate) broker: Arc<Broker>,
    /// Held over a change.
    pub(crate) turn: Mutex<()>,
}

impl Publisher {
    /// Puts another configuration in force, and returns its signed endpoint list. Every link gets it at once.
    pub(crate) async fn configure(
        &self,
        start: &ControlStart,
        store: &Store,
        authority: &Authority,
    ) -> Result<Vec<u8>, ControlError> {
        let _turn = self.turn.lock().await;
        let catalogue = Catalogue::build(start, store, authority).await?;
        self.broker.follow(&start.providers);
        self.broker.tried(FIRST_TRY).await;
        self.keys.raise().await?;
        let endpoints = catalogue.endpoints.clone();
        self.catalogue.replace(catalogue.with_credentials(&self.broker));
        Ok(endpoints)
    }

    /// Passes on every credential that comes or goes, until `stop` turns true.
    pub(crate) async fn keep(&self, mut stop: watch::Receiver<bool>) {
        let mut news = self.broker.news();
        loop {
            let changed = tokio::select! {
                () = stopped(&mut stop) => return,
                changed = news.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            while self.refresh().await.is_err() {
                tokio::select! {
                    () = stopped(&mut stop) => return,
                    () = sleep(AGAIN) => {}
                }
            }
        }
    }

    async fn refresh(&self) -> Result<(), ControlError> {
        let _turn = self.turn.lock().await;
        self.keys.raise().await?;
        self.catalogue.replace(self.catalogue.now().with_credentials(&self.broker));
        Ok(())
    }
}
