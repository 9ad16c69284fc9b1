//! Frames in a virtio-net queue, on the device's side: the header before each frame, and frames that span buffers.
//!
//! Source: virtio 1.2, 5.1.6 "Device Operation".

use super::message::feature;
use super::ring::{Chain, Cursor, Device, RingError, Taken};

/// The longest accepted frame in bytes: a packet of 64 KiB with its headers.
pub const LONGEST_FRAME: usize = 65_550;
/// The offset of `num_buffers` in a header of 12 bytes.
const BUFFERS_AT: usize = 10;
/// The length of the header in virtio 1.0, and in earlier versions if frames may span buffers.
const LONG_HEADER: usize = 12;
const SHORT_HEADER: usize = 10;

/// The layout of frames in buffers. It depends on the negotiated features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    header: usize,
    may_span: bool,
}

/// One batch of chains of a queue. They are returned to the driver at its end, so a frame that cannot be delivered can
/// stay in its queue until then.
#[derive(Debug)]
pub struct Batch {
    /// The position of the next chain to take.
    pub cursor: Cursor,
    /// The chains to return, each with the number of bytes written to it.
    pub used: Vec<(Taken, u32)>,
    /// The number of descriptors in the chains of this batch. All of these chains are available at once, so they
    /// cannot have more descriptors than the queue. Without this limit, a driver that uses a descriptor in several
    /// chains could cause any amount of work.
    descriptors: u32,
    /// The number of descriptors in indirect tables, at most [`INDIRECT_OF_BATCH`].
    indirect: u32,
}

/// The usual number of chains in a batch.
const USUAL: usize = 64;
/// The most descriptors in the indirect tables of one batch. It is far more than drivers use: 64 frames of 1024.
const INDIRECT_OF_BATCH: u32 = 1 << 16;

// === impl Format ===

impl Format {
    /// Returns the layout for these features.
    #[must_use]
    pub const fn of(features: u64) -> Self {
        let may_span = features & feature::MRG_RXBUF != 0;
        let is_long = may_span || features & feature::VERSION_1 != 0;
        Self { header: if is_long { LONG_HEADER } else { SHORT_HEADER }, may_span }
    }

