use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;
use crate::detect::Incomplete;
use crate::encode::{all as encodings, encode};
use crate::encoding::{Form, Layer};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn brotli_of(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::CompressorWriter::new(&mut out, 4096, 9, 20).write_all(bytes).unwrap();
    out
}

fn in_layers(layers: &[Layer]) -> Encoding {
    Encoding { layers: layers.to_vec(), form: Form::AsIs }
}

/// A megabyte and more that is hard to compress, then the canary, then more.
fn long(run: &Run, before: usize) -> Vec<u8> {
    [crate::encode::encode_shifted(&random(before, 21), 0, false), format!("\n{}\n", run.text).into_bytes(), log_like(9000, 22)]
        .concat()
}

#[test]
fn every_encoding_is_found() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    for encoding in encodings() {
        let bytes = encode(&run.text, &run.numbers, &encoding).unwrap();
        let hits = detector.bytes(&bytes);
        let hit = hits.iter().find(|hit| hit.encoding == encoding).unwrap_or_else(|| panic!("{encoding}: {hits:?}"));
        assert_eq!(hit.bytes, if encoding.form.is_of_numbers() { 96 } else { 40 }, "{encoding}");
        if encoding.layers.first() == Some(&Layer::Brotli) {
            continue;
        }
        for (filler, at) in [(random(100_000, 31), 50_001), (log_like(100_000, 32), 65_530), (vec![0; 30_000], 8192)] {
            let bytes = [&filler[..at], &bytes, &filler[at..]].concat();
            let hits = detector.bytes(&bytes);
            let hit = hits.iter().find(|hit| hit.encoding == encoding).unwrap_or_else(|| panic!("{encoding}: {hits:?}"));
            assert!(hit.offset >= at as u64 && hit.offset < (at + 8300) as u64, "{encoding}: {hit:?}");
        }
    }
}

#[test]
fn streams_are_read_over_the_ends_of_windows_and_buffers() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    let limits = Limits { window: 100_000, buffer: 100_000, ..Limits::default() };
    let content = long(&run, 400_000);
    let zlib = {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&content).unwrap();
        encoder.finish().unwrap()
    };
    let mut lz4 = lz4_flex::frame::FrameEncoder::with_frame_info(
        lz4_flex::frame::FrameInfo::new()
            .block_mode(lz4_flex::frame::BlockMode::Linked)
            .block_checksums(true)
            .content_checksum(true)
            .block_size(lz4_flex::frame::BlockSize::Max64KB),
        Vec::new(),
    );
    lz4.write_all(&content).unwrap();
    let streams = [
        (Layer::Gzip, gzip(&content)),
        (Layer::Zlib, zlib),
        (Layer::Zstd, zstd::stream::encode_all(content.as_slice(), 3).unwrap()),
        (Layer::Lz4, lz4.finish().unwrap()),
    ];
    for (layer, stream) in streams {
        let bytes = [random(60_000, 23), stream.clone(), random(60_000, 24)].concat();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let file: File = file;
        let looked = detector.source(&file, 0..u64::MAX, &limits).unwrap();
        assert_eq!((looked.bytes, looked.incomplete), (bytes.len() as u64, None), "{}", layer.name());
        let hit =
            looked.hits.iter().find(|hit| hit.encoding == in_layers(&[layer])).unwrap_or_else(|| panic!("{}", layer.name()));
        assert_eq!((hit.offset, hit.bytes), (60_000, 40));
        // The same within another, where only a buffer of it is there at once.
        let short = long(&run, 20_000);
        for before in [10_000, 70_000, 99_000, 150_000] {
            let inner = gzip(&short);
            let outer = gzip(&[random(before, 25), inner].concat());
            let looked = detector.source(&outer, 0..u64::MAX, &limits).unwrap();
            assert!(has(&looked.hits, &in_layers(&[Layer::Gzip, Layer::Gzip])), "{before}: {looked:?}");
            assert_eq!(looked.incomplete, None, "{before}");
        }
        // One that is longer than that is searched as far as it is held, and it is said.
        let looked = detector.source(&gzip(&[random(10, 26), stream].concat()), 0..u64::MAX, &limits).unwrap();
        assert_eq!(looked.incomplete, Some(Incomplete::Nested));
    }
}

#[test]
fn a_range_is_looked_at_and_no_more() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    let bytes = format!("({})({})", run.text, run.text).into_bytes();
    let looked = detector.source(&bytes, 10..42, &Limits::default()).unwrap();
    assert_eq!((looked.hits[0].offset, looked.hits[0].bytes, looked.bytes), (10, 31, 32));
    assert_eq!(detector.source(&bytes, 31..52, &Limits::default()).unwrap().hits, []);
    assert_eq!(detector.source(&bytes, 500..600, &Limits::default()).unwrap(), Looked::default());
}

