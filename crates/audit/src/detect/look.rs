//! One look at a source: window after window, and into what is found in them.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;

use flate2::Decompress;

use super::decode::{self, MARGIN};
use super::pattern::{Kind, MEMBER_MAGIC, PAGE_MAGIC};
use super::postgres::{self, Compressed, Gathered, PAGE, Values};
use super::source::{Input, Rest, Window, fill};
use super::{Detector, Hit, Incomplete, Limits, Looked, Source, stream};
use crate::canary::{Id, PIECE};
use crate::encoding::{Encoding, Layer};

/// What is needed of the left and the right of a window to see what begins in it: any form, a page, a tar member's head.
const AROUND: usize = if MARGIN > PAGE { MARGIN } else { PAGE };
/// Of the end of `content-encoding: br`.
const HEAD_END: usize = 3;
/// A stream that gives nothing has still cost something.
const ATTEMPT: u64 = 512;
/// Bytes of a stream to begin with.
const FIRST: usize = 4096;
/// A member of a tar archive begins so far after its head.
const MEMBER: usize = 512;

/// See [`Detector::bytes`].
pub(super) fn bytes(detector: &Detector<'_>, bytes: &[u8], limits: &Limits) -> Looked {
    let mut look = Look::new(detector, limits);
    let mut place = look.place(Vec::new(), None);
    look.earn(bytes.len());
    let whole = Window { bytes, base: 0, from: 0, to: bytes.len(), rest: None };
    look.first(&place, &whole);
    look.window(&mut place, &whole);
    look.values(&mut place);
    look.done(bytes.len() as u64)
}

/// See [`Detector::source`].
pub(super) fn source(detector: &Detector<'_>, source: &dyn Source, range: Range<u64>, limits: &Limits) -> io::Result<Looked> {
    let mut look = Look::new(detector, limits);
    let mut place = look.place(Vec::new(), None);
    let step = limits.window.max(1);
    let room = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX).min(step.saturating_add(2 * AROUND));
    let mut buffer = vec![0; room];
    // `buffer[..filled]` are the source's bytes from `base` on; what begins before `from` has been looked at.
    let (mut base, mut filled, mut from) = (range.start, 0, 0);
    loop {
        let left = usize::try_from(range.end.saturating_sub(base + filled as u64)).unwrap_or(usize::MAX);
        let want = left.min(buffer.len() - filled);
        let (read, error) = fill(source, &mut buffer[filled..filled + want], base + filled as u64);
        let first = filled == 0;
        filled += read;
        look.earn(read);
        if let Some(error) = error {
            if filled == 0 {
                return Err(error);
            }
            look.cut(Incomplete::Unreadable);
        }
        let last = read < want || read == left;
        let to = if last { filled } else { filled - AROUND.min(filled) };
        let rest = (!last).then_some(Rest { source, end: range.end });
        let window = Window { bytes: &buffer[..filled], base, from, to, rest };
        if first {
            look.first(&place, &window);
        }
        look.window(&mut place, &window);
        if last {
            break;
        }
        let drop = to.saturating_sub(AROUND);
        buffer.copy_within(drop..filled, 0);
        (base, filled, from) = (base + drop as u64, filled - drop, to - drop);
    }
    look.values(&mut place);
    Ok(look.done(base + filled as u64 - range.start))
}

/// Where bytes are: the source itself, or what came out of a stream.
struct Place {
    layers: Vec<Layer>,
    /// Where in the source the outermost layer begins.
    outer: Option<u64>,
    values: Values,
    /// By pattern: before there, all that it would lead to has been found.
    found: Vec<u64>,
}

struct Look<'l> {
    detector: &'l Detector<'l>,
    limits: &'l Limits,
    hits: BTreeMap<(Id, Encoding), (u64, usize)>,
    /// Bytes that streams may still give.
    work: u64,
    incomplete: Option<Incomplete>,
    inflaters: Vec<Decompress>,
    buffers: Vec<Vec<u8>>,
}

impl<'l> Look<'l> {
    fn new(detector: &'l Detector<'l>, limits: &'l Limits) -> Self {
        Self {
            detector,
            limits,
            hits: BTreeMap::new(),
            work: limits.work,
            incomplete: None,
            inflaters: Vec::new(),
            buffers: Vec::new(),
        }
    }

    fn place(&self, layers: Vec<Layer>, outer: Option<u64>) -> Place {
        Place { layers, outer, values: Values::default(), found: vec![0; self.detector.patterns.len()] }
    }

