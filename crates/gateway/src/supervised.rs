//! What the supervisor asks of a running gateway.

use std::sync::Arc;

use lethe_confine::channel::AsyncChannel;
use lethe_confine::secret::Arena;
use lethe_confine::{Watch, dial};
use lethe_handover::{FromChild, SecretBytes, ToChild};
use lethe_tls::Certificate;

/// What can be changed while this gateway serves.
pub(crate) struct Supervised {
    pub(crate) channel: AsyncChannel,
    pub(crate) watch: Watch,
    pub(crate) dialer: dial::Client,
    /// What the client port shows, if it has TLS.
    pub(crate) clients: Option<Arc<Certificate>>,
    /// Who this is toward control and nodes.
    pub(crate) own: Arc<Certificate>,
    /// Where keys that arrive now are put.
    pub(crate) arena: Arena,
}

/// What ends the first part of a gateway's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Finish what is open, soon.
    Drain,
    /// Another serves on the same listener: finish what is open, however long it takes.
    Retire,
}

impl Supervised {
    /// Answers the supervisor until it asks for the drain, or is gone (then nobody watches over this process: it drains too).
    pub(crate) async fn until_farewell(&self) -> Farewell {
        loop {
            match self.channel.recv::<ToChild>().await {
                Ok((ToChild::SelfTest, _)) => {
                    let posture = FromChild::Posture(Box::new(self.watch.again()));
                    if self.channel.send(&posture, &[]).await.is_err() {
                        return Farewell::Drain;
                    }
                }
                Ok((ToChild::ReplaceDialer, mut descriptors)) => {
                    if let Some(socket) = descriptors.pop() {
                        self.dialer.replace(socket).await;
                    }
                }
                Ok((ToChild::ClientTls(tls), _)) => {
                    let taken = self.clients.as_ref().is_some_and(|clients| self.rotate(clients, &tls.chain, &tls.key));
                    self.rotated(taken).await;
                }
                Ok((ToChild::Identity(identity), _)) => {
                    let taken = self.rotate(&self.own, &identity.chain, &identity.key);
                    self.rotated(taken).await;
                }
                Ok((ToChild::Retire, _)) => return Farewell::Retire,
                Ok((ToChild::Drain, _)) | Err(_) => return Farewell::Drain,
                // A second boot message is nobody's to send.
                Ok(_) => {}
            }
        }
    }

    fn rotate(&self, certificate: &Certificate, chain: &[Vec<u8>], key: &SecretBytes) -> bool {
        self.arena.put(key.expose()).is_ok_and(|key| certificate.replace(chain, key).is_ok())
    }

    async fn rotated(&self, taken: bool) {
        // A supervisor that is gone is noticed by the next receive.
        let _ = self.channel.send(&FromChild::Rotated(taken), &[]).await;
    }
}