#[test]
fn what_came_before_a_cut_or_an_error_is_found() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    let content = [log_like(3000, 40), run.text.clone().into_bytes(), log_like(600_000, 41)].concat();
    let zip = |bytes: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        // Its sizes follow it, as when an archive is written as it comes.
        [b"PK\x03\x04\x14\0\x08\0\x08\0", &[0; 16][..], &[1, 0, 0, 0], b"a", &encoder.finish().unwrap()].concat()
    };
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&content).unwrap();
    let streams = [
        (Layer::Gzip, gzip(&content)),
        (Layer::Zip, zip(&content)),
        (Layer::Brotli, brotli_of(&content)),
        (Layer::Zstd, zstd::stream::encode_all(content.as_slice(), 1).unwrap()),
        (Layer::Lz4, lz4.finish().unwrap()),
    ];
    for (layer, stream) in streams {
        assert!(has(&detector.bytes(&stream), &in_layers(&[layer])), "{}", layer.name());
        assert!(has(&detector.bytes(&stream[..stream.len() * 9 / 10]), &in_layers(&[layer])), "{}, cut", layer.name());
        let mut broken = stream.clone();
        let at = stream.len() * 8 / 10;
        broken[at..].fill(0xff);
        assert!(has(&detector.bytes(&broken), &in_layers(&[layer])), "{}, broken", layer.name());
    }
}

#[test]
fn heads_with_everything_in_them_are_read_over() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    let content = [log_like(2000, 50), run.text.clone().into_bytes(), log_like(2000, 51)].concat();
    let named =
        flate2::GzBuilder::new().filename("a.log").comment("b").extra(vec![7; 300]).write(Vec::new(), Compression::best());
    let mut named = named;
    named.write_all(&content).unwrap();
    let named = named.finish().unwrap();
    assert!(has(&detector.bytes(&named), &in_layers(&[Layer::Gzip])));
    let packed = brotli_of(&content);
    let plain = [b"....HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nX: y\r\n\r\n", packed.as_slice()].concat();
    let chunked = [
        b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\n",
        format!("{:x}\r\n", packed.len()).as_bytes(),
        &packed,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let mut head = vec![0; 512];
    head[..4].copy_from_slice(b"a.br");
    head[257..262].copy_from_slice(b"ustar");
    let member = [&[0; 1024][..], &head, &packed].concat();
    for (name, bytes) in [("plain", plain), ("chunked", chunked), ("tar", member)] {
        assert!(has(&detector.bytes(&bytes), &in_layers(&[Layer::Brotli])), "{name}");
    }
    let elsewhere = [&[1; 100], packed.as_slice()].concat();
    assert!(!has(&detector.bytes(&elsewhere), &in_layers(&[Layer::Brotli])), "that is not looked for");
}

#[test]
fn rows_are_found_after_their_line_pointers_are_gone() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    for layer in [Layer::PostgresPglz, Layer::PostgresLz4, Layer::PostgresToast] {
        let mut pages = encode(&run.text, &run.numbers, &in_layers(&[layer])).unwrap();
        pages[24..60].fill(0);
        assert!(has(&detector.bytes(&pages), &in_layers(&[layer])), "{}", layer.name());
    }
}

#[test]
fn a_row_that_stays_counts_for_more_than_what_is_left_of_its_old_place() {
    let run = Run::new();
    let mut pages = encode(&run.text, &run.numbers, &in_layers(&[Layer::PostgresToast])).unwrap();
    // The second row, moved up by the first's deletion, was lower in the page before; half of that was overwritten since.
    let second = usize::from(u16::from_le_bytes([pages[28], pages[29]]) & 0x7fff);
    let old = second - 2032;
    pages.copy_within(second..second + 100, old);
    pages[old + 45..old + 100].fill(b'x');
    assert!(has(&Detector::new(&run.canaries).bytes(&pages), &in_layers(&[Layer::PostgresToast])));
}

#[test]
fn values_of_many_chunks_are_put_together() {
    let mut canaries = Canaries::new().unwrap();
    let numbers = canaries.vector(label(), 3000).unwrap();
    let detector = Detector::new(&canaries);
    for layer in [Layer::PostgresPglz, Layer::PostgresLz4, Layer::PostgresToast] {
        let encoding = Encoding { layers: vec![layer], form: Form::DecimalNumbers };
        let pages = encode("", &numbers, &encoding).unwrap();
        assert!(pages.len() >= 2 * 8192, "{}", layer.name());
        // In another order, as when rows were written into free space.
        let turned: Vec<u8> = pages.rchunks(8192).flatten().copied().collect();
        for pages in [pages, turned] {
            let hits = detector.bytes(&pages);
            let hit = hits.iter().find(|hit| hit.encoding == encoding).unwrap_or_else(|| panic!("{}", layer.name()));
            assert!(hit.bytes >= 4 * 128, "{}: {hit:?}", layer.name());
            let little = Limits { values: 1000, ..Limits::default() };
            let looked = detector.source(&pages, 0..u64::MAX, &little).unwrap();
            assert!(looked.incomplete == Some(Incomplete::Values) || has(&looked.hits, &encoding), "{}", layer.name());
        }
    }
}

