//! How a client is answered whose request was translated.

use lethe_content::ContentBuf;
use lethe_types::Api;

use crate::conversation::{Identity, Malformed, PartKind, Reply, StreamWriter, Wanted};
use crate::embeddings::{self, EmbedReply, EmbedWanted};
use crate::responses::Echo;
use crate::{anthropic, gemini, openai, responses};

/// What an answer depends on besides what the provider says. Outlives the request's body.
pub struct Client {
    /// The format that the client speaks.
    pub api: Api,
    /// A stream is wanted as a JSON array (Gemini).
    pub array: bool,
    /// What Lethe says of the answer.
    pub identity: Identity,
    /// What the client wants to be sent of a conversation.
    pub wanted: Wanted,
    /// What the answer repeats of the request (responses).
    pub echo: Echo,
    /// How vectors are wanted.
    pub vectors: EmbedWanted,
    /// The client takes one call at a time: not every provider can be told so, so what an answer has beyond the first is left out.
    pub one_call: bool,
}

impl Client {
    /// Writes an answer.
    ///
    /// # Errors
    /// [`Malformed`] for what the format cannot say.
    pub fn write_reply(&self, reply: &mut Reply<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        if self.one_call {
            let mut called = false;
            // The first call is the one that finds that none was before it.
            reply.parts.retain(|part| !matches!(part.kind, PartKind::ToolCall(_)) || !std::mem::replace(&mut called, true));
        }
        match self.api {
            Api::Chat => openai::write_reply(reply, &self.identity, out),
            Api::GenerateContent => gemini::write_reply(reply, &self.identity, out),
            Api::Messages => anthropic::write_reply(reply, &self.identity, out),
            Api::Responses => responses::write_reply(reply, &self.identity, self.wanted, &self.echo, out),
            _ => Err(Malformed),
        }
    }

    /// Writes a count of tokens.
    ///
    /// # Errors
    /// [`Malformed`] where the format is none that counts.
    pub fn write_count(&self, tokens: u32, out: &mut ContentBuf) -> Result<(), Malformed> {
        match self.api {
            Api::CountMessageTokens => anthropic::write_count(tokens, out),
            Api::CountTokens => gemini::write_count_reply(tokens, out),
            _ => return Err(Malformed),
        }
        Ok(())
    }

    /// Writes vectors.
    ///
    /// # Errors
    /// [`Malformed`] for vectors that are none, or not as many as there are texts.
    pub fn write_vectors(&self, reply: &EmbedReply<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        match self.api {
            Api::Embeddings => embeddings::openai::write_reply(reply, &self.vectors, &self.identity.model, out),
            Api::EmbedContent => embeddings::gemini::write_reply(reply, &self.vectors, out),
            _ => Err(Malformed),
        }
    }

    /// What writes a stream; `None` for formats that do not stream.
    #[must_use]
    pub fn writer(self) -> Option<Box<dyn StreamWriter>> {
        let Self { api, array, identity, wanted, echo, .. } = self;
        match api {
            Api::Chat => Some(Box::new(openai::Writer::new(identity, wanted))),
            Api::GenerateContent => {
                let framing = if array { gemini::Framing::Array } else { gemini::Framing::Events };
                Some(Box::new(gemini::Writer::new(identity, wanted, framing)))
            }
            Api::Messages => Some(Box::new(anthropic::Writer::new(identity, wanted))),
            Api::Responses => Some(Box::new(responses::Writer::new(identity, wanted, echo))),
            _ => None,
        }
    }
}
