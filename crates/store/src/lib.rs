//! What is kept: keys' hashes, the catalogue, operational metadata. The only room that speaks SQL.
//!
//! SQLite now; statements are constants with `$1` placeholders and no dialect beyond what PostgreSQL has too, so that the
//! same text can serve both. There is no column for free text except names that an operator gives.

mod catalogue;
mod credentials;
mod delivery;
mod error;
mod metadata;
mod open;
mod rows;
mod schema;
mod unaccounted;

pub use catalogue::{Counter, RouteName};
pub use credentials::{ApiKey, NAME_CHARACTERS};
pub use delivery::{Delivered, Delivery};
pub use error::StoreError;
pub use metadata::MetadataRow;
pub use open::Store;
pub use schema::VERSION as SCHEMA_VERSION;
