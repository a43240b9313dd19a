//! What a gateway may do: the snapshot that control pushes, the providers' terms, the fields and endpoints that are refused
//! because somebody would have to remember, and the signed list of destinations.
//!
//! Plain data and pure functions; no I/O.

pub mod conflict;
pub mod endpoints;
mod rules;
mod snapshot;
mod terms;

pub use rules::FieldRules;
pub use snapshot::{Credential, KeyEntry, Model, Provider, ProviderKind, Route, Snapshot, Timeouts, UpstreamTls};
pub use terms::{Standing, Terms, Training};
