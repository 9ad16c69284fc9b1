//! Frames in a virtio-net queue, on the device's side: the header before each frame, and frames that span buffers.
//!
//! Source: virtio 1.1, 5.1.6 "Device Operation".

use super::message::feature;
use super::ring::{Chain, Device, RingError};

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

/// The position in a queue. `taken` and `given` wrap around at 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The number of chains taken from the available ring.
    pub taken: u16,
    /// The number of chains put into the used ring.
    pub given: u16,
    /// The number of descriptors in the chains of this batch. All of these chains are available at once, so they
    /// cannot have more descriptors than the queue. Without this limit, a driver that uses a descriptor in several
    /// chains could cause any amount of work.
    pub descriptors: u32,
}

// === impl Format ===

impl Format {
    /// Returns the layout for these features.
    #[must_use]
    pub const fn of(features: u64) -> Self {
        let may_span = features & feature::MRG_RXBUF != 0;
        let is_long = may_span || features & feature::VERSION_1 != 0;
        Self { header: if is_long { LONG_HEADER } else { SHORT_HEADER }, may_span }
    }

    /// Copies the next frame that the driver sends to `buffer`, and puts its chain into the used ring. Returns the
    /// length of the frame. A chain must be available: see [`Device::waiting`].
    ///
    /// # Errors
    ///
    /// The chain is invalid, too short for a header, or longer than any frame.
    pub fn take<'m>(
        self,
        device: &Device<'m>,
        at: &mut Progress,
        chain: &mut Chain<'m>,
        buffer: &mut [u8],
    ) -> Result<usize, RingError> {
        let head = at.chain(device, 0, chain)?;
        let bytes = chain.readable_bytes();
        let Some(length) = bytes.checked_sub(self.header) else {
            let (bytes, least) = (bytes as u64, self.header as u64);
            return Err(RingError::TooShort { head, bytes, least });
        };
        if length > buffer.len() {
            let most = (self.header + buffer.len()) as u64;
            return Err(RingError::TooLong { head, bytes: bytes as u64, most });
        }
        let length = chain.read(self.header, buffer).min(length);
        device.put_used(at.given, head, 0)?;
        at.taken = at.taken.wrapping_add(1);
        at.given = at.given.wrapping_add(1);
        Ok(length)
    }

    /// Copies a frame to the driver, in as many of the `waiting` chains as it needs. Returns the number of chains
    /// used. If there are too few, it returns 0: nothing was written, and `taken` and `given` are unchanged.
    ///
    /// # Errors
    ///
    /// A chain is invalid, or it is too short for the frame and frames may not span chains.
    pub fn give<'m>(
        self,
        device: &Device<'m>,
        at: &mut Progress,
        chain: &mut Chain<'m>,
        waiting: u16,
        frame: &[u8],
    ) -> Result<u16, RingError> {
        let wanted = self.header + frame.len();
        if waiting == 0 {
            return Ok(0);
        }
        let before = at.descriptors;
        let head = at.chain(device, 0, chain)?;
        let room = chain.writable_bytes();
        if room >= wanted {
            self.put_header(chain, 1);
            chain.write(self.header, frame);
            device.put_used(at.given, head, u32::try_from(wanted).unwrap_or(u32::MAX))?;
            at.taken = at.taken.wrapping_add(1);
            at.given = at.given.wrapping_add(1);
            return Ok(1);
        }
        if !self.may_span || room <= self.header {
            return Err(RingError::TooShort { head, bytes: room as u64, least: wanted as u64 });
        }
        at.descriptors = before;
        self.give_spanning(device, at, waiting, frame)
    }

    /// Copies a frame that does not fit in the first chain.
    fn give_spanning(
        self,
        device: &Device<'_>,
        at: &mut Progress,
        waiting: u16,
        frame: &[u8],
    ) -> Result<u16, RingError> {
        let wanted = self.header + frame.len();
        let (mut chains, mut room) = (Vec::new(), 0);
        for slot in 0..waiting {
            let mut chain = Chain::default();
            let head = at.chain(device, slot, &mut chain)?;
            if chain.writable_bytes() == 0 {
                return Err(RingError::TooShort { head, bytes: 0, least: 1 });
            }
            room += chain.writable_bytes();
            chains.push((head, chain));
            if room >= wanted {
                break;
            }
        }
        let count = u16::try_from(chains.len()).unwrap_or(u16::MAX);
        if room < wanted {
            return Ok(0);
        }
        let mut rest = frame;
        for (number, (head, chain)) in chains.iter().enumerate() {
            let skip = if number == 0 { self.header } else { 0 };
            if number == 0 {
                self.put_header(chain, count);
            }
            let done = chain.write(skip, rest);
            rest = rest.get(done..).unwrap_or_default();
            device.put_used(at.given, *head, u32::try_from(skip + done).unwrap_or(u32::MAX))?;
            at.taken = at.taken.wrapping_add(1);
            at.given = at.given.wrapping_add(1);
        }
        Ok(count)
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

// === impl Progress ===

impl Progress {
    /// Reads the chain that is `ahead` positions after the next one, and counts its descriptors. Returns its head, the
    /// index of its first descriptor.
    fn chain<'m>(
        &mut self,
        device: &Device<'m>,
        ahead: u16,
        chain: &mut Chain<'m>,
    ) -> Result<u16, RingError> {
        let head = device.chain(self.taken.wrapping_add(ahead), chain)?;
        self.descriptors += u32::from(chain.descriptors);
        if self.descriptors > u32::from(device.size()) {
            return Err(RingError::Shared { head, size: device.size() });
        }
        Ok(head)
    }
}
