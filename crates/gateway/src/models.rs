//! `GET /v1/models` and `GET /v1/models/{id}`, from the snapshot.

use lethe_content::ContentBuf;
use lethe_wire::openai::ModelObject;

use crate::catalogue::Catalogue;

pub(crate) fn list(catalogue: &Catalogue) -> ContentBuf {
    let mut out = ContentBuf::new();
    out.extend(b"{\"object\":\"list\",\"data\":[");
    for (position, model) in catalogue.models().enumerate() {
        if position > 0 {
            out.extend(b",");
        }
        ModelObject { id: &model.id, created: model.created }.write_wire(&mut out);
    }
    out.extend(b"]}");
    out
}

pub(crate) fn one(catalogue: &Catalogue, id: &str) -> Option<ContentBuf> {
    let model = catalogue.model(id)?;
    let mut out = ContentBuf::new();
    ModelObject { id: &model.id, created: model.created }.write_wire(&mut out);
    Some(out)
}
