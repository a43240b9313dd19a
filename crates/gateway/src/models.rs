//! The list of models and one model's entry, from the snapshot, in OpenAI's form or Gemini's.

use lethe_content::ContentBuf;
use lethe_policy::Model;
use lethe_types::Api;
use lethe_wire::gemini::ModelObject as GeminiModel;
use lethe_wire::openai::ModelObject;

use crate::catalogue::Catalogue;

pub(crate) fn list(catalogue: &Catalogue, api: Api) -> ContentBuf {
    let mut out = ContentBuf::new();
    let (head, tail): (&[u8], &[u8]) = match api {
        Api::GenerateContent => (b"{\"models\":[", b"]}"),
        // Anthropic's clients page through lists; this is the only page.
        _ => (b"{\"object\":\"list\",\"has_more\":false,\"data\":[", b"]}"),
    };
    out.extend(head);
    for (position, model) in catalogue.models().enumerate() {
        if position > 0 {
            out.extend(b",");
        }
        write(model, &model.id, api, &mut out);
    }
    out.extend(tail);
    out
}

pub(crate) fn one(catalogue: &Catalogue, id: &str, api: Api) -> Option<ContentBuf> {
    let (model, _) = catalogue.model(id)?;
    let mut out = ContentBuf::new();
    write(model, id, api, &mut out);
    Some(out)
}

fn write(model: &Model, id: &str, api: Api, out: &mut ContentBuf) {
    match api {
        Api::GenerateContent => {
            let output_token_limit = model.routes.iter().filter_map(|route| route.max_output_tokens).min();
            GeminiModel { id, capabilities: &model.capabilities, input_token_limit: None, output_token_limit }.write_wire(out);
        }
        _ => ModelObject { id, created: model.created }.write_wire(out),
    }
}
