//! What is told of routing besides failures: closed sets of codes.

/// A step of a request on its way through the routes, counted per route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Routed {
    /// The route's provider was asked.
    Attempt = 1,
    /// An attempt on the route, in a row of failures, opened the provider's circuit breaker.
    CircuitOpened = 2,
    /// The attempt failed, and the request went on to another route: nothing had gone to the client.
    Fallback = 3,
    /// The attempt was one more on the same route.
    Retry = 4,
}

/// How a route's provider is at the moment, as one gateway sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Gauge {
    /// 1 while the circuit breaker is open, else 0.
    CircuitOpen = 1,
    /// Requests that are open at the provider.
    RequestsOpen = 2,
}

impl Routed {
    /// Every step, in alphabetical order.
    pub const ALL: [Self; 4] = [Self::Attempt, Self::CircuitOpened, Self::Fallback, Self::Retry];

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|routed| routed.code() == code)
    }
}

impl Gauge {
    /// Every gauge, in alphabetical order.
    pub const ALL: [Self; 2] = [Self::CircuitOpen, Self::RequestsOpen];

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|gauge| gauge.code() == code)
    }
}
