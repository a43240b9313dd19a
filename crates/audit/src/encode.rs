//! Writing a canary in each way that [`crate::detect`] must find: what the audit plants before it says that nothing is there.

mod postgres;

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::encoding::{Encoding, Form, Layer};

/// What a log could say around a canary: more than one compressor's smallest input, and most of it repeated.
const FILLER: &str = "2026-01-01T00:00:00Z level=info msg=\"request done\" path=/v1/chat/completions status=200 bytes=1024\n\
                      2026-01-01T00:00:01Z level=info msg=\"request done\" path=/v1/chat/completions status=200 bytes=2048\n\
                      2026-01-01T00:00:02Z level=info msg=\"request done\" path=/v1/embeddings status=200 bytes=4096\n";

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Every encoding that a control is planted in: each form, each layer, and some in others.
#[must_use]
pub fn all() -> Vec<Encoding> {
    let plain = Form::ALL.map(|form| Encoding { layers: Vec::new(), form });
    let layered = Layer::ALL.map(|layer| Encoding { layers: vec![layer], form: Form::AsIs });
    let nested = [
        (&[Layer::Gzip][..], Form::Base64),
        (&[Layer::Gzip], Form::Base64Float32),
        (&[Layer::Zstd], Form::JsonEscaped),
        (&[Layer::Zip, Layer::Gzip], Form::AsIs),
        (&[Layer::Brotli, Layer::Zlib], Form::Utf16),
        (&[Layer::Gzip, Layer::PostgresPglz], Form::AsIs),
        (&[Layer::PostgresToast, Layer::Zstd], Form::Float32),
        (&[Layer::Lz4, Layer::Zip, Layer::Gzip], Form::DecimalNumbers),
    ];
    let nested = nested.map(|(layers, form)| Encoding { layers: layers.to_vec(), form });
    plain.into_iter().chain(layered).chain(nested).collect()
}

/// A canary in this encoding: its text or its numbers, as the form wants it. `None` if that is empty or cannot be written.
///
/// What has a layer of PostgreSQL outside is whole pages of 8 KiB. What has [`Layer::Brotli`] outside is found only at the beginning of a source.
#[must_use]
pub fn encode(text: &str, numbers: &[f32], encoding: &Encoding) -> Option<Vec<u8>> {
    let inner = variants(text, numbers, encoding.form).into_iter().next()?;
    encoding.layers.iter().rev().try_fold(inner, |inner, &layer| wrap(layer, &inner))
}

/// A form in all ways that it can be written; none if what the form wants is empty.
#[must_use]
pub fn variants(text: &str, numbers: &[f32], form: Form) -> Vec<Vec<u8>> {
    if form.is_of_numbers() && numbers.is_empty() || !form.is_of_numbers() && text.is_empty() {
        return Vec::new();
    }
    let float32 = || -> Vec<u8> { numbers.iter().flat_map(|number| number.to_le_bytes()).collect() };
    let float64 = || -> Vec<u8> { numbers.iter().flat_map(|&number| f64::from(number).to_le_bytes()).collect() };
    let escaped = |write: fn(u8) -> String| text.bytes().map(write).collect::<String>().into_bytes();
    let listed = |list: &[String]| -> Vec<Vec<u8>> { [", ", ",", " "].map(|by| list.join(by).into_bytes()).to_vec() };
    let wide = |width: usize| -> Vec<Vec<u8>> {
        let little: Vec<u8> = text.bytes().flat_map(|byte| [byte, 0, 0, 0].into_iter().take(width)).collect();
        let big = text.bytes().flat_map(|byte| [0, 0, 0, byte].into_iter().skip(4 - width)).collect();
        vec![little, big]
    };
    match form {
        Form::AsIs => vec![text.as_bytes().to_vec()],
        Form::LowerCase => vec![text.to_ascii_lowercase().into_bytes()],
        Form::Utf16 => wide(2),
        Form::Utf32 => wide(4),
        Form::Base64 => (0..3).map(|shift| encode_shifted(text.as_bytes(), shift, false)).collect(),
        Form::Hex => vec![escaped(|byte| format!("{byte:02x}")), escaped(|byte| format!("{byte:02X}"))],
        Form::PercentEncoded => vec![escaped(|byte| format!("%{byte:02X}")), escaped(|byte| format!("%{byte:02x}"))],
        Form::JsonEscaped => vec![escaped(|byte| format!("\\u{byte:04x}")), escaped(|byte| format!("\\u{byte:04X}"))],
        Form::HtmlEscaped => vec![
            escaped(|byte| format!("&#{byte};")),
            escaped(|byte| format!("&#x{byte:x};")),
            escaped(|byte| format!("&#x{byte:X};")),
            escaped(|byte| format!("&#X{byte:X};")),
        ],
        Form::BackslashEscaped => vec![escaped(|byte| format!("\\x{byte:02x}")), escaped(|byte| format!("\\x{byte:02X}"))],
        Form::QuotedPrintable => {
            let line = escaped(|byte| format!("={byte:02X}"));
            let broken: Vec<&[u8]> = line.chunks(72).collect();
            vec![broken.join(&b"=\r\n"[..]), line.clone(), line.to_ascii_lowercase()]
        }
        Form::ByteList => listed(&text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>()),
        Form::Float32 => vec![float32()],
        Form::Float64 => vec![float64()],
        Form::DecimalNumbers => {
            let short = listed(&numbers.iter().map(f32::to_string).collect::<Vec<_>>());
            let long = listed(&numbers.iter().map(|&number| f64::from(number).to_string()).collect::<Vec<_>>());
            let json = serde_json::to_vec_pretty(numbers).ok();
            short.into_iter().chain(long).chain(json).collect()
        }
        Form::Base64Float32 => both_alphabets(&float32()),
        Form::Base64Float64 => both_alphabets(&float64()),
    }
}

