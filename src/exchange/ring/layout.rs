//! The two layouts of a ring, and what differs between them outside of the ring itself.

use super::packed::Place;
use super::{LARGEST, RingError};
use crate::message::feature;

/// The layout of a ring in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// A descriptor table, an available ring and a used ring (virtio 1.2, 2.7).
    #[default]
    Split,
    /// One ring of descriptors, which both sides write (virtio 1.2, 2.8). Requires `VIRTIO_F_RING_PACKED`.
    Packed,
}

// === impl Layout ===

impl Layout {
    /// Returns the layout for the negotiated features.
    #[must_use]
    pub const fn of(features: u64) -> Self {
        if features & feature::RING_PACKED != 0 { Self::Packed } else { Self::Split }
    }

    /// Returns the word for the layout in a report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Packed => "packed",
        }
    }

    /// Checks the size of a vring, as in SET_VRING_NUM, and returns it.
    ///
    /// # Errors
    ///
    /// The size is 0 or larger than [`LARGEST`], or that of a split ring is not a power of two.
    pub fn checked_size(self, num: u32) -> Result<u16, RingError> {
        let size = u16::try_from(num).ok().filter(|size| (1..=LARGEST).contains(size));
        match self {
            Self::Split => size.filter(|size| size.is_power_of_two()).ok_or(RingError::Size(num)),
            Self::Packed => size.ok_or(RingError::PackedSize(num)),
        }
    }

    /// Returns the size in bytes of the available ring, without the event index. In a packed ring, the driver's event
    /// suppression is in its place.
    #[must_use]
    pub const fn available_bytes(self, size: u16) -> usize {
        match self {
            Self::Split => 4 + 2 * size as usize,
            Self::Packed => super::packed::EVENT_BYTES,
        }
    }

    /// Returns the size in bytes of the used ring, without the event index. In a packed ring, the device's event
    /// suppression is in its place.
    #[must_use]
    pub const fn used_bytes(self, size: u16) -> usize {
        match self {
            Self::Split => 4 + 8 * size as usize,
            Self::Packed => super::packed::EVENT_BYTES,
        }
    }

    /// Returns the required alignment in bytes of the descriptors, the available ring and the used ring.
    pub(super) const fn alignments(self) -> [u64; 3] {
        match self {
            Self::Split => [16, 2, 4],
            Self::Packed => [16, 4, 4],
        }
    }

    /// Returns the position at which a new ring starts. For a packed ring, the wrap counter is in bit 15, and it
    /// starts at 1.
    #[must_use]
    pub const fn start(self) -> u16 {
        match self {
            Self::Split => 0,
            Self::Packed => Place::START.0,
        }
    }

    /// Converts two positions, of the chains taken and of those returned, to the number in SET_VRING_BASE and
    /// GET_VRING_BASE. The used position of a split ring is in its memory, and not in the message.
    #[must_use]
    pub fn base(self, taken: u16, given: u16) -> u32 {
        match self {
            Self::Split => taken.into(),
            Self::Packed => u32::from(taken) | u32::from(given) << 16,
        }
    }

    /// Converts the number in SET_VRING_BASE to two positions, of the chains taken and of those returned. Returns
    /// `None` for a split ring if the number has more than 16 bits.
    ///
    /// virtio_user and DPDK's vhost library leave the upper half of the number 0 for a packed ring. It then counts as
    /// equal to the lower half, as in DPDK's vhost library (`vhost_user_set_vring_base`): a queue that was stopped has
    /// returned everything that it has taken.
    #[must_use]
    pub fn positions(self, base: u32) -> Option<(u16, u16)> {
        let [b0, b1, b2, b3] = base.to_le_bytes();
        let (taken, given) = (u16::from_le_bytes([b0, b1]), u16::from_le_bytes([b2, b3]));
        match (self, given) {
            (Self::Split | Self::Packed, 0) => Some((taken, taken)),
            (Self::Packed, _) => Some((taken, given)),
            (Self::Split, _) => None,
        }
    }
}
