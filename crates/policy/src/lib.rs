//! What a gateway may do: the snapshot that control pushes, the providers' terms, the fields and endpoints that are refused
//! because somebody would have to remember, and the signed list of destinations.
//!
//! Plain data and pure functions; no I/O.

pub mod conflict;
pub mod endpoints;
mod grant;
mod route;
mod rules;
mod snapshot;
mod terms;

pub use grant::{AwsKeys, EntraProof, Grant, TokenServer};
pub use route::{Dialect, Strategy};
pub use rules::{ApiRules, Rules};
pub use snapshot::{Credential, KeyEntry, Model, PromptCache, Provider, ProviderKind, Route, Snapshot, Timeouts, UpstreamTls};
pub use terms::{Standing, Terms, Training};
