//! Where a pattern stands: the characters or numbers around it, in the form that the pattern is of, and whose they are.

use super::pattern::{Escape, Kind};
use crate::canary::{Canaries, DENOMINATOR, Id, LENGTH, NUMBERS, PIECE, is_character};
use crate::encoding::Form;

/// Characters to decode on each side.
const CHARACTERS: usize = LENGTH + PIECE;
/// Numbers to decode on each side.
const AROUND: usize = 128;
/// Bytes between two numbers of a list, at most: a line's end and indentation.
const BETWEEN: usize = 40;
/// Bytes of one number's text.
const DIGITS: usize = 32;
/// No form of this many characters or numbers is longer; a window has so many bytes more than what it is searched for, on each side.
pub(super) const MARGIN: usize = AROUND * (BETWEEN + DIGITS);

/// A piece of a canary in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) canary: Id,
    pub(super) form: Form,
    /// Of its first unit.
    pub(super) start: usize,
    /// Of its last unit.
    pub(super) last: usize,
    /// Of the canary.
    pub(super) bytes: usize,
}

/// A decoded character or number, and where it begins.
type Unit<T> = (T, usize);
/// What one step gives: the value, and where the step ended.
type Step<T> = Option<(T, usize)>;

/// The pieces of canaries around a pattern that stands at `at`.
pub(super) fn pieces(canaries: &Canaries, window: &[u8], at: usize, kind: Kind) -> Vec<Piece> {
    match kind {
        Kind::Plain { lower } => {
            let form = if lower { Form::LowerCase } else { Form::AsIs };
            let read = |byte: u8| if lower { plain_lower(byte) } else { character(byte) };
            let next = |from: usize| Some((read(*window.get(from)?)?, from + 1));
            let previous = |end: usize| Some((read(*window.get(end.checked_sub(1)?)?)?, end - 1));
            of_text(canaries, form, &around(at, CHARACTERS, next, previous))
        }
        Kind::Wide { stride } => {
            let form = if stride == 2 { Form::Utf16 } else { Form::Utf32 };
            let blank = |from: usize, to: usize| window.get(from..to).is_some_and(|gap| gap.iter().all(|&byte| byte == 0));
            let next = |from: usize| {
                let value = character(*window.get(from)?)?;
                (from == at || blank(from + 1 - stride, from)).then_some((value, from + stride))
            };
            let previous = |end: usize| {
                let start = end.checked_sub(stride)?;
                blank(start + 1, end).then_some((character(window[start])?, start))
            };
            of_text(canaries, form, &around(at, CHARACTERS, next, previous))
        }
        Kind::Base64 { first } => of_text(canaries, Form::Base64, &characters_of(&base64(window, at, first, CHARACTERS), at)),
        Kind::Escaped { escape, form } => {
            let Some(start) = beginning(escape, window, at) else { return Vec::new() };
            let units =
                around(start, CHARACTERS, |from| escape_at(escape, window, from), |end| escape_before(escape, window, end));
            of_text(canaries, form, &units)
        }
        Kind::List => {
            if at > 0 && window[at - 1].is_ascii_digit() {
                return Vec::new();
            }
            let read = |text: &str| character(text.parse().ok()?);
            let next = |from| token_at(window, from, |byte| byte.is_ascii_digit(), read);
            let previous = |end| token_before(window, end, |byte| byte.is_ascii_digit(), read);
            of_text(canaries, Form::ByteList, &around(at, CHARACTERS, next, previous))
        }
        Kind::Floats { width } => {
            let form = if width == 4 { Form::Float32 } else { Form::Float64 };
            let Some(start) = (at + 4).checked_sub(width) else { return Vec::new() };
            let next = |from: usize| Some((float(window.get(from..from + width)?)?, from + width));
            let previous = |end: usize| {
                let start = end.checked_sub(width)?;
                Some((float(&window[start..end])?, start))
            };
            of_numbers(canaries, form, &around(start, AROUND, next, previous))
        }
        Kind::Decimals => {
            let start = window[..at].iter().rposition(|&byte| !is_of_number(byte)).map_or(0, |before| before + 1);
            if at - start > DIGITS {
                return Vec::new();
            }
            let read = |text: &str| nearly(text.parse().ok()?);
            let next = |from| token_at(window, from, is_of_number, read);
            let previous = |end| token_before(window, end, is_of_number, read);
            of_numbers(canaries, Form::DecimalNumbers, &around(start, AROUND, next, previous))
        }
        Kind::Base64Floats { width, first, phase } => {
            let form = if width == 4 { Form::Base64Float32 } else { Form::Base64Float64 };
            of_numbers(canaries, form, &base64_numbers(window, at, width, first, phase))
        }
        Kind::Stream(_) | Kind::Page | Kind::Member | Kind::Head => Vec::new(),
    }
}

