fn main() {
    let content = lethe_content::ContentBuf::new();
    let _ = serde_json::to_vec(&content);
}
