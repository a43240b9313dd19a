//! The published schema of the report (JSON Schema 2020-12).

/// The schema of a report, as JSON: `lethe audit --schema`.
#[must_use]
pub const fn schema() -> &'static str {
    include_str!("report.schema.json")
}
