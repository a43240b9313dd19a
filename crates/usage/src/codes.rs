//! The closed vocabularies of a record, one byte each.

/// What a record says about its request (envelope).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A finished request and what it used.
    Charge = 1,
    /// What was charged is taken back.
    Refund = 2,
    /// A request is about to go upstream, with an estimate of its prompt (strict metering). Is no charge: its settle is.
    Reserve = 3,
    /// A request that was reserved is over: what it used.
    Settle = 4,
}

impl Kind {
    /// The code in a record.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Charge),
            2 => Some(Self::Refund),
            3 => Some(Self::Reserve),
            4 => Some(Self::Settle),
            _ => None,
        }
    }

    /// The name operators see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Reserve => "reserve",
            Self::Settle => "settle",
        }
    }
}

/// What the units of a record count (envelope).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum UnitClass {
    /// Nothing was counted; both unit fields are 0.
    None = 0,
    /// Tokens of text.
    Tokens = 1,
}

impl UnitClass {
    /// The code in a record.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The class with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Tokens),
            _ => None,
        }
    }

    /// The name operators see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tokens => "tokens",
        }
    }
}

/// Where the units of a record come from (envelope).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Quality {
    /// Counted by the gateway itself.
    Counted = 1,
    /// Estimated, since the answer ended before any count.
    Estimated = 2,
    /// Reported by the provider.
    Reported = 3,
}

impl Quality {
    /// The code in a record.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The quality with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Counted),
            2 => Some(Self::Estimated),
            3 => Some(Self::Reported),
            _ => None,
        }
    }

    /// The name operators see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Estimated => "estimated",
            Self::Reported => "reported",
        }
    }
}
