//! Unique markers that must not be found anywhere.

/// A marker of 32 letters and digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Canary {
    /// Where it was put, for the report of a find; never its value.
    pub label: String,
    pub value: String,
}

impl Canary {
    #[must_use]
    pub fn new(label: &str) -> Self {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("random");
        let letters = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
        let value = bytes.iter().map(|byte| char::from(letters[usize::from(byte % 32)])).collect();
        Self { label: label.to_owned(), value }
    }

    /// What is searched for: any of three pieces of twelve bytes, so that a canary cut in two is found as well.
    #[must_use]
    pub fn pieces(&self) -> [&[u8]; 3] {
        let bytes = self.value.as_bytes();
        [&bytes[..12], &bytes[10..22], &bytes[20..]]
    }
}