/// Units from `at` on to the right and to the left, as far as they are valid.
fn around<T>(at: usize, most: usize, next: impl Fn(usize) -> Step<T>, previous: impl Fn(usize) -> Step<T>) -> Vec<Unit<T>> {
    let mut units = Vec::with_capacity(32);
    let mut end = at;
    while units.len() < most
        && let Some((value, start)) = previous(end)
    {
        units.push((value, start));
        end = start;
    }
    units.reverse();
    let most = units.len() + most;
    let mut start = at;
    while units.len() < most
        && let Some((value, end)) = next(start)
    {
        units.push((value, start));
        start = end;
    }
    units
}

fn character(byte: u8) -> Option<u8> {
    is_character(byte).then_some(byte)
}

fn plain_lower(byte: u8) -> Option<u8> {
    (!byte.is_ascii_uppercase()).then(|| character(byte.to_ascii_uppercase())).flatten()
}

/// The odd multiple that a number exactly is.
fn multiple(number: f64) -> Option<u16> {
    let scaled = number * f64::from(DENOMINATOR);
    if !(1.0..f64::from(DENOMINATOR)).contains(&scaled) || scaled.fract() != 0.0 {
        return None;
    }
    // In range and whole, as was just seen.
    let multiple = scaled as u16;
    (multiple % 2 == 1).then_some(multiple)
}

/// The odd multiple that a number of five decimals or more was.
fn nearly(number: f64) -> Option<u16> {
    let scaled = number * f64::from(DENOMINATOR);
    if (scaled - scaled.round()).abs() > 0.1 { None } else { multiple(scaled.round() / f64::from(DENOMINATOR)) }
}

fn float(bytes: &[u8]) -> Option<u16> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return multiple(f32::from_le_bytes(bytes).into());
    }
    multiple(f64::from_le_bytes(bytes.try_into().ok()?))
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')
}

fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' | b'"' | b'\'')
}

/// The number at or after `from`, with what is between before it.
fn token_at<T>(window: &[u8], from: usize, of: fn(u8) -> bool, read: impl Fn(&str) -> Option<T>) -> Step<T> {
    let rest = window.get(from..)?;
    let start = rest.iter().take(BETWEEN).take_while(|&&byte| is_between(byte)).count();
    let length = rest[start..].iter().take(DIGITS).take_while(|&&byte| of(byte)).count();
    let text = std::str::from_utf8(&rest[start..start + length]).ok()?;
    Some((read(text)?, from + start + length))
}

/// The number that ends at or before `end`.
fn token_before<T>(window: &[u8], end: usize, of: fn(u8) -> bool, read: impl Fn(&str) -> Option<T>) -> Step<T> {
    let rest = window.get(..end)?;
    let between = rest.iter().rev().take(BETWEEN).take_while(|&&byte| is_between(byte)).count();
    let rest = &rest[..end - between];
    let length = rest.iter().rev().take(DIGITS).take_while(|&&byte| of(byte)).count();
    let text = std::str::from_utf8(&rest[rest.len() - length..]).ok()?;
    // Without anything between, these would be the first digits of the number after it.
    if between == 0 { None } else { Some((read(text)?, rest.len() - length)) }
}

fn hex(bytes: &[u8]) -> Option<u8> {
    let [high, low] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    character(digit(*high)? << 4 | digit(*low)?)
}

/// Where the escape begins whose first digit stands at `at`.
fn beginning(escape: Escape, window: &[u8], at: usize) -> Option<usize> {
    match escape {
        Escape::Hex(prefix) => window[..at].ends_with(prefix).then(|| at - prefix.len()),
        Escape::QuotedPrintable => window[..at].ends_with(b"=").then(|| at - 1),
        Escape::Html => {
            let zeros = window[..at].iter().rev().take(DIGITS).take_while(|&&byte| byte == b'0').count();
            let rest = &window[..at - zeros];
            [&b"&#"[..], b"&#x", b"&#X"].iter().find(|prefix| rest.ends_with(prefix)).map(|prefix| rest.len() - prefix.len())
        }
    }
}

