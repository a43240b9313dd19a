fn main() {
    let content = lethe_content::ContentBuf::new();
    tracing::info!(prompt = ?content, "a request");
}
