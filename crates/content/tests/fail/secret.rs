fn main() {
    let secret = lethe_types::SecretBytes::new(Vec::new());
    println!("{secret:?}");
}
