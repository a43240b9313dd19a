//! Why control did not start, or ended.

use lethe_store::StoreError;

/// Content-free; what an operator has to do is in the words of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// The authority's folder cannot be read or written, or does not hold what control wrote.
    Authority,
    /// Two providers dial the same destination, and only one of them allows private addresses.
    ContradictingProviders,
    /// Two providers have the same id.
    DuplicateProvider,
    /// The endpoint list is beyond its bound.
    Endpoints,
    /// A listener cannot be used.
    Listener,
    /// The system gives no random numbers.
    Random,
    /// Identities exist for gateways and nodes only.
    Role,
    /// The store.
    Store(StoreError),
    /// TLS cannot be set up.
    Tls,
    /// A model's route names a provider that does not exist.
    UnknownProvider,
}

impl std::fmt::Display for ControlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authority => f.write_str("control: the folder `authority` in the state folder is unreadable or damaged"),
            Self::ContradictingProviders => {
                f.write_str("control: two providers with the same host and port differ in `allow_private_network`")
            }
            Self::DuplicateProvider => f.write_str("control: two providers have the same id"),
            Self::Endpoints => f.write_str("control: too many providers"),
            Self::Listener => f.write_str("control: a listener cannot be used"),
            Self::Random => f.write_str("control: the system gives no random numbers"),
            Self::Role => f.write_str("control: identities exist for gateways and nodes only"),
            Self::Store(error) => write!(f, "control: {error}"),
            Self::Tls => f.write_str("control: TLS cannot be set up"),
            Self::UnknownProvider => f.write_str("control: a model's route names a provider that does not exist"),
        }
    }
}

impl std::error::Error for ControlError {}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
