//! The memory of a packed ring (virtio 1.2, 2.8), and positions in it.
//!
//! Driver and device write to the same descriptors. A descriptor belongs to the device when its AVAIL flag equals the
//! wrap counter and its USED flag does not, and has been returned when both equal the wrap counter. Each side keeps a
//! wrap counter, which changes whenever its position passes the end of the ring.

use std::sync::atomic::{AtomicU16, Ordering, fence};

use vm_memory::{VolatileMemory as _, VolatileSlice};

use super::{DESCRIPTOR_BYTES, Parts, RingError, memory};

/// The size in bytes of an event suppression structure.
pub(super) const EVENT_BYTES: usize = 4;
/// `VIRTQ_DESC_F_AVAIL` and `VIRTQ_DESC_F_USED` in the flags of a descriptor.
pub(super) const AVAILABLE: u16 = 1 << 7;
pub(super) const USED: u16 = 1 << 15;
/// The offsets of the fields in a descriptor.
const BYTES_AT: usize = 8;
const ID_AT: usize = 12;
const FLAGS_AT: usize = 14;
/// The flags in an event suppression structure: `RING_EVENT_FLAGS_DISABLE`. `RING_EVENT_FLAGS_DESC` requires
/// EVENT_IDX.
const NO_NOTIFICATION: u16 = 1;
const EVENT_FLAGS: u16 = 3;
const EVENT_FLAGS_AT: usize = 2;

/// A descriptor as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) bytes: u32,
    pub(super) id: u16,
    pub(super) flags: u16,
}

/// A position in a packed ring: the index of a descriptor in bits 0 to 14, and the wrap counter in bit 15. The
/// vhost-user specification has the same encoding in SET_VRING_BASE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) u16);

/// A packed ring of `size` descriptors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'m> {
    pub(super) parts: Parts<'m>,
    pub(super) size: u16,
}

// === impl Place ===

impl Place {
    const WRAP: u16 = 1 << 15;
    /// The start of a new ring: descriptor 0, wrap counter 1.
    pub(super) const START: Self = Self(Self::WRAP);

    pub(super) const fn index(self) -> u16 {
        self.0 & !Self::WRAP
    }

    pub(super) const fn wrap(self) -> bool {
        self.0 & Self::WRAP != 0
    }

    /// Returns the place `count` descriptors later in a ring of `size` descriptors. The wrap counter changes at the
    /// end. `count` is at most `size`, and the place must be in the ring.
    pub(super) const fn advanced(self, count: u16, size: u16) -> Self {
        let wrap = self.0 & Self::WRAP;
        // No sum exceeds 16 bits: both are at most 32768, and the index is less than that.
        match self.index().wrapping_add(count) {
            index if index < size => Self(index | wrap),
            index => Self((index.wrapping_sub(size) & !Self::WRAP) | (wrap ^ Self::WRAP)),
        }
    }
}

// === impl Packed ===

impl Packed<'_> {
    /// Returns the offset of the descriptor at `place`, or an error if the place is not in the ring.
    fn at(&self, place: Place) -> Result<usize, RingError> {
        if place.index() >= self.size {
            return Err(RingError::Base { index: place.index(), size: self.size });
        }
        Ok(usize::from(place.index()) * DESCRIPTOR_BYTES)
    }

    fn flags(&self, place: Place) -> Result<&AtomicU16, RingError> {
        self.parts.descriptors.get_atomic_ref(self.at(place)? + FLAGS_AT).map_err(memory)
    }

    /// Returns whether the driver has made the descriptor at `place` available. If so, everything that the driver
    /// wrote before can be read.
    pub(super) fn is_available(&self, place: Place) -> Result<bool, RingError> {
        let flags = u16::from_le(self.flags(place)?.load(Ordering::Acquire));
        let (available, used) = (flags & AVAILABLE != 0, flags & USED != 0);
        Ok(available == place.wrap() && used != place.wrap())
    }

    /// Returns whether the device has returned the descriptor at `place`. If so, everything that the device wrote
    /// before can be read.
    pub(super) fn is_used(&self, place: Place) -> Result<bool, RingError> {
        let flags = u16::from_le(self.flags(place)?.load(Ordering::Acquire));
        Ok((flags & AVAILABLE != 0) == place.wrap() && (flags & USED != 0) == place.wrap())
    }

    pub(super) fn descriptor(&self, place: Place) -> Result<Descriptor, RingError> {
        Descriptor::read(&self.parts.descriptors, self.at(place)?)
    }

    /// Writes the address of the descriptor at `place`. The device leaves that field alone.
    pub(super) fn set_address(&self, place: Place, address: u64) -> Result<(), RingError> {
        let field = self.parts.descriptors.get_ref::<u64>(self.at(place)?).map_err(memory)?;
        field.store(address.to_le());
        Ok(())
    }

    /// Writes the length and the id of the descriptor at `place`, but not its flags.
    pub(super) fn set_rest(&self, place: Place, bytes: u32, id: u16) -> Result<(), RingError> {
        let (table, at) = (self.parts.descriptors, self.at(place)?);
        table.get_ref::<u32>(at + BYTES_AT).map_err(memory)?.store(bytes.to_le());
        table.get_ref::<u16>(at + ID_AT).map_err(memory)?.store(id.to_le());
        Ok(())
    }

    /// Hands the descriptor at `place` to the other side, which can then read everything written before.
    pub(super) fn set_flags(&self, place: Place, flags: u16) -> Result<(), RingError> {
        self.flags(place)?.store(flags.to_le(), Ordering::Release);
        Ok(())
    }
}

/// Returns the flags with which the driver makes the descriptor at `place` available.
pub(super) const fn available_flags(place: Place) -> u16 {
    if place.wrap() { AVAILABLE } else { USED }
}

/// Returns the flags with which the device returns the descriptor at `place`.
pub(super) const fn used_flags(place: Place) -> u16 {
    if place.wrap() { AVAILABLE | USED } else { 0 }
}

/// Returns the flags of an event suppression structure.
fn event_flags<'a>(event: &'a VolatileSlice<'_>) -> Result<&'a AtomicU16, RingError> {
    event.get_atomic_ref(EVENT_FLAGS_AT).map_err(memory)
}

/// The same as in a split ring.
pub(super) fn suppress_notifications(event: &VolatileSlice<'_>, quiet: bool) -> Result<(), RingError> {
    event_flags(event)?.store(if quiet { NO_NOTIFICATION.to_le() } else { 0 }, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    Ok(())
}

/// The same as in a split ring.
pub(super) fn wants_notification(its_event: &VolatileSlice<'_>) -> Result<bool, RingError> {
    fence(Ordering::SeqCst);
    Ok(u16::from_le(event_flags(its_event)?.load(Ordering::Relaxed)) & EVENT_FLAGS != NO_NOTIFICATION)
}

// === impl Descriptor ===

impl Descriptor {
    /// Reads the descriptor at offset `at` of a ring or of an indirect table.
    pub(super) fn read(table: &VolatileSlice<'_>, at: usize) -> Result<Self, RingError> {
        let address = table.get_ref::<u64>(at).map_err(memory)?.load();
        let rest = table.get_ref::<u64>(at + BYTES_AT).map_err(memory)?.load();
        let [b0, b1, b2, b3, i0, i1, f0, f1] = rest.to_le_bytes();
        Ok(Self {
            address: u64::from_le(address),
            bytes: u32::from_le_bytes([b0, b1, b2, b3]),
            id: u16::from_le_bytes([i0, i1]),
            flags: u16::from_le_bytes([f0, f1]),
        })
    }
}
