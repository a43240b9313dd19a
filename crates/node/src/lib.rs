//! The node front: takes connections from gateways over mutual TLS and hands each to the engine as a plain socket pair.
//!
//! The engine has no network at all: it gets one end of an `AF_UNIX` pair per connection by descriptor passing. When either side
//! closes, the other is closed at once, so that a client that goes away cancels the work.

mod front;
mod splice;

pub use front::run;
