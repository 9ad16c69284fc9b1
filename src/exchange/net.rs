//! Frames in a virtio-net queue, at the device: the header in front of each, and frames over several buffers.
//!
//! Source: virtio 1.1, 5.1.6 "Device Operation".

use super::message::feature;
use super::ring::{Chain, Device, RingError};

/// The longest frame that is taken, bytes: what a packet of 64 KiB and its headers may have.
pub const LONGEST_FRAME: usize = 65_550;
/// The offset of `num_buffers` in a header of 12 bytes.
const BUFFERS_AT: usize = 10;
/// The header of virtio 1.0, and of earlier devices where frames may span buffers.
const LONG_HEADER: usize = 12;
const SHORT_HEADER: usize = 10;

/// How frames stand in the buffers, by the features negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    header: usize,
    may_span: bool,
}

/// How far a queue has been worked through. `taken` and `given` count on and on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Chains taken from the available ring.
    pub taken: u16,
    /// Chains put into the used ring.
    pub given: u16,
    /// Descriptors of the chains of this batch. They are all available at once, so they cannot be more than the queue has;
    /// a driver that shares descriptors between chains could make any amount of work of them.
    pub descriptors: u32,
}

// === impl Format ===

impl Format {
    /// The format that these features ask for.
    #[must_use]
    pub const fn of(features: u64) -> Self {
        let may_span = features & feature::MRG_RXBUF != 0;
        let is_long = may_span || features & feature::VERSION_1 != 0;
        Self { header: if is_long { LONG_HEADER } else { SHORT_HEADER }, may_span }
    }

    /// Takes the next frame that the driver sends into `buffer`, and gives its chain back. The frame's length.
    /// The chain must be there: see [`Device::waiting`].
    ///
    /// # Errors
    ///
    /// The chain is not one, or has no header, or is longer than any frame.
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

    /// Gives the driver a frame, in as many of the `waiting` chains as it takes. How many those were; 0 if they are too
    /// few, and nothing has changed.
    ///
    /// # Errors
    ///
    /// A chain is not one, or too short for the frame where frames may not span several.
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

    /// A frame that does not fit the first chain.
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

    /// No offload, so many buffers.
    fn put_header(self, chain: &Chain<'_>, buffers: u16) {
        let mut header = [0; LONG_HEADER];
        if let Some(place) = header.get_mut(BUFFERS_AT..) {
            place.copy_from_slice(&buffers.to_le_bytes());
        }
        chain.write(0, header.get(..self.header).unwrap_or_default());
    }

    /// How long the header is, bytes.
    #[must_use]
    pub const fn header(self) -> usize {
        self.header
    }
}

// === impl Progress ===

impl Progress {
    /// Reads the chain that is `ahead` of the next one, and counts its descriptors. Its head.
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
