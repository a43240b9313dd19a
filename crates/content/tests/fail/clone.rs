fn main() {
    let content = lethe_content::ContentBuf::new();
    let _copy = content.clone();
}
