//! Identifiers and closed vocabularies that every room of Lethe shares. A leaf: no I/O, no content.

mod account;
mod api;
mod failure;
mod network;
mod operation;
mod refused;
mod region;
mod secret;
mod time;

pub use account::{AccountPseudonym, KeyHash, KeyId, RouteId};
pub use api::{Api, Capability};
pub use failure::Failure;
pub use network::Network;
pub use operation::Operation;
pub use refused::Refused;
pub use region::Region;
pub use secret::SecretBytes;
pub use time::{Clock, Millis, SystemClock};