fn both_alphabets(bytes: &[u8]) -> Vec<Vec<u8>> {
    [false, true]
        .into_iter()
        .flat_map(|url| (0..3).map(move |shift| (shift, url)))
        .map(|(shift, url)| encode_shifted(bytes, shift, url))
        .collect()
}

/// Base64 of bytes after so many others (RFC 4648), with its padding.
#[must_use]
pub fn encode_shifted(bytes: &[u8], shift: usize, url_safe: bool) -> Vec<u8> {
    let alphabet = if url_safe { URL_SAFE } else { STANDARD };
    let all: Vec<u8> = std::iter::repeat_n(b'"', shift).chain(bytes.iter().copied()).collect();
    let mut out = Vec::with_capacity(all.len() * 4 / 3 + 4);
    for group in all.chunks(3) {
        let bits = group.iter().enumerate().fold(0_u32, |bits, (at, &byte)| bits | u32::from(byte) << (16 - 8 * at));
        let characters = [18, 12, 6, 0].map(|shift| alphabet[(bits >> shift & 63) as usize]);
        out.extend_from_slice(&characters[..=group.len()]);
        out.resize(out.len() + 3 - group.len(), b'=');
    }
    out
}

/// Puts a layer around, with something before and after that can be compressed.
fn wrap(layer: Layer, inner: &[u8]) -> Option<Vec<u8>> {
    let payload = [FILLER.as_bytes(), inner, b"\n", FILLER.as_bytes()].concat();
    let best = Compression::best();
    match layer {
        Layer::Gzip => written(GzEncoder::new(Vec::new(), best), &payload, GzEncoder::finish),
        Layer::Zlib => written(ZlibEncoder::new(Vec::new(), best), &payload, ZlibEncoder::finish),
        Layer::Zstd => zstd::stream::encode_all(payload.as_slice(), 3).ok(),
        Layer::Brotli => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 9, 20).write_all(&payload).ok()?;
            Some(out)
        }
        Layer::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(&payload).ok()?;
            encoder.finish().ok()
        }
        Layer::Zip => zip(&payload),
        Layer::PostgresPglz => postgres::compressed(&payload, 0),
        Layer::PostgresLz4 => postgres::compressed(&payload, 1),
        Layer::PostgresToast => postgres::cut(inner, FILLER.as_bytes()),
    }
}

fn written<W: Write>(mut encoder: W, payload: &[u8], finish: fn(W) -> std::io::Result<Vec<u8>>) -> Option<Vec<u8>> {
    encoder.write_all(payload).ok()?;
    finish(encoder).ok()
}

/// A zip archive of one deflated member.
fn zip(payload: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"a.log";
    let deflated = written(DeflateEncoder::new(Vec::new(), Compression::best()), payload, DeflateEncoder::finish)?;
    let mut sum = flate2::Crc::new();
    sum.update(payload);
    let size = |length: usize| u32::try_from(length).map(u32::to_le_bytes).ok();
    // Version 2.0, no flags, deflate; no time.
    let mut about = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0];
    about.extend_from_slice(&sum.sum().to_le_bytes());
    about.extend_from_slice(&size(deflated.len())?);
    about.extend_from_slice(&size(payload.len())?);
    about.extend_from_slice(&[5, 0, 0, 0]);
    let member = [b"PK\x03\x04", about.as_slice(), NAME, &deflated].concat();
    let directory = [b"PK\x01\x02", &[20, 0][..], &about, &[0; 14], NAME].concat();
    let end = [b"PK\x05\x06", &[0, 0, 0, 0, 1, 0, 1, 0][..], &size(directory.len())?, &size(member.len())?, &[0, 0]].concat();
    Some([member, directory, end].concat())
}
