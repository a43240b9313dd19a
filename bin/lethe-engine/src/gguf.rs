//! Reading a GGUF file (version 2 or 3): metadata and where each tensor lies.
//!
//! Layout after <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. The file is the operator's, not a client's, but every
//! length in it is checked against the bytes that are there before anything is reserved.

use std::collections::HashMap;

/// Why a model file was not taken. Says nothing of the file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelError {
    /// A value has another type, or a number is out of range.
    BadValue,
    /// The chat template does not compile, or does not render messages one after the other.
    BadTemplate,
    /// The tokens or merges contradict each other.
    BadVocabulary,
    /// A key or tensor is missing; its name.
    Missing(&'static str),
    /// Not a GGUF file of version 2 or 3.
    NotGguf,
    /// A tensor has another shape than the model's numbers say.
    Shape,
    /// The threads of the team could not be started.
    Threads,
    /// The file ends too early.
    Truncated,
    /// Another architecture, tokenizer or number format than this engine computes.
    Unsupported,
}

/// A metadata value; only the kinds that a text model needs are kept.
enum Value<'a> {
    Bool(bool),
    Float(f32),
    Int(i64),
    Ints(Vec<i64>),
    Other,
    Text(&'a str),
    Texts(Vec<&'a str>),
}

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    F32,
    Q4_1,
    Q8_0,
}

impl Format {
    /// Numbers in one block and bytes of one block.
    const fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::Q4_1 => (32, 20),
            Self::Q8_0 => (32, 34),
        }
    }
}

/// One tensor in the file: `rows` rows of `cols` numbers.
pub(crate) struct Tensor<'a> {
    pub(crate) format: Format,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) bytes: &'a [u8],
}

struct Info {
    rows: usize,
    cols: usize,
    format: u32,
    offset: u64,
}

/// A parsed file, borrowing its bytes.
pub(crate) struct Gguf<'a> {
    metadata: HashMap<&'a str, Value<'a>>,
    infos: HashMap<&'a str, Info>,
    data: &'a [u8],
}

impl<'a> Gguf<'a> {
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self, ModelError> {
        let mut reader = Reader { rest: file };
        if reader.bytes(4)? != b"GGUF" || !(2..=3).contains(&reader.u32()?) {
            return Err(ModelError::NotGguf);
        }
        let tensors = reader.count(24)?;
        let entries = reader.count(13)?;
        let mut metadata = HashMap::with_capacity(entries);
        for _ in 0..entries {
            let key = reader.text()?;
            let kind = reader.u32()?;
            metadata.insert(key, reader.value(kind)?);
        }
        let mut infos = HashMap::with_capacity(tensors);
        for _ in 0..tensors {
            let name = reader.text()?;
            let info = reader.info()?;
            infos.insert(name, info);
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Int(number)) => usize::try_from(*number).ok().filter(|n| *n > 0).ok_or(ModelError::BadValue)?,
            Some(_) => return Err(ModelError::BadValue),
        };
        let start = (file.len() - reader.rest.len()).next_multiple_of(alignment);
        let data = file.get(start..).ok_or(ModelError::Truncated)?;
        Ok(Self { metadata, infos, data })
    }

    pub(crate) fn text(&self, key: &'static str) -> Result<&'a str, ModelError> {
        match self.metadata.get(key) {
            None => Err(ModelError::Missing(key)),
            Some(Value::Text(text)) => Ok(text),
            Some(_) => Err(ModelError::BadValue),
        }
    }

    pub(crate) fn texts(&self, key: &'static str) -> Result<&[&'a str], ModelError> {
        match self.metadata.get(key) {
            None => Err(ModelError::Missing(key)),
            Some(Value::Texts(texts)) => Ok(texts),
            Some(_) => Err(ModelError::BadValue),
        }
    }

    pub(crate) fn ints(&self, key: &'static str) -> Result<&[i64], ModelError> {
        match self.metadata.get(key) {
            None => Err(ModelError::Missing(key)),
            Some(Value::Ints(ints)) => Ok(ints),
            Some(_) => Err(ModelError::BadValue),
        }
    }

    pub(crate) fn size(&self, key: &'static str) -> Result<usize, ModelError> {
        match self.metadata.get(key) {
            None => Err(ModelError::Missing(key)),
            Some(Value::Int(int)) => usize::try_from(*int).map_err(|_| ModelError::BadValue),
            Some(_) => Err(ModelError::BadValue),
        }
    }

    pub(crate) fn float(&self, key: &'static str) -> Result<f32, ModelError> {
        match self.metadata.get(key) {
            None => Err(ModelError::Missing(key)),
            Some(Value::Float(float)) => Ok(*float),
            Some(_) => Err(ModelError::BadValue),
        }
    }

    /// A flag that may be absent.
    pub(crate) fn flag(&self, key: &'static str) -> Option<bool> {
        match self.metadata.get(key) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.infos.contains_key(name)
    }

    /// The tensor `name`, which must have this shape.
    pub(crate) fn tensor(&self, name: &str, rows: usize, cols: usize) -> Result<Tensor<'a>, ModelError> {
        let info = self.infos.get(name).ok_or(ModelError::Missing("tensor"))?;
        if (info.rows, info.cols) != (rows, cols) {
            return Err(ModelError::Shape);
        }
        // Numbers of `enum ggml_type` in ggml.h.
        let format = match info.format {
            0 => Format::F32,
            3 => Format::Q4_1,
            8 => Format::Q8_0,
            _ => return Err(ModelError::Unsupported),
        };
        let (numbers, size) = format.block();
        if !cols.is_multiple_of(numbers) {
            return Err(ModelError::Shape);
        }
        let length = (cols / numbers).checked_mul(size).and_then(|row| row.checked_mul(rows)).ok_or(ModelError::Shape)?;
        let start = usize::try_from(info.offset).map_err(|_| ModelError::Truncated)?;
        let end = start.checked_add(length).ok_or(ModelError::Truncated)?;
        let bytes = self.data.get(start..end).ok_or(ModelError::Truncated)?;
        Ok(Tensor { format, rows, cols, bytes })
    }
}

