//! What passes between the supervisor and a confined child: the boot message, stage codes, reports and commands.
//!
//! Plain data, no I/O. The bytes travel over one `SOCK_SEQPACKET` pair per child ([`CHANNEL_FD`]); descriptors ride along
//! by `SCM_RIGHTS`. Stage codes travel over a pipe of their own ([`BOOT_FD`]) that closes before the first accept.

mod boot;
mod posture;
mod stage;

pub use boot::{
    BootOptions, ClientTls, DialerBoot, EngineBoot, FromChild, GatewayBoot, GatewayLimits, Identity, Mishap, MishapCount,
    NodeBoot, PanicReport, ToChild,
};
pub use lethe_types::SecretBytes;
pub use posture::{Attempt, Descriptor, Outcome, Posture, Wall};
pub use stage::Stage;

use serde::{Deserialize, Serialize};

/// Descriptor number of the child's end of the channel to its supervisor.
pub const CHANNEL_FD: i32 = 3;
/// Descriptor number of the write end of the boot pipe.
pub const BOOT_FD: i32 = 4;

/// Upper bound of one message on the channel, in bytes.
pub const MESSAGE_LIMIT: usize = 128 * 1024;
/// Upper bound of the descriptors in one message.
pub const DESCRIPTOR_LIMIT: usize = 8;

/// A kind of process that Lethe consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Accounts, ledger, snapshots; holds no content.
    Control,
    /// Opens connections, sees ciphertext only.
    Dialer,
    /// The embedded inference engine.
    Engine,
    /// Serves clients; holds content.
    Gateway,
    /// Fronts an engine.
    Node,
}

impl Role {
    /// The roles that run confined.
    pub const CONFINED: [Self; 4] = [Self::Dialer, Self::Engine, Self::Gateway, Self::Node];

    /// The name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Dialer => "dialer",
            Self::Engine => "engine",
            Self::Gateway => "gateway",
            Self::Node => "node",
        }
    }
}
