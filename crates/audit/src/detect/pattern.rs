//! What the fast pass looks for: the run's tag and marker in every form, as far as their bytes do not depend on their neighbours, and the
//! beginnings of what has layers.

use super::prefilter::Prefilter;
use crate::canary::{DENOMINATOR, TAG};
use crate::encoding::{Form, Layer};

pub(super) const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
pub(super) const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Digits of a decimal number after its point that the fast pass looks at.
const DECIMALS: usize = 6;

/// A character written as an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// Two hex digits after these bytes.
    Hex(&'static [u8]),
    /// `&#65;` or `&#x41;`
    Html,
    /// `=41`, whose lines may be broken.
    QuotedPrintable,
}

/// How to go on where a pattern stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain {
        lower: bool,
    },
    /// One character in so many bytes, the others zero.
    Wide {
        stride: usize,
    },
    /// Of the pattern's first character, the index counted from a group's beginning.
    Base64 {
        first: usize,
    },
    /// The pattern begins with the first digit.
    Escaped {
        escape: Escape,
        form: Form,
    },
    List,
    /// The pattern is a number's last four bytes.
    Floats {
        width: usize,
    },
    /// The pattern begins with the point.
    Decimals,
    /// As both: the last four bytes of a number begin `phase` bytes after a group's beginning.
    Base64Floats {
        width: usize,
        first: usize,
        phase: usize,
    },
    Stream(Layer),
    /// The last four of the first twenty bytes of a PostgreSQL page.
    Page,
    /// The magic in the head of a tar archive's member.
    Member,
    /// The end of `content-encoding: br`.
    Head,
}

#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) bytes: Vec<u8>,
    pub(super) kind: Kind,
}

/// Where in a tar head its magic stands.
pub(super) const MEMBER_MAGIC: usize = 257;
/// Where in a page the pattern of [`Kind::Page`] stands: `pd_special` and `pd_pagesize_version`.
pub(super) const PAGE_MAGIC: usize = 16;

/// Every pattern of a run.
pub(super) struct Patterns {
    list: Vec<Pattern>,
    /// Patterns by their first byte.
    by_first: Vec<Vec<u8>>,
    prefilter: Prefilter,
}

