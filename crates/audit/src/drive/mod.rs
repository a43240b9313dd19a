//! The exercise: a scripted provider behind the target and clients before it, row by row of the matrix.

mod certificate;
mod client;
mod http;
mod listener;
mod matrix;
mod media;
mod otlp;
mod probe;
mod provider;
mod rows;
mod stage;
mod target;
#[cfg(test)]
mod tests;
mod tls;

pub use client::{Answer, Broken, Client, Request};
pub use http::End;
pub use matrix::{Answered, Class, Limits, Observation, Observed, Plan, Progress, Ran, Row, RowResult, State, Why, run};
pub use otlp::{Export, Sink};
pub use probe::{Interrupted, NoVerdict, Up, hold, interrupt, probe};
pub use provider::{Provider, Scene, Script, Seen, Way};
pub use target::{BadTarget, Dialect, Key, Target};
pub use tls::{ClientCertificate, Handshake, Spoken, spoken_at, spoken_by};
