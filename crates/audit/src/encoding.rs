//! How a canary can stand in bytes: a form of its characters or numbers, inside any number of compressing layers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the characters or numbers themselves are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    AsIs,
    LowerCase,
    /// Either byte order.
    Utf16,
    /// Either byte order.
    Utf32,
    /// Either alphabet, any of the three offsets.
    Base64,
    /// Either case.
    Hex,
    /// `%41` (RFC 3986).
    PercentEncoded,
    /// `\u0041` (RFC 8259).
    JsonEscaped,
    /// `&#65;` or `&#x41;`.
    HtmlEscaped,
    /// `\x41`.
    BackslashEscaped,
    /// `=41` (RFC 2045).
    QuotedPrintable,
    /// `65, 66, 67`, as debug output of bytes.
    ByteList,
    /// Little-endian.
    Float32,
    /// Little-endian.
    Float64,
    /// `0.30126953125, …`
    DecimalNumbers,
    /// Base64 of little-endian float32, any offset: OpenAI's `encoding_format: base64`.
    Base64Float32,
    Base64Float64,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 17] = [
        Self::AsIs,
        Self::LowerCase,
        Self::Utf16,
        Self::Utf32,
        Self::Base64,
        Self::Hex,
        Self::PercentEncoded,
        Self::JsonEscaped,
        Self::HtmlEscaped,
        Self::BackslashEscaped,
        Self::QuotedPrintable,
        Self::ByteList,
        Self::Float32,
        Self::Float64,
        Self::DecimalNumbers,
        Self::Base64Float32,
        Self::Base64Float64,
    ];

    /// Whether this is a form of an embedding's numbers.
    #[must_use]
    pub const fn is_of_numbers(self) -> bool {
        matches!(self, Self::Float32 | Self::Float64 | Self::DecimalNumbers | Self::Base64Float32 | Self::Base64Float64)
    }

    /// In a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsIs => "as is",
            Self::LowerCase => "lower case",
            Self::Utf16 => "UTF-16",
            Self::Utf32 => "UTF-32",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::PercentEncoded => "percent-encoded",
            Self::JsonEscaped => "JSON escapes",
            Self::HtmlEscaped => "HTML escapes",
            Self::BackslashEscaped => "\\x escapes",
            Self::QuotedPrintable => "quoted-printable",
            Self::ByteList => "list of bytes",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::DecimalNumbers => "decimal numbers",
            Self::Base64Float32 => "base64 of float32",
            Self::Base64Float64 => "base64 of float64",
        }
    }
}

/// What is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    Gzip,
    Zlib,
    Zstd,
    Brotli,
    /// LZ4 frame.
    Lz4,
    /// A deflated member of a zip archive (a stored one is as is).
    Zip,
    /// A value that PostgreSQL compressed with its own method, in a row or gathered from a TOAST table's chunks.
    PostgresPglz,
    /// The same with LZ4 blocks.
    PostgresLz4,
    /// Chunks of a TOAST table, put together, not compressed.
    PostgresToast,
}

impl Layer {
    /// Every layer.
    pub const ALL: [Self; 9] = [
        Self::Gzip,
        Self::Zlib,
        Self::Zstd,
        Self::Brotli,
        Self::Lz4,
        Self::Zip,
        Self::PostgresPglz,
        Self::PostgresLz4,
        Self::PostgresToast,
    ];

    /// In a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
            Self::Brotli => "brotli",
            Self::Lz4 => "lz4",
            Self::Zip => "zip",
            Self::PostgresPglz => "PostgreSQL pglz",
            Self::PostgresLz4 => "PostgreSQL lz4",
            Self::PostgresToast => "PostgreSQL TOAST",
        }
    }
}

/// From outside in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Encoding {
    pub layers: Vec<Layer>,
    pub form: Form,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for layer in &self.layers {
            write!(f, "{} › ", layer.name())?;
        }
        f.write_str(self.form.name())
    }
}
