//! Pages as PostgreSQL writes them, of a table that has little in it.

use std::collections::HashMap;

const PAGE: usize = 8192;
const HEADER: usize = 24;
/// Of a value, in each row of a TOAST table.
const CHUNK: usize = 1996;
/// Values longer than this are not kept in the row.
const INLINE: usize = 1900;

/// A value compressed with the method (0 pglz, 1 lz4): in a row, or if it is too long for that, in chunks.
pub(super) fn compressed(payload: &[u8], method: u32) -> Option<Vec<u8>> {
    let bytes = if method == 0 { pglz(payload) } else { lz4_flex::block::compress(payload) };
    let about = u32::try_from(payload.len()).ok()? | method << 30;
    let value = [&about.to_le_bytes()[..], &bytes].concat();
    if value.len() > INLINE {
        return chunks(&value);
    }
    // The lowest bits: a header of four bytes, compressed.
    let head = u32::try_from(value.len() + 4).ok()? << 2 | 2;
    let row = row(2, &[&7_u32.to_le_bytes()[..], &head.to_le_bytes(), &value].concat());
    Some(page(&[row]))
}

/// A value that is not compressed and is cut in the middle of what matters.
pub(super) fn cut(inner: &[u8], filler: &[u8]) -> Option<Vec<u8>> {
    let before = CHUNK - (inner.len() / 2).min(CHUNK / 2);
    let filler = || filler.iter().copied().cycle();
    let value: Vec<u8> = filler().take(before).chain(inner.iter().copied()).chain(filler().take(CHUNK / 2)).collect();
    chunks(&value)
}

fn chunks(value: &[u8]) -> Option<Vec<u8>> {
    let mut rows = Vec::new();
    for (sequence, chunk) in (0_u32..).zip(value.chunks(CHUNK)) {
        let head = u32::try_from(chunk.len() + 4).ok()? << 2;
        rows.push(row(3, &[&16_500_u32.to_le_bytes()[..], &sequence.to_le_bytes(), &head.to_le_bytes(), chunk].concat()));
    }
    Some(rows.chunks(4).flat_map(page).collect())
}

/// A row of so many columns, none of them null.
fn row(columns: u16, data: &[u8]) -> Vec<u8> {
    let mut row = vec![0; HEADER];
    row[0] = 3;
    row[18..20].copy_from_slice(&columns.to_le_bytes());
    // Some column's length varies; inserted, not deleted.
    row[20..22].copy_from_slice(&0x0902_u16.to_le_bytes());
    row[22] = 24;
    row.extend_from_slice(data);
    row
}

fn page(rows: &[Vec<u8>]) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    let (mut lower, mut upper) = (HEADER, PAGE);
    for row in rows {
        upper = (upper - row.len()) & !7;
        page[upper..upper + row.len()].copy_from_slice(row);
        // Place, a normal row, length.
        let pointer = upper | 1 << 15 | row.len() << 17;
        page[lower..lower + 4].copy_from_slice(&pointer.to_le_bytes()[..4]);
        lower += 4;
    }
    for (at, value) in [(12, lower), (14, upper), (16, PAGE), (18, PAGE | 4)] {
        page[at..at + 2].copy_from_slice(&value.to_le_bytes()[..2]);
    }
    page
}

/// PostgreSQL's own method, without its refusal of what gets no shorter.
fn pglz(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut seen: HashMap<&[u8], usize> = HashMap::new();
    let (mut at, mut flags, mut item) = (0, 0, 8);
    while at < bytes.len() {
        if item == 8 {
            (flags, item) = (out.len(), 0);
            out.push(0);
        }
        let three = bytes.get(at..at + 3);
        let earlier = three.and_then(|three| seen.get(three)).copied().filter(|earlier| at - earlier < 4096);
        let length = match earlier {
            Some(earlier) => {
                let length = bytes[at..].iter().zip(&bytes[earlier..]).take(18 + 255).take_while(|(a, b)| a == b).count();
                let back = (at - earlier).to_le_bytes();
                out[flags] |= 1 << item;
                let short = (length.min(18) - 3).to_le_bytes()[0];
                out.extend_from_slice(&[back[1] << 4 | short, back[0]]);
                out.extend((length >= 18).then(|| (length - 18).to_le_bytes()[0]));
                length
            }
            None => {
                out.push(bytes[at]);
                1
            }
        };
        for place in at..at + length {
            if let Some(three) = bytes.get(place..place + 3) {
                seen.insert(three, place);
            }
        }
        at += length;
        item += 1;
    }
    out
}
