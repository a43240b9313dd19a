//! Frames out of bytes that arrive in any pieces.

use std::marker::PhantomData;

use crate::frame::{Frame, FrameError, HEADER_BYTES};

/// Beyond this size the buffer is given back once it is empty, so that one snapshot does not keep 16 MiB.
const KEEP_BYTES: usize = 64 * 1024;

/// Reads frames of one direction. Takes any bytes: what is not a frame is an error, and an error is final.
///
/// Call [`Decoder::next_frame`] until it gives nothing before pushing more, so that at most one frame and one piece are held. What has been
/// read is zeroed, since a snapshot holds credentials (in a data-plane process the allocator wipes what growing leaves).
pub struct Decoder<F> {
    bytes: Vec<u8>,
    /// Start of what has not been read; everything before it is zero.
    start: usize,
    failed: Option<FrameError>,
    direction: PhantomData<fn() -> F>,
}

impl<F> Default for Decoder<F> {
    fn default() -> Self {
        Self { bytes: Vec::new(), start: 0, failed: None, direction: PhantomData }
    }
}

impl<F: Frame> Decoder<F> {
    /// A decoder that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        if self.failed.is_some() {
            // Nobody will read it.
            return;
        }
        if self.start > 0 {
            // `drain` would leave a second copy of the tail behind the end.
            let live = self.bytes.len() - self.start;
            self.bytes.copy_within(self.start.., 0);
            self.bytes[live..].fill(0);
            self.bytes.truncate(live);
            self.start = 0;
        }
        self.bytes.extend_from_slice(piece);
    }

    /// The next frame; `None` until all of it has arrived.
    ///
    /// # Errors
    /// The bytes are not a frame; every later call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<F>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let taken = self.take();
        if let Err(error) = taken {
            self.failed = Some(error);
            self.bytes.fill(0);
            self.bytes.clear();
            self.bytes.shrink_to(KEEP_BYTES);
            self.start = 0;
        }
        taken
    }

    /// Bytes that are held of a frame that has not arrived whole.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn take(&mut self) -> Result<Option<F>, FrameError> {
        let Some((header, rest)) = self.bytes[self.start..].split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [kind, flags, length @ ..] = *header;
        // Checked before the body is there: a wrong length must not make anybody wait for it, or hold it.
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| FrameError::Length)?;
        F::admit(kind, length)?;
        if flags != 0 {
            return Err(FrameError::Flags);
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = F::parse(kind, body)?;
        let end = self.start + HEADER_BYTES + length;
        self.bytes[self.start..end].fill(0);
        self.start = end;
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEEP_BYTES);
        }
        Ok(Some(frame))
    }

    /// Whether the stream may end here: no frame has begun.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.failed.is_none() && self.start == self.bytes.len()
    }
}