fn escape_at(escape: Escape, window: &[u8], from: usize) -> Step<u8> {
    let rest = window.get(from..)?;
    match escape {
        Escape::Hex(prefix) => Some((hex(rest.strip_prefix(prefix)?.get(..2)?)?, from + prefix.len() + 2)),
        Escape::QuotedPrintable => {
            let line = [&b"=\r\n"[..], b"=\n"].into_iter().find(|end| rest.starts_with(end)).map_or(0, <[u8]>::len);
            Some((hex(rest[line..].strip_prefix(b"=")?.get(..2)?)?, from + line + 3))
        }
        Escape::Html => {
            let end = rest.iter().take(DIGITS).position(|&byte| byte == b';')?;
            let text = std::str::from_utf8(rest[..end].strip_prefix(b"&#")?).ok()?;
            let value = match text.strip_prefix(['x', 'X']) {
                Some(digits) => u8::from_str_radix(digits, 16),
                None => text.parse(),
            };
            Some((character(value.ok()?)?, from + end + 1))
        }
    }
}

fn escape_before(escape: Escape, window: &[u8], end: usize) -> Step<u8> {
    let rest = window.get(..end)?;
    let start = match escape {
        Escape::Hex(prefix) => end.checked_sub(prefix.len() + 2)?,
        Escape::QuotedPrintable => {
            let line = [&b"=\r\n"[..], b"=\n"].into_iter().find(|line| rest.ends_with(line)).map_or(0, <[u8]>::len);
            let start = end.checked_sub(line + 3)?;
            return Some((escape_at(escape, &rest[..end - line], start)?.0, start));
        }
        Escape::Html => {
            let last = end.checked_sub(1)?;
            last - rest[..last].iter().rev().take(DIGITS).position(|&byte| byte == b'&')? - 1
        }
    };
    let (value, to) = escape_at(escape, rest, start)?;
    (to == end).then_some((value, start))
}

fn sextet(byte: u8) -> Option<u32> {
    Some(
        match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        }
        .into(),
    )
}

/// Bytes of the base64 around `at`, where the `first` character of a group (counted on) stands. With the character that each begins in, and its
/// index from that group's first byte.
struct Base64 {
    bytes: Vec<Unit<u8>>,
    /// Of the first of the bytes, as counted from the group's beginning.
    index: isize,
}

fn base64(window: &[u8], at: usize, first: usize, most: usize) -> Base64 {
    let most = most * 4 / 3 + 4;
    let left = window[..at].iter().rev().take(most).take_while(|&&byte| sextet(byte).is_some()).count();
    let right = window[at..].iter().take(most).take_while(|&&byte| sextet(byte).is_some()).count();
    // Characters are counted from the group's first, which may stand before the window.
    let (at, first) = (at.cast_signed(), first.cast_signed());
    let (from, to) = (first - left.cast_signed(), first + right.cast_signed());
    let begin = (6 * from).div_euclid(8) + isize::from((6 * from).rem_euclid(8) != 0);
    let end = (6 * to).div_euclid(8);
    let value = |character: isize| {
        let place = usize::try_from(at + character - first).ok()?;
        Some((sextet(*window.get(place)?)?, place))
    };
    let byte = |index: isize| {
        let (high, place) = value((8 * index).div_euclid(6))?;
        let (low, _) = value((8 * index).div_euclid(6) + 1)?;
        let bits = high << 6 | low;
        Some(((bits >> (4 - (8 * index).rem_euclid(6)) & 0xff) as u8, place))
    };
    Base64 { bytes: (begin..end).map_while(byte).collect(), index: begin }
}

/// Those of a canary's characters that stand around `at`.
fn characters_of(decoded: &Base64, at: usize) -> Vec<Unit<u8>> {
    let bytes = &decoded.bytes;
    let middle = bytes.iter().position(|&(_, place)| place >= at).unwrap_or(0);
    let left = bytes[..middle].iter().rev().take_while(|(byte, _)| is_character(*byte)).count();
    let right = bytes[middle..].iter().take_while(|(byte, _)| is_character(*byte)).count();
    bytes[middle - left..middle + right].to_vec()
}