    fn earn(&mut self, bytes: usize) {
        self.work = self.work.saturating_add((bytes as u64).saturating_mul(self.limits.ratio));
    }

    fn cut(&mut self, why: Incomplete) {
        self.incomplete.get_or_insert(why);
    }

    fn done(self, bytes: u64) -> Looked {
        let hits = self.hits.into_iter();
        let hits = hits.map(|((canary, encoding), (offset, bytes))| Hit { canary, encoding, offset, bytes });
        Looked { hits: hits.collect(), bytes, incomplete: self.incomplete }
    }

    /// What only the beginning of a source can be.
    fn first(&mut self, place: &Place, window: &Window<'_>) {
        if !window.bytes.is_empty() {
            self.stream(place, window, 0, Layer::Brotli, |_| Ok(()));
        }
    }

    /// Looks at all that begins in a window's middle. Gives where the first stream begins that goes on after the last byte there is.
    fn window(&mut self, place: &mut Place, window: &Window<'_>) -> Option<usize> {
        let deeper = place.layers.len() < self.limits.depth;
        let patterns = &self.detector.patterns;
        let mut open = None;
        let mut at = window.from;
        while let Some(start) = patterns.next(window.bytes, at)
            && start < window.to
        {
            for (index, kind) in patterns.at(&window.bytes[start..]) {
                let unended = match kind {
                    Kind::Stream(layer) if deeper => match layer {
                        Layer::Gzip => self.stream(place, window, start, layer, stream::gzip_head),
                        Layer::Zip => self.stream(place, window, start, layer, stream::zip_head),
                        _ => self.stream(place, window, start, layer, |_| Ok(())),
                    },
                    Kind::Member if deeper && start >= MEMBER_MAGIC => {
                        let content = start - MEMBER_MAGIC + MEMBER;
                        content < window.bytes.len() && self.stream(place, window, content, Layer::Brotli, |_| Ok(()))
                    }
                    Kind::Head if deeper && is_brotli_header(&window.bytes[..start]) => {
                        self.stream(place, window, start + HEAD_END, Layer::Brotli, stream::http_head)
                    }
                    Kind::Page if deeper && start >= PAGE_MAGIC => {
                        self.page(place, window, start - PAGE_MAGIC);
                        false
                    }
                    Kind::Stream(_) | Kind::Member | Kind::Head | Kind::Page => false,
                    _ => {
                        self.candidate(place, window, start, index, kind);
                        false
                    }
                };
                if unended {
                    open = open.or(Some(start));
                }
            }
            at = start + 1;
        }
        at = if deeper { window.from } else { window.to };
        while let Some(start) = stream::next_zlib(window.bytes, at, window.to) {
            if stream::plausible_deflate(&window.bytes[start + 2..])
                && self.stream(place, window, start, Layer::Zlib, |input| input.skip(2))
            {
                open = Some(open.map_or(start, |open: usize| open.min(start)));
            }
            at = start + 1;
        }
        open
    }

    /// A tag or marker, or what only looks like one.
    fn candidate(&mut self, place: &mut Place, window: &Window<'_>, start: usize, index: usize, kind: Kind) {
        let offset = |at: usize| window.base + at as u64;
        if offset(start) < place.found[index] {
            return;
        }
        for piece in decode::pieces(self.detector.canaries, window.bytes, start, kind) {
            if piece.start <= start && start <= piece.last {
                place.found[index] = offset(piece.last);
            }
            let key = (piece.canary, Encoding { layers: place.layers.clone(), form: piece.form });
            let at = place.outer.unwrap_or_else(|| offset(piece.start));
            let hit = self.hits.entry(key).or_insert((at, piece.bytes));
            *hit = (hit.0.min(at), hit.1.max(piece.bytes));
        }
    }