#[test]
fn bombs_have_an_end() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    let zeros = gzip(&vec![0; 200 << 20]);
    let start = Instant::now();
    let looked = all(&detector, &zeros);
    assert_eq!((looked.hits, looked.incomplete), (Vec::new(), Some(Incomplete::Stream)));
    // Many of them: all together have a limit as well.
    let many = zeros.repeat(50);
    let limits = Limits { work: 1 << 20, ratio: 1, ..Limits::default() };
    let looked = detector.source(&many, 0..u64::MAX, &limits).unwrap();
    assert!(looked.incomplete.is_some());
    // As deep as is looked, and deeper, where it is not opened any more.
    assert!(all(&detector, &gzip(&gzip(&zeros))).incomplete.is_some());
    assert_eq!(all(&detector, &gzip(&gzip(&gzip(&zeros)))).hits, []);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn false_beginnings_fail_cheaply() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    for magic in [&[0x78, 0x9c][..], &[0x78, 0x01], &[0x1f, 0x8b, 8, 0], b"PK\x03\x04\x14\0\0\0\x08\0", &[0x28, 0xb5, 0x2f, 0xfd]]
    {
        let noise = random(4 << 20, 60);
        let bytes: Vec<u8> = noise.chunks(50).flat_map(|chunk| [magic, chunk].concat()).collect();
        let start = Instant::now();
        let looked = all(&detector, &bytes);
        let time = start.elapsed();
        assert_eq!(looked.hits, []);
        println!("{magic:x?}: {time:?} {:?}", looked.incomplete);
        assert!(time < Duration::from_secs(10), "{magic:x?}: {time:?}");
    }
}

fn anything() -> impl Strategy<Value = Vec<u8>> {
    let magics = prop::sample::select(vec![
        vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
        vec![0x1f, 0x8b, 8],
        vec![0x78, 0x9c],
        vec![0x78, 0x01, 0x05],
        vec![0x28, 0xb5, 0x2f, 0xfd],
        vec![4, 0x22, 0x4d, 0x18, 0x40, 0x40, 0],
        b"PK\x03\x04".to_vec(),
        b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
        b"content-encoding: br\r\n\r\n".to_vec(),
        b"ustar".to_vec(),
        vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 24, 0, 0, 0x20, 4, 0x20, 0, 0, 0, 0],
    ]);
    (prop::collection::vec((magics, prop::collection::vec(any::<u8>(), 0..300)), 1..6))
        .prop_map(|parts| parts.into_iter().flat_map(|(magic, rest)| [magic, rest].concat()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_makes_it_panic(bytes in anything(), window in 1_usize..40_000) {
        let run = Run::new();
        let detector = Detector::new(&run.canaries);
        let limits = Limits { window, ..Limits::default() };
        let looked = detector.source(&bytes, 0..u64::MAX, &limits).unwrap();
        prop_assert_eq!((looked.hits, looked.bytes), (Vec::new(), bytes.len() as u64));
    }

    #[test]
    fn nothing_that_was_an_encoding_makes_it_panic(which in 0_usize..64, at in any::<prop::sample::Index>(), with in any::<[u8; 4]>(), cut in any::<prop::sample::Index>()) {
        let run = Run::new();
        let encodings = encodings();
        let mut bytes = encode(&run.text, &run.numbers, &encodings[which % encodings.len()]).unwrap();
        let at = at.index(bytes.len());
        let end = bytes.len().min(at + 4);
        bytes[at..end].copy_from_slice(&with[..end - at]);
        bytes.truncate(cut.index(bytes.len()) + 1);
        let looked = all(&Detector::new(&run.canaries), &bytes);
        prop_assert_eq!(looked.bytes, bytes.len() as u64);
    }

    /// Around a tag or marker, anything.
    #[test]
    fn nothing_around_a_tag_makes_it_panic(before in prop::collection::vec(any::<u8>(), 0..64), after in prop::collection::vec(any::<u8>(), 0..64)) {
        let run = Run::new();
        let detector = Detector::new(&run.canaries);
        for form in Form::ALL {
            for variant in crate::encode::variants(&run.text[..8], &run.numbers[..2], form) {
                let _ = detector.bytes(&[&before, &variant[..], &after].concat());
                let _ = detector.bytes(&[&variant[1..], &after].concat());
            }
        }
    }
}
