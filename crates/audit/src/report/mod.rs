//! What an audit says: a [`Report`] with labels and places, never a canary's value; as JSON (signed, the schema is published beside it), as one
//! HTML page, and as text.

mod clause;
mod html;
mod model;
mod schema;
mod seal;
mod text;

pub use clause::{Clause, clause_of};
pub use html::html;
pub use model::{
    Attempt, Control, FORMAT, Finding, FindingKind, Observation, Place, Report, RowShown, RowState, SearchState, Searched,
    Setting, SettingState, Sink, Target, Tool, Verdict, WriteShown,
};
pub use schema::schema;
pub use seal::{PAYLOAD_TYPE, Unreadable, open, seal};
pub use text::summary;

#[cfg(test)]
pub(crate) use model::tests as model_tests;