    /// Copies the next frame that the driver sends to `buffer`. Returns the length of the frame, or `None` if the
    /// driver has made none available.
    ///
    /// # Errors
    ///
    /// The chain is invalid, too short for a header, or longer than any frame.
    pub fn take<'m>(
        self,
        device: &Device<'m>,
        batch: &mut Batch,
        chain: &mut Chain<'m>,
        buffer: &mut [u8],
    ) -> Result<Option<usize>, RingError> {
        let mut cursor = batch.cursor;
        let Some(taken) = batch.chain(device, &mut cursor, chain)? else { return Ok(None) };
        let (head, bytes) = (taken.head, chain.readable_bytes());
        let Some(length) = bytes.checked_sub(self.header) else {
            let (bytes, least) = (bytes as u64, self.header as u64);
            return Err(RingError::TooShort { head, bytes, least });
        };
        if length > buffer.len() {
            let most = (self.header + buffer.len()) as u64;
            return Err(RingError::TooLong { head, bytes: bytes as u64, most });
        }
        let length = chain.read(self.header, buffer).min(length);
        batch.finish(taken, 0);
        batch.cursor = cursor;
        Ok(Some(length))
    }

    /// Copies a frame to the driver, in as many chains as it needs. Returns whether there were enough. If not, nothing
    /// was written, and the batch has no further chain.
    ///
    /// # Errors
    ///
    /// A chain is invalid, or it is too short for the frame and frames may not span chains.
    pub fn give<'m>(
        self,
        device: &Device<'m>,
        batch: &mut Batch,
        chain: &mut Chain<'m>,
        frame: &[u8],
    ) -> Result<bool, RingError> {
        let wanted = self.header + frame.len();
        let mut cursor = batch.cursor;
        let Some(taken) = batch.chain(device, &mut cursor, chain)? else { return Ok(false) };
        let room = chain.writable_bytes();
        if room >= wanted {
            self.put_header(chain, 1);
            chain.write(self.header, frame);
            batch.finish(taken, u32::try_from(wanted).unwrap_or(u32::MAX));
            batch.cursor = cursor;
            return Ok(true);
        }
        if !self.may_span || room <= self.header {
            let (head, bytes) = (taken.head, room as u64);
            return Err(RingError::TooShort { head, bytes, least: wanted as u64 });
        }
        self.give_spanning(device, batch, (taken, std::mem::take(chain)), cursor, frame)
    }

    /// Copies a frame that does not fit in the first chain. `cursor` is behind that chain.
    fn give_spanning<'m>(
        self,
        device: &Device<'m>,
        batch: &mut Batch,
        first: (Taken, Chain<'m>),
        mut cursor: Cursor,
        frame: &[u8],
    ) -> Result<bool, RingError> {
        let wanted = self.header + frame.len();
        let mut room = first.1.writable_bytes();
        let mut chains = vec![first];
        while room < wanted {
            let mut chain = Chain::default();
            let Some(taken) = batch.chain(device, &mut cursor, &mut chain)? else { return Ok(false) };
            if chain.writable_bytes() == 0 {
                return Err(RingError::TooShort { head: taken.head, bytes: 0, least: 1 });
            }
            room += chain.writable_bytes();
            chains.push((taken, chain));
        }
        let count = u16::try_from(chains.len()).unwrap_or(u16::MAX);
        let mut rest = frame;
        for (number, (taken, chain)) in chains.iter().enumerate() {
            let skip = if number == 0 { self.header } else { 0 };
            if number == 0 {
                self.put_header(chain, count);
            }
            let done = chain.write(skip, rest);
            rest = rest.get(done..).unwrap_or_default();
            batch.finish(*taken, u32::try_from(skip + done).unwrap_or(u32::MAX));
        }
        batch.cursor = cursor;
        Ok(true)
    }

    /// Writes a header without offloads, for a frame in `buffers` buffers.
    fn put_header(self, chain: &Chain<'_>, buffers: u16) {
        let mut header = [0; LONG_HEADER];
        if let Some(place) = header.get_mut(BUFFERS_AT..) {
            place.copy_from_slice(&buffers.to_le_bytes());
        }
        chain.write(0, header.get(..self.header).unwrap_or_default());
    }

    /// Returns the length of the header in bytes.
    #[must_use]
    pub const fn header(self) -> usize {
        self.header
    }
}

// === impl Batch ===

impl Batch {
    /// Returns an empty batch that begins at a position.
    #[must_use]
    pub const fn new(at: u16) -> Self {
        Self { cursor: Cursor::new(at), used: Vec::new(), descriptors: 0, indirect: 0 }
    }

    /// Puts the last frame that was taken back into its queue. `cursor` is the position before it.
    pub fn put_back(&mut self, cursor: Cursor) {
        self.used.pop();
        self.cursor = cursor;
    }

    /// Adds a chain that is to be returned, with the number of bytes written to it.
    fn finish(&mut self, taken: Taken, bytes: u32) {
        // Once for each batch, and not at all for an idle ring.
        if self.used.capacity() == 0 {
            self.used.reserve(USUAL);
        }
        self.used.push((taken, bytes));
    }

    /// Reads the chain at `cursor` and counts its descriptors.
    fn chain<'m>(
        &mut self,
        device: &Device<'m>,
        cursor: &mut Cursor,
        chain: &mut Chain<'m>,
    ) -> Result<Option<Taken>, RingError> {
        let Some(taken) = device.take(cursor, chain)? else { return Ok(None) };
        self.descriptors += u32::from(chain.descriptors);
        self.indirect += chain.indirect;
        if self.descriptors > u32::from(device.size()) {
            return Err(RingError::Shared { head: taken.head, size: device.size() });
        }
        if self.indirect > INDIRECT_OF_BATCH {
            return Err(RingError::TooManyIndirect { head: taken.head, most: INDIRECT_OF_BATCH });
        }
        Ok(Some(taken))
    }
}
