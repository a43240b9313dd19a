//! The rows: every endpoint with every common outcome, and what only some endpoints can show.

mod abuse;
mod chat;
mod messages;
mod openai;
mod outcomes;
pub(super) mod polls;

use super::matrix::{Class, Row};
use super::stage::{Shape, Stage, Step};
use super::target::Dialect;

/// How a row is played.
type Play = fn(&mut Stage<'_>, &Shape) -> Step;
/// (outcome, class, in a quick run, how it is played)
type Own = (&'static str, Class, bool, Play);

fn rows_of(shape: &'static Shape, own: &[Own]) -> Vec<Row> {
    let row = |&(outcome, class, quick, play): &Own| Row { endpoint: shape.endpoint, outcome, class, quick, shape, play };
    own.iter().map(row).collect()
}

/// Every row of the dialect; the ones that could take the target down come last.
pub(super) fn all(dialect: Dialect) -> Vec<Row> {
    let (shapes, own): (&[&'static Shape], Vec<Row>) = match dialect {
        Dialect::Anthropic => (&[&messages::MESSAGES, &messages::COUNT_TOKENS], messages::own()),
        Dialect::OpenAi => (
            &[
                &chat::CHAT,
                &openai::RESPONSES,
                &openai::COMPLETIONS,
                &openai::EMBEDDINGS,
                &openai::IMAGES,
                &openai::EDITS,
                &openai::SPEECH,
                &openai::TRANSCRIPTIONS,
                &openai::MODERATIONS,
                &openai::RERANK,
            ],
            [chat::own(), openai::own()].concat(),
        ),
    };
    let mut rows: Vec<Row> = shapes.iter().flat_map(|shape| outcomes::of(shape)).collect();
    rows.extend(own);
    rows.extend(abuse::of(shapes[0]));
    rows
}
