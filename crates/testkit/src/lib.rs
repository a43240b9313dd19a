//! What the tests stand on: a scripted provider, a running Lethe, a plain client, and a scanner for canaries.
//!
//! Blocking and simple on purpose: none of it shares code with what it tests.
#![expect(clippy::expect_used, clippy::panic, reason = "test support: a failed expectation is a failed test")]
#![expect(missing_docs, reason = "test support, read beside its tests")]

pub mod canary;
pub mod client;
pub mod gauge;
pub mod lethe;
pub mod pki;
pub mod provider;
pub mod scan;
pub mod tokens;
pub mod websocket;
pub mod wire;
