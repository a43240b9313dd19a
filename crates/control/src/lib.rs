//! Control: keys, the catalogue, the link to gateways, the operator interface. Holds no content.
//!
//! [`run`] is all of it; it binds nothing itself. [`start`] is what it is given and what it answers.

mod absent;
mod alarms;
mod authority;
mod base64url;
mod booking;
mod broker;
mod catalogue;
mod diagnosis;
mod doors;
mod durable;
mod error;
pub mod explain;
mod exporter;
mod keys;
mod link_server;
mod links;
mod metrics;
mod mishaps;
mod operator;
mod outbound;
mod publisher;
mod renewal;
mod run;
pub mod start;

pub use alarms::Alarm;
pub use authority::{Authority, CONTROL_NAME, NODE_NAME};
pub use broker::{NotObtained, Obtained, obtain};
pub use error::ControlError;
pub use mishaps::Mishaps;
pub use outbound::{Names, Outbound, Trust};
pub use run::{Listeners, Outside, run};