/// Numbers around `at`, where the base64 of the last four bytes of one begins, `phase` bytes after a group's beginning.
fn base64_numbers(window: &[u8], at: usize, width: usize, first: usize, phase: usize) -> Vec<Unit<u16>> {
    let decoded = base64(window, at, first, AROUND * width);
    let number = (phase + 4).cast_signed() - width.cast_signed() - decoded.index;
    let offset = usize::try_from(number.rem_euclid(width.cast_signed())).unwrap_or(0);
    let middle = usize::try_from(number).unwrap_or(0);
    let numbers: Vec<(Option<u16>, usize, usize)> = decoded.bytes[offset.min(decoded.bytes.len())..]
        .chunks_exact(width)
        .enumerate()
        .map(|(index, chunk)| {
            let bytes: Vec<u8> = chunk.iter().map(|&(byte, _)| byte).collect();
            (float(&bytes), chunk[0].1, offset + index * width)
        })
        .collect();
    let here = numbers.iter().position(|&(_, _, index)| index >= middle).unwrap_or(numbers.len());
    let left = numbers[..here].iter().rev().take_while(|number| number.0.is_some()).count();
    let right = numbers[here..].iter().take_while(|number| number.0.is_some()).count();
    numbers[here - left..here + right].iter().filter_map(|&(value, place, _)| Some((value?, place))).collect()
}

/// Whose characters these are.
fn of_text(canaries: &Canaries, form: Form, units: &[Unit<u8>]) -> Vec<Piece> {
    let values: Vec<u8> = units.iter().map(|unit| unit.0).collect();
    let owners = values.windows(PIECE).map(|window| canaries.of_piece(window.try_into().ok()?));
    runs(owners)
        .map(|(canary, first, count)| Piece {
            canary,
            form,
            start: units[first].1,
            last: units[first + count + PIECE - 2].1,
            bytes: count + PIECE - 1,
        })
        .collect()
}

/// Whose numbers these are. Only three of which the middle one is the marker tell canaries apart; the others go with their neighbours.
fn of_numbers(canaries: &Canaries, form: Form, units: &[Unit<u16>]) -> Vec<Piece> {
    let marker = canaries.marker();
    let windows = units.windows(NUMBERS).map(|window| {
        let numbers = [window[0].0, window[1].0, window[2].0];
        canaries.of_numbers(numbers).map(|id| (id, numbers[1] == marker))
    });
    let mut owners: Vec<Option<(Id, bool)>> = windows.collect();
    let mut from = 0;
    while from < owners.len() {
        let count = owners[from..].iter().take_while(|owner| owner.is_some()).count();
        settle(&mut owners[from..from + count]);
        from += count + 1;
    }
    runs(owners.into_iter().map(|owner| owner.map(|(id, _)| id)))
        .map(|(canary, first, count)| Piece {
            canary,
            form,
            start: units[first].1,
            last: units[first + count + NUMBERS - 2].1,
            bytes: 4 * (count + NUMBERS - 1),
        })
        .collect()
}

/// Gives windows that do not tell whose they are to the owner of those before (or after) them, and single ones between two of one owner to it.
fn settle(owners: &mut [Option<(Id, bool)>]) {
    let sure: Vec<(usize, Id)> =
        owners.iter().enumerate().filter_map(|(at, owner)| owner.filter(|owner| owner.1).map(|owner| (at, owner.0))).collect();
    let mut sure_of = sure.clone();
    for at in 0..sure.len() {
        let id = |at: usize| sure.get(at).map(|owner| owner.1);
        let (before, after) = (at.checked_sub(1).map(|at| sure_of[at].1), id(at + 1));
        // At an end, the two next to it count.
        let before = before.or(id(at + 2));
        let after = after.or(at.checked_sub(2).map(|at| sure_of[at].1));
        if let (Some(before), Some(after)) = (before, after)
            && before == after
        {
            sure_of[at].1 = before;
        }
    }
    let Some(&(_, first)) = sure_of.first() else { return };
    let mut owner = first;
    let mut next = sure_of.into_iter().peekable();
    for (at, slot) in owners.iter_mut().enumerate() {
        if let Some((_, id)) = next.next_if(|&(place, _)| place == at) {
            owner = id;
        }
        *slot = Some((owner, true));
    }
}

/// Runs of one owner: who, from which window, how many windows.
fn runs(owners: impl Iterator<Item = Option<Id>>) -> impl Iterator<Item = (Id, usize, usize)> {
    let mut runs: Vec<(Id, usize, usize)> = Vec::new();
    for (at, owner) in owners.enumerate() {
        let Some(owner) = owner else { continue };
        match runs.last_mut() {
            Some((id, first, count)) if *id == owner && *first + *count == at => *count += 1,
            _ => runs.push((owner, at, 1)),
        }
    }
    runs.into_iter()
}
