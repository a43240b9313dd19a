fn main() {
    let content = lethe_content::ContentBuf::new();
    assert_eq!(content, lethe_content::ContentBuf::new());
}
