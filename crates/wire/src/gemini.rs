//! Google's Gemini API (<https://ai.google.dev/api/generate-content>).

mod shape;

pub(crate) use shape::{CountShape, EmbedShape, GenerateShape};