    /// Looks into the stream that begins at `start`. Whether it goes on after the last byte there is.
    fn stream(
        &mut self,
        place: &Place,
        window: &Window<'_>,
        start: usize,
        layer: Layer,
        head: fn(&mut Input<'_>) -> io::Result<()>,
    ) -> bool {
        if self.work == 0 {
            self.cut(Incomplete::Work);
            return false;
        }
        let outer = place.outer.unwrap_or(window.base + start as u64);
        let mut input = Input::new(window, start);
        if head(&mut input).is_ok() {
            match layer {
                Layer::Brotli => self.drain(place, outer, layer, &mut brotli::Decompressor::new(&mut input, FIRST)),
                Layer::Lz4 => {
                    if let Ok(mut frame) = stream::Lz4::new(&mut input) {
                        self.drain(place, outer, layer, &mut frame);
                    }
                }
                Layer::Zstd => {
                    if let Ok(frame) = zstd::stream::read::Decoder::with_buffer(&mut input) {
                        self.drain(place, outer, layer, &mut frame.single_frame());
                    }
                }
                _ => {
                    let mut state = self.inflaters.pop().unwrap_or_else(|| Decompress::new(false));
                    self.drain(place, outer, layer, &mut stream::Inflate::new(&mut state, &mut input));
                    self.inflaters.push(state);
                }
            }
        }
        self.work = self.work.saturating_sub(input.consumed.max(ATTEMPT));
        input.short
    }

    /// Looks at all that comes out of a stream, in parts of a buffer.
    fn drain(&mut self, place: &Place, outer: u64, layer: Layer, decoder: &mut dyn Read) {
        let mut buffer = self.buffers.pop().unwrap_or_default();
        let mut inner: Option<Place> = None;
        let (mut filled, mut base, mut from, mut produced) = (0, 0, 0, 0);
        let most = self.limits.buffer.max(4 * AROUND);
        loop {
            if filled == buffer.len() && filled < most {
                buffer.resize((filled * 4).clamp(FIRST, most), 0);
            }
            let mut last = true;
            if let Ok(read @ 1..) = decoder.read(&mut buffer[filled..]) {
                filled += read;
                produced += read as u64;
                self.work = self.work.saturating_sub(read as u64);
                if self.work == 0 {
                    self.cut(Incomplete::Work);
                } else if produced > self.limits.stream {
                    self.cut(Incomplete::Stream);
                } else {
                    last = false;
                }
            }
            if !last && filled < most {
                continue;
            }
            if last && produced < PIECE as u64 {
                break;
            }
            let place = inner.get_or_insert_with(|| {
                let layers = place.layers.iter().copied().chain([layer]).collect();
                self.place(layers, Some(outer))
            });
            let to = if last { filled } else { filled - AROUND };
            let open = self.window(place, &Window { bytes: &buffer[..filled], base, from, to, rest: None });
            if last {
                self.values(place);
                break;
            }
            // A stream in this one that goes on is read anew with what comes, if most of it then fits.
            from = open.unwrap_or(to);
            if from < filled / 2 {
                self.cut(Incomplete::Nested);
                from = to;
            }
            let drop = from.saturating_sub(AROUND);
            buffer.copy_within(drop..filled, 0);
            (base, filled, from) = (base + drop as u64, filled - drop, from - drop);
        }
        self.buffers.push(buffer);
    }

    /// A page of PostgreSQL.
    fn page(&mut self, place: &mut Place, window: &Window<'_>, start: usize) {
        let page = &window.bytes[start..window.bytes.len().min(start + PAGE)];
        if !postgres::is_page(page) {
            return;
        }
        let offset = window.base + start as u64;
        for (at, value) in postgres::compressed(page) {
            self.compressed(place, place.outer.unwrap_or(offset + at as u64), &value);
        }
        for chunk in postgres::chunks(page) {
            place.values.add(&chunk, place.outer.unwrap_or(offset + chunk.at as u64));
        }
        for value in place.values.over(self.limits.values) {
            self.value(place, &value);
        }
    }

    fn compressed(&mut self, place: &Place, outer: u64, value: &Compressed<'_>) {
        if self.work == 0 {
            return self.cut(Incomplete::Work);
        }
        let bytes = value.expand(self.limits.stream.min(self.work));
        self.work = self.work.saturating_sub(ATTEMPT);
        self.drain(place, outer, value.layer, &mut bytes.as_slice());
    }

    /// All values of PostgreSQL that were put together.
    fn values(&mut self, place: &mut Place) {
        for value in place.values.all() {
            self.value(place, &value);
        }
    }

    fn value(&mut self, place: &Place, value: &Gathered) {
        if value.cut {
            self.cut(Incomplete::Values);
        }
        if value.whole
            && let Some(compressed) = Compressed::parse(&value.bytes)
        {
            self.compressed(place, value.offset, &compressed);
        }
        self.drain(place, value.offset, Layer::PostgresToast, &mut value.bytes.as_slice());
    }
}

/// Whether this, followed by `ng: br`, is the name of the header.
fn is_brotli_header(before: &[u8]) -> bool {
    const NAME: &[u8] = b"content-encodi";
    before.len() >= NAME.len() && before[before.len() - NAME.len()..].eq_ignore_ascii_case(NAME)
}
