//! The exercise: a scripted provider behind the target and clients before it, row by row of the matrix.

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

pub use client::{Answer, Broken, Client, Request};
pub use http::End;
pub use matrix::{Answered, Class, Limits, Observation, Observed, Plan, Progress, Ran, Row, RowResult, State, Why, run};
pub use otlp::{Export, Sink};
pub use probe::{NoVerdict, Up, hold, probe};
pub use provider::{Provider, Scene, Script, Seen, Way};
pub use target::{BadTarget, Dialect, Key, Target};
