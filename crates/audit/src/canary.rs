//! Unique random markers, and what each was put into.
//!
//! A canary of text is forty capital letters and digits, `ttt rrrrrrr ttt rrrrrrr …` (without blanks): the run's *tag* of three
//! characters every ten, seven random characters between. Any twelve characters in a row contain a whole tag, so that a scanner looks for one short
//! tag in each encoding, at the speed of memory, and decodes and compares only where it stands. The random characters alone are 140 bits.
//! A canary of numbers is an embedding whose every other number is the run's *marker*.

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};

/// Characters of a canary: none that a font or a reader takes for another, none that JSON, a URL or HTML would escape.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Characters of the run's tag.
pub const TAG: usize = 3;
/// From one tag to the next.
pub const PERIOD: usize = 10;
/// Characters of a canary.
pub const LENGTH: usize = 40;
/// A piece of this many bytes of a canary is a find. With [`TAG`] and [`PERIOD`], any such piece contains a whole tag.
pub const PIECE: usize = 12;
/// Numbers in a row that make a find of a vector: twelve bytes as float32.
pub const NUMBERS: usize = 3;
/// A canary's numbers are multiples of 1 / this, so that float32, float64 and their decimal text are one value.
pub const DENOMINATOR: f32 = 16_384.0;

/// Whether a canary's text can contain this byte.
#[must_use]
pub fn is_character(byte: u8) -> bool {
    ALPHABET.contains(&byte)
}

/// A canary's number within its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id(pub u32);

/// Which way the marked content went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client: prompts, files, headers.
    Prompt,
    /// From the provider: answers, error texts, vectors.
    Completion,
    /// Put somewhere by the audit itself, to see that it is found.
    Control,
}

/// What the marker was part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    Text,
    /// Another member of the request's JSON than its text.
    JsonField,
    Image,
    Audio,
    Video,
    /// Numbers of an embedding.
    Vector,
    FileName,
    ToolArguments,
    Header,
    Query,
    /// The text of a provider's error.
    ErrorText,
    /// An API key that is not one.
    Credential,
}

/// Where a canary was put. This, never its value, is what a report shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Label {
    /// `POST /v1/chat/completions`, or the sink that a control was planted in.
    pub endpoint: String,
    /// `success`, `provider error that echoes`, …
    pub outcome: String,
    pub direction: Direction,
    pub modality: Modality,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Prompt => "prompt",
            Direction::Completion => "completion",
            Direction::Control => "control",
        };
        write!(f, "{} · {} · {direction}", self.endpoint, self.outcome)
    }
}

/// The markers of one run. There is no way to print one but [`Canaries::text`]'s and [`Canaries::vector`]'s own result.
pub struct Canaries {
    tag: [u8; TAG],
    marker: u16,
    labels: Vec<Label>,
    pieces: HashMap<[u8; PIECE], Id>,
    numbers: HashMap<[u16; NUMBERS], Id>,
}

/// Random bytes of the operating system are not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no random bytes are to be had")
    }
}

impl std::error::Error for NoRandomness {}

fn characters<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes.map(|byte| ALPHABET[usize::from(byte % 32)]))
}

/// An odd multiple, so that no two numbers that differ have the same text and none is zero.
fn odd() -> Result<u16, NoRandomness> {
    let mut bytes = [0; 2];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok((u16::from_le_bytes(bytes) & 0x3fff) | 1)
}

impl Canaries {
    /// A run without canaries yet.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new() -> Result<Self, NoRandomness> {
        let mut tag = characters()?;
        // A tag whose end is its beginning would stand at two places of one piece; one of digits only stands in many numbers.
        while tag[0] == tag[2] || tag[0] == tag[1] || tag.iter().filter(|byte| byte.is_ascii_digit()).count() > 1 {
            tag = characters()?;
        }
        // At least four digits after the point: never the rounded numbers that people write.
        Ok(Self { tag, marker: odd()? | 0x2000, labels: Vec::new(), pieces: HashMap::new(), numbers: HashMap::new() })
    }

    /// Another run that happens to have the same tag.
    #[cfg(test)]
    pub(crate) fn of_the_same_tag(other: &Self) -> Result<Self, NoRandomness> {
        Ok(Self { tag: other.tag, ..Self::new()? })
    }

    fn next(&mut self, label: Label) -> Id {
        let id = Id(u32::try_from(self.labels.len()).unwrap_or(u32::MAX));
        self.labels.push(label);
        id
    }

    /// A new marker of forty characters.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn text(&mut self, label: Label) -> Result<String, NoRandomness> {
        let mut value: [u8; LENGTH] = characters()?;
        for at in (0..LENGTH).step_by(PERIOD) {
            value[at..at + TAG].copy_from_slice(&self.tag);
        }
        let id = self.next(label);
        for window in value.windows(PIECE) {
            if let Ok(piece) = window.try_into() {
                self.pieces.insert(piece, id);
            }
        }
        Ok(value.iter().copied().map(char::from).collect())
    }

    /// A new marker of so many numbers, between 0 and 1; each is exactly itself as float32, as float64 and in decimal.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn vector(&mut self, label: Label, dimensions: usize) -> Result<Vec<f32>, NoRandomness> {
        let mut value = Vec::with_capacity(dimensions);
        for at in 0..dimensions {
            value.push(if at % 2 == 0 { self.marker } else { odd()? });
        }
        let id = self.next(label);
        for window in value.windows(NUMBERS) {
            if let Ok(numbers) = window.try_into() {
                self.numbers.insert(numbers, id);
            }
        }
        Ok(value.into_iter().map(|number| f32::from(number) / DENOMINATOR).collect())
    }

    /// What a canary was put into.
    #[must_use]
    pub fn label(&self, id: Id) -> Option<&Label> {
        self.labels.get(id.0 as usize)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Every canary's number and label.
    pub fn labels(&self) -> impl Iterator<Item = (Id, &Label)> {
        (0..).map(Id).zip(&self.labels)
    }

    /// The run's tag.
    #[must_use]
    pub fn tag(&self) -> [u8; TAG] {
        self.tag
    }

    /// The run's marker among numbers, as a multiple of 1 / [`DENOMINATOR`].
    #[must_use]
    pub fn marker(&self) -> u16 {
        self.marker
    }

    /// Whose piece this is, in capital letters.
    #[must_use]
    pub fn of_piece(&self, piece: &[u8; PIECE]) -> Option<Id> {
        self.pieces.get(piece).copied()
    }

    /// Whose numbers these are, as multiples of 1 / [`DENOMINATOR`].
    #[must_use]
    pub fn of_numbers(&self, numbers: [u16; NUMBERS]) -> Option<Id> {
        self.numbers.get(&numbers).copied()
    }
}