/// Takes little-endian values off the front.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], ModelError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ModelError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ModelError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ModelError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of things that take at least `smallest` bytes each.
    fn count(&mut self, smallest: usize) -> Result<usize, ModelError> {
        let count = usize::try_from(self.u64()?).map_err(|_| ModelError::Truncated)?;
        if count > self.rest.len() / smallest {
            return Err(ModelError::Truncated);
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<&'a str, ModelError> {
        let length = self.count(1)?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| ModelError::BadValue)
    }

    /// A scalar, or a list of scalars; lists of lists do not occur in text models.
    fn value(&mut self, kind: u32) -> Result<Value<'a>, ModelError> {
        Ok(match kind {
            6 => Value::Float(f32::from_le_bytes(self.array()?)),
            7 => Value::Bool(self.array::<1>()? != [0]),
            8 => Value::Text(self.text()?),
            9 => return self.list(),
            12 => {
                self.bytes(8)?;
                Value::Other
            }
            _ => Value::Int(self.int(kind)?),
        })
    }

    fn list(&mut self) -> Result<Value<'a>, ModelError> {
        let kind = self.u32()?;
        let smallest = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            _ => 8,
        };
        let count = self.count(smallest)?;
        Ok(match kind {
            8 => Value::Texts((0..count).map(|_| self.text()).collect::<Result<_, _>>()?),
            6 | 7 | 12 => {
                self.bytes(count * smallest)?;
                Value::Other
            }
            _ => Value::Ints((0..count).map(|_| self.int(kind)).collect::<Result<_, _>>()?),
        })
    }

    fn int(&mut self, kind: u32) -> Result<i64, ModelError> {
        Ok(match kind {
            0 => i64::from(u8::from_le_bytes(self.array()?)),
            1 => i64::from(i8::from_le_bytes(self.array()?)),
            2 => i64::from(u16::from_le_bytes(self.array()?)),
            3 => i64::from(i16::from_le_bytes(self.array()?)),
            4 => i64::from(self.u32()?),
            5 => i64::from(i32::from_le_bytes(self.array()?)),
            10 => i64::try_from(self.u64()?).map_err(|_| ModelError::BadValue)?,
            11 => i64::from_le_bytes(self.array()?),
            _ => return Err(ModelError::BadValue),
        })
    }

    /// Dimensions come innermost first; one dimension is a single row.
    fn info(&mut self) -> Result<Info, ModelError> {
        let dimensions = self.u32()?;
        let mut sizes = [1u64; 2];
        for index in 0..dimensions {
            let size = self.u64()?;
            match sizes.get_mut(index as usize) {
                Some(slot) => *slot = size,
                None => return Err(ModelError::Unsupported),
            }
        }
        let [cols, rows] = sizes.map(usize::try_from);
        Ok(Info {
            rows: rows.map_err(|_| ModelError::Shape)?,
            cols: cols.map_err(|_| ModelError::Shape)?,
            format: self.u32()?,
            offset: self.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{Format, Gguf, ModelError};

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    /// One number, one list of texts, one 2 × 4 tensor of f32.
    fn small_file() -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend(1u64.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        text(&mut out, "size");
        out.extend(4u32.to_le_bytes());
        out.extend(7u32.to_le_bytes());
        text(&mut out, "names");
        out.extend(9u32.to_le_bytes());
        out.extend(8u32.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        text(&mut out, "a");
        text(&mut out, "bc");
        text(&mut out, "w");
        out.extend(2u32.to_le_bytes());
        out.extend(4u64.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        out.extend(0u32.to_le_bytes());
        out.extend(0u64.to_le_bytes());
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend([0u8; 32]);
        out
    }

    #[test]
    fn values_and_tensors_are_found() {
        let file = small_file();
        let gguf = Gguf::parse(&file).unwrap();
        assert_eq!(gguf.size("size"), Ok(7));
        assert_eq!(gguf.texts("names").unwrap(), ["a", "bc"]);
        assert_eq!(gguf.size("names"), Err(ModelError::BadValue));
        let tensor = gguf.tensor("w", 2, 4).unwrap();
        assert_eq!((tensor.format, tensor.bytes.len()), (Format::F32, 32));
        assert_eq!(gguf.tensor("w", 4, 2).err(), Some(ModelError::Shape));
    }

    #[test]
    fn every_cut_is_noticed() {
        let file = small_file();
        for end in 0..file.len() {
            let cut = Gguf::parse(&file[..end]).and_then(|gguf| gguf.tensor("w", 2, 4).map(|_| ()));
            assert!(cut.is_err(), "a file cut at {end} was taken");
        }
    }
}
