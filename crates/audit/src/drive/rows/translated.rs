//! The same questions where the provider speaks another dialect than the client: for a target that speaks several, as a Lethe of the audit's own does.

use super::super::matrix::{Class, Row};
use super::super::stage::{Shape, Stage, Step};
use super::{Own, gemini, messages, outcomes, rows_of};

/// The rows, of each dialect but that of the target's main model.
pub(super) fn own() -> Vec<Row> {
    const ROWS: &[Own] = &[
        ("translated", Class::Redaction, true, translated),
        ("translated, streamed", Class::Redaction, true, translated_streamed),
        ("translated provider error 400 that echoes", Class::Errors, false, translated_error),
    ];
    [&messages::MESSAGES, &gemini::GENERATE].into_iter().flat_map(|shape| rows_of(shape, ROWS)).collect()
}

fn translated(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    stage.ask_main_model();
    outcomes::success(stage, shape)
}

fn translated_streamed(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    stage.ask_main_model();
    outcomes::stream(stage, shape)
}

fn translated_error(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    stage.ask_main_model();
    outcomes::error_400(stage, shape)
}
