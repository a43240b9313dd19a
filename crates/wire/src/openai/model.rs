//! An entry of `GET /v1/models`.

use lethe_content::ContentBuf;

/// A model object.
pub struct ModelObject<'a> {
    /// The name in requests.
    pub id: &'a str,
    /// Seconds since the epoch.
    pub created: u64,
}

impl ModelObject<'_> {
    /// `{"id":…,"object":"model","created":…,"owned_by":"lethe"}`
    pub fn write_wire(&self, out: &mut ContentBuf) {
        let mut text = b"{\"id\":\"".to_vec();
        crate::write::escape(self.id, &mut text);
        text.extend(format!("\",\"object\":\"model\",\"created\":{},\"owned_by\":\"lethe\"}}", self.created).bytes());
        out.extend(&text);
    }
}
