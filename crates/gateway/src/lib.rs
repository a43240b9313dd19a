//! The gateway: the process that sees content. It serves clients, meters, and passes on; it opens nothing.
//!
//! One request, from top to bottom: [`listener`] accepts and hands the connection to a worker; `connection` reads a head;
//! `endpoint` finds the operation; `auth` the account; `exchange` reads the body and applies the rules; `routing` finds the routes that may
//! serve, by `health` and the operator's strategy; `attempts` asks one after the other through `upstream`, each with what `outgoing` makes of the
//! request; `answer` and `relay` pass what comes to the `caller`, who speaks HTTP or, after a `handshake`, `websocket`; `meter` records the policy's
//! facts and nothing else; `counts` says what went wrong. `linked` keeps the link to control, `supervised` the channel to the supervisor, `probes`
//! answers readiness.

mod answer;
mod attempts;
mod auth;
mod budget;
mod caller;
mod catalogue;
mod connection;
mod counts;
mod dice;
mod endpoint;
mod exchange;
#[cfg(feature = "fault-injection")]
mod fault;
mod handshake;
mod health;
mod idle;
mod linked;
mod listener;
mod meter;
mod models;
mod openapi;
mod outgoing;
mod pool;
mod probes;
mod problem;
mod relay;
mod retry_after;
mod routing;
mod run;
mod served;
mod shared;
mod supervised;
mod upstream;
mod view;
mod websocket;

pub use run::run;
