//! The rows: every endpoint with every common outcome, and what only some endpoints can show.

mod abuse;
mod chat;
mod gemini;
mod messages;
mod openai;
mod outcomes;
pub(super) mod polls;
mod translated;

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
        Dialect::Gemini => (&[&gemini::GENERATE], gemini::own()),
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

/// What else a quick run of every dialect plays, of dialects other than OpenAI's.
const QUICK_ELSEWHERE: &[&str] = &[
    "success",
    "stream",
    "provider error 400 that echoes",
    "client gone mid-stream",
    "tools",
    "translated",
    "translated, streamed",
];

/// Every row of every dialect, for a target that speaks them all; OpenAI's come last, with the ones that could take the target down.
pub(super) fn of_every_dialect() -> Vec<Row> {
    let main = all(Dialect::OpenAi);
    let others = [Dialect::Anthropic, Dialect::Gemini].into_iter().flat_map(all).chain(translated::own());
    let others = others.filter(|row| main.iter().all(|known| (known.endpoint, known.outcome) != (row.endpoint, row.outcome)));
    let mut rows: Vec<Row> = others.collect();
    for row in &mut rows {
        row.quick = QUICK_ELSEWHERE.contains(&row.outcome);
    }
    // Of the endpoints that a quick run of one dialect leaves out, the success is played: behind each is another provider.
    let success = |row: Row| Row { quick: row.quick || row.outcome == "success", ..row };
    rows.extend(main.into_iter().map(success));
    rows
}
