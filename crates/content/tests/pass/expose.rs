fn main() {
    let content = lethe_content::ContentBuf::new();
    println!("{:?}", content.expose().len());
    let _ = serde_json::to_vec(&content.len());
    tracing::info!(bytes = content.len(), "a request");
}
