//! Small valid files that carry a canary: what a client attaches, and what a provider makes.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard alphabet, padded (RFC 4648, section 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = BASE64[(bits >> shift & 0x3f) as usize];
            text.push(if index > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

fn chunk(into: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut sum = flate2::Crc::new();
    sum.update(kind);
    sum.update(data);
    into.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    into.extend_from_slice(kind);
    into.extend_from_slice(data);
    into.extend_from_slice(&sum.sum().to_be_bytes());
}

/// A black picture of 32 × 32, with the canary as its comment (`tEXt`, PNG section 11.3.4.3).
pub(super) fn png(canary: &str) -> Vec<u8> {
    const SIDE: u32 = 32;
    let mut header = Vec::new();
    header.extend_from_slice(&SIDE.to_be_bytes());
    header.extend_from_slice(&SIDE.to_be_bytes());
    // Eight bits, grey, deflate, adaptive filters, not interlaced.
    header.extend_from_slice(&[8, 0, 0, 0, 0]);
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail. A row is its filter's number and its pixels.
    let _ = pixels.write_all(&[0; (SIDE as usize + 1) * SIDE as usize]);
    let pixels = pixels.finish().unwrap_or_default();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"tEXt", format!("Comment\0{canary}").as_bytes());
    chunk(&mut file, b"IDAT", &pixels);
    chunk(&mut file, b"IEND", b"");
    file
}

/// A tenth of a second, mono, 16 bits at 16 kHz; the canary is among the samples, silence around it.
pub(super) fn wav(canary: &str) -> Vec<u8> {
    const RATE: u32 = 16_000;
    let mut samples = vec![0; 1600];
    samples.extend_from_slice(canary.as_bytes());
    samples.resize(3200, 0);
    let length = u32::try_from(samples.len()).unwrap_or(0);
    let mut file = b"RIFF".to_vec();
    file.extend_from_slice(&(length + 36).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * 2).to_le_bytes());
    file.extend_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&samples);
    file
}

/// One page that says the canary.
pub(super) fn pdf(canary: &str) -> Vec<u8> {
    let text = format!("BT /F1 12 Tf 20 100 Td ({canary}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 200] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>".to_owned(),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut table = "xref\n0 6\n0000000000 65535 f \n".to_owned();
    for (index, object) in objects.iter().enumerate() {
        table += &format!("{:010} 00000 n \n", file.len());
        file += &format!("{} 0 obj\n{object}\nendobj\n", index + 1);
    }
    let start = file.len();
    file += &format!("{table}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    file.into_bytes()
}

/// A film without frames: its brand, and the canary as free space (ISO/IEC 14496-12, sections 4.3 and 8.1.2).
pub(super) fn mp4(canary: &str) -> Vec<u8> {
    let mut file = b"\0\0\0\x18ftypisom\0\0\x02\0isommp42".to_vec();
    file.extend_from_slice(&u32::try_from(canary.len() + 8).unwrap_or(u32::MAX).to_be_bytes());
    file.extend_from_slice(b"free");
    file.extend_from_slice(canary.as_bytes());
    file
}

/// A member of a form.
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) file: Option<(&'a str, &'a str)>,
    pub(super) bytes: &'a [u8],
}

impl<'a> Part<'a> {
    pub(super) fn field(name: &'a str, value: &'a str) -> Self {
        Self { name, file: None, bytes: value.as_bytes() }
    }

    pub(super) fn file(name: &'a str, file_name: &'a str, content_type: &'a str, bytes: &'a [u8]) -> Self {
        Self { name, file: Some((file_name, content_type)), bytes }
    }
}

/// Between parts; nothing else that is sent has it.
const BOUNDARY: &str = "----------------audit5c1b7e02d94f";

/// `multipart/form-data` (RFC 7578): its type and its bytes.
pub(super) fn form(parts: &[Part<'_>]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for Part { name, file, bytes } in parts {
        body.extend_from_slice(format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"").as_bytes());
        if let Some((file_name, content_type)) = file {
            body.extend_from_slice(format!("; filename=\"{file_name}\"\r\ncontent-type: {content_type}").as_bytes());
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

/// A form of [`form`]'s with further parts before its own.
pub(super) fn with_parts(parts: &[Part<'_>], bytes: &[u8]) -> Vec<u8> {
    let (_, before) = form(parts);
    // Without the last line: two dashes before and after, and the line's end.
    [&before[..before.len() - BOUNDARY.len() - 6], bytes].concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn base64_of_every_length() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn files_say_how_long_they_are() {
        let file = wav("CANARY");
        assert_eq!(u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize, file.len() - 8);
        let file = png("CANARY");
        assert!(file.ends_with(&[0xae, 0x42, 0x60, 0x82]), "the sum of an empty IEND is known");
        let file = String::from_utf8(pdf("CANARY")).unwrap();
        let start: usize = file.lines().rev().nth(1).unwrap().parse().unwrap();
        assert!(file[start..].starts_with("xref"));
    }
}
