//! OpenAI's responses (<https://platform.openai.com/docs/api-reference/responses>).

mod shape;

pub(crate) use shape::ResponsesShape;
