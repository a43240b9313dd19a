fn main() {
    let content = lethe_content::ContentBuf::new();
    println!("{content}");
}