impl Patterns {
    pub(super) fn new(tag: [u8; TAG], marker: u16) -> Self {
        let mut list = Vec::new();
        characters(tag, &mut list);
        numbers(marker, &mut list);
        beginnings(&mut list);
        let mut seen: Vec<Pattern> = Vec::new();
        for pattern in list {
            if !seen.iter().any(|other| other.bytes == pattern.bytes && other.kind == pattern.kind) {
                seen.push(pattern);
            }
        }
        let mut by_first = vec![Vec::new(); 256];
        for (index, pattern) in seen.iter().enumerate() {
            if let (Some(&first), Ok(index)) = (pattern.bytes.first(), u8::try_from(index)) {
                by_first[usize::from(first)].push(index);
            }
        }
        let prefilter = Prefilter::new(seen.iter().map(|pattern| pattern.bytes.as_slice()));
        Self { list: seen, by_first, prefilter }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The next place at which a pattern stands.
    pub(super) fn next(&self, bytes: &[u8], from: usize) -> Option<usize> {
        self.prefilter.next(bytes, from)
    }

    /// Every pattern that stands at the beginning of these bytes, with its number.
    pub(super) fn at<'p>(&'p self, bytes: &'p [u8]) -> impl Iterator<Item = (usize, Kind)> + 'p {
        let candidates = bytes.first().map_or(&[][..], |&first| self.by_first[usize::from(first)].as_slice());
        candidates.iter().map(|&index| usize::from(index)).filter_map(|index| {
            let pattern = &self.list[index];
            bytes.starts_with(&pattern.bytes).then_some((index, pattern.kind))
        })
    }
}

fn characters(tag: [u8; TAG], list: &mut Vec<Pattern>) {
    let mut add = |bytes: Vec<u8>, kind| list.push(Pattern { bytes, kind });
    add(tag.to_vec(), Kind::Plain { lower: false });
    add(tag.to_ascii_lowercase(), Kind::Plain { lower: true });
    for stride in [2, 4] {
        let mut bytes: Vec<u8> = tag.iter().flat_map(|&byte| [byte, 0, 0, 0].into_iter().take(stride)).collect();
        bytes.truncate(stride * (TAG - 1) + 1);
        add(bytes, Kind::Wide { stride });
    }
    for phase in 0..3 {
        let (first, bytes) = determined(&tag, phase, STANDARD);
        add(bytes, Kind::Base64 { first });
    }
    for hex in [u8_upper as fn(u8) -> String, u8_lower] {
        let with = |prefix: &str, suffix: &str| {
            let all: String = tag.iter().map(|&byte| format!("{prefix}{}{suffix}", hex(byte))).collect();
            all.as_bytes()[prefix.len()..all.len() - suffix.len()].to_vec()
        };
        let mut escaped = |bytes, escape, form| add(bytes, Kind::Escaped { escape, form });
        escaped(with("", ""), Escape::Hex(b""), Form::Hex);
        escaped(with("%", ""), Escape::Hex(b"%"), Form::PercentEncoded);
        escaped(with("\\u00", ""), Escape::Hex(b"\\u00"), Form::JsonEscaped);
        escaped(with("\\x", ""), Escape::Hex(b"\\x"), Form::BackslashEscaped);
        escaped(with("=", ""), Escape::QuotedPrintable, Form::QuotedPrintable);
        escaped(with("&#x", ";"), Escape::Html, Form::HtmlEscaped);
        escaped(with("&#X", ";"), Escape::Html, Form::HtmlEscaped);
    }
    let decimal = tag.map(|byte| byte.to_string());
    add(decimal.join(";&#").into_bytes(), Kind::Escaped { escape: Escape::Html, form: Form::HtmlEscaped });
    for separator in [", ", ",", " "] {
        add(decimal.join(separator).into_bytes(), Kind::List);
    }
}

fn u8_upper(byte: u8) -> String {
    format!("{byte:02X}")
}

fn u8_lower(byte: u8) -> String {
    format!("{byte:02x}")
}

fn numbers(marker: u16, list: &mut Vec<Pattern>) {
    let mut add = |bytes: Vec<u8>, kind| list.push(Pattern { bytes, kind });
    let number = f32::from(marker) / DENOMINATOR;
    let [.., a, b, c, d] = f64::from(number).to_le_bytes();
    for (width, bytes) in [(4, number.to_le_bytes()), (8, [a, b, c, d])] {
        add(bytes.to_vec(), Kind::Floats { width });
        for phase in 0..3 {
            for alphabet in [STANDARD, URL_SAFE] {
                let (first, bytes) = determined(&bytes, phase, alphabet);
                add(bytes, Kind::Base64Floats { width, first, phase });
            }
        }
    }
    // The shortest text of a float32 is rounded, that of a float64 is all its digits.
    for text in [number.to_string(), f64::from(number).to_string()] {
        add(text.bytes().skip_while(|&byte| byte != b'.').take(1 + DECIMALS).collect(), Kind::Decimals);
    }
}

fn beginnings(list: &mut Vec<Pattern>) {
    let mut add = |bytes: &[u8], kind| list.push(Pattern { bytes: bytes.to_vec(), kind });
    add(&[0x1f, 0x8b, 8], Kind::Stream(Layer::Gzip));
    add(&[0x28, 0xb5, 0x2f, 0xfd], Kind::Stream(Layer::Zstd));
    add(&[4, 0x22, 0x4d, 0x18], Kind::Stream(Layer::Lz4));
    add(b"PK\x03\x04", Kind::Stream(Layer::Zip));
    add(b"ustar", Kind::Member);
    // Pages of 8 KiB of layout 4: of a table nothing is special, of a B-tree the last sixteen bytes.
    add(&[0, 0x20, 4, 0x20], Kind::Page);
    add(&[0xf0, 0x1f, 4, 0x20], Kind::Page);
    for end in [&b"ng: br"[..], b"ng:br", b"NG: BR", b"NG:BR", b"ng: BR"] {
        add(end, Kind::Head);
    }
}

/// The base64 characters that these bytes alone determine, when they stand so many bytes after a group's beginning; and the index of the first.
pub(super) fn determined(bytes: &[u8], phase: usize, alphabet: &[u8; 64]) -> (usize, Vec<u8>) {
    let bit = |at: usize| bytes.get((at / 8).wrapping_sub(phase)).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    let (first, end) = ((8 * phase).div_ceil(6), 8 * (phase + bytes.len()) / 6);
    let character = |index: usize| alphabet[(0..6).fold(0, |value, at| value << 1 | bit(6 * index + at))];
    (first, (first..end).map(character).collect())
}
