fn main() {
    let content = lethe_content::ContentBuf::new();
    let _: String = content.to_string();
}
