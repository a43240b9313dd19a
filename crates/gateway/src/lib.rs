//! The gateway: the process that sees content. It serves clients, meters, and passes on; it opens nothing.
//!
//! One request, from top to bottom: [`listener`] accepts and hands the connection to a worker; `connection` reads a head;
//! `endpoint` finds the operation; `auth` the account; `exchange` reads the body, applies the rules, picks a route and asks
//! `upstream`; `relay` passes the answer; `meter` records the policy's facts and nothing else; `counts`
//! says what went wrong. `linked` keeps the link to
//! control, `supervised` the channel to the supervisor, `probes` answers readiness.

mod auth;
mod budget;
mod catalogue;
mod connection;
mod counts;
mod endpoint;
mod exchange;
#[cfg(feature = "fault-injection")]
mod fault;
mod idle;
mod linked;
mod listener;
mod meter;
mod models;
mod pool;
mod probes;
mod problem;
mod relay;
mod run;
mod shared;
mod supervised;
mod upstream;
mod view;

pub use run::run;
