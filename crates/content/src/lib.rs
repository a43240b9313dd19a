//! Content in memory: who can hold it, how it is wiped.
//!
//! [`ContentBuf`] is the only growable buffer on the content path. It has no `Debug`, `Display`, `Serialize`, `Clone`
//! or `ToString`, so that formatting, logging or storing it does not compile (policy 1 "No Logging").
//! [`alloc::ZeroOnFree`] zeroes every heap block when it is freed, moved or shrunk, for every dependency alike.

pub mod alloc;
mod buf;
pub mod stack;

pub use buf::ContentBuf;
