//! The memory of a split ring (virtio 1.2, 2.7).

use std::sync::atomic::{AtomicU16, Ordering, fence};

use vm_memory::{VolatileMemory as _, VolatileRef, VolatileSlice};

use super::{DESCRIPTOR_BYTES, Parts, RingError, memory};

/// In the flags of the available ring: the device need not notify the driver. In the flags of the used ring: the
/// driver need not notify the device.
const NO_NOTIFICATION: u16 = 1;

/// A descriptor as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) bytes: u32,
    pub(super) flags: u16,
    pub(super) next: u16,
}

/// A split ring of `size` descriptors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Split<'m> {
    pub(super) parts: Parts<'m>,
    pub(super) size: u16,
}

// === impl Split ===

impl Split<'_> {
    pub(super) fn descriptor(&self, index: u16) -> Result<Descriptor, RingError> {
        Descriptor::read(&self.parts.descriptors, usize::from(index) * DESCRIPTOR_BYTES)
    }

    pub(super) fn set_descriptor(&self, index: u16, descriptor: Descriptor) -> Result<(), RingError> {
        let (table, at) = (self.parts.descriptors, usize::from(index) * DESCRIPTOR_BYTES);
        let [b0, b1, b2, b3] = descriptor.bytes.to_le_bytes();
        let ([f0, f1], [n0, n1]) = (descriptor.flags.to_le_bytes(), descriptor.next.to_le_bytes());
        table.get_ref::<u64>(at).map_err(memory)?.store(descriptor.address.to_le());
        let rest = u64::from_le_bytes([b0, b1, b2, b3, f0, f1, n0, n1]);
        table.get_ref::<u64>(at + 8).map_err(memory)?.store(rest.to_le());
        Ok(())
    }

    /// Returns entry `slot` of the available ring. A slot wraps around at 16 bits, as indices do.
    pub(super) fn available_entry(&self, slot: u16) -> Result<VolatileRef<'_, u16>, RingError> {
        self.parts.available.get_ref(4 + 2 * usize::from(self.place(slot))).map_err(memory)
    }

    /// Returns entry `slot` of the used ring. The id is in the low half, the length in the high half.
    pub(super) fn used_entry(&self, slot: u16) -> Result<VolatileRef<'_, u64>, RingError> {
        self.parts.used.get_ref(4 + 8 * usize::from(self.place(slot))).map_err(memory)
    }

    /// Returns the place of a slot in a ring, `slot % size`. The size is a power of two, so no division is needed.
    const fn place(&self, slot: u16) -> u16 {
        slot & self.size.wrapping_sub(1)
    }
}

/// Returns the flags of an available or used ring.
fn flags<'a>(ring: &'a VolatileSlice<'_>) -> Result<&'a AtomicU16, RingError> {
    ring.get_atomic_ref(0).map_err(memory)
}

/// Returns the index of an available or used ring.
pub(super) fn index<'a>(ring: &'a VolatileSlice<'_>) -> Result<&'a AtomicU16, RingError> {
    ring.get_atomic_ref(2).map_err(memory)
}

/// Asks the other side to suppress notifications, or to send them again. After the latter, the caller must check the
/// ring once more, because the other side may have published something before it saw the change.
pub(super) fn suppress_notifications(ring: &VolatileSlice<'_>, quiet: bool) -> Result<(), RingError> {
    flags(ring)?.store(if quiet { NO_NOTIFICATION.to_le() } else { 0 }, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    Ok(())
}

/// Returns whether the other side wants a notification about what was just published.
pub(super) fn wants_notification(its_ring: &VolatileSlice<'_>) -> Result<bool, RingError> {
    fence(Ordering::SeqCst);
    Ok(u16::from_le(flags(its_ring)?.load(Ordering::Relaxed)) & NO_NOTIFICATION == 0)
}

// === impl Descriptor ===

impl Descriptor {
    /// Reads the descriptor at offset `at` of a table, which may be an indirect one.
    pub(super) fn read(table: &VolatileSlice<'_>, at: usize) -> Result<Self, RingError> {
        let address = table.get_ref::<u64>(at).map_err(memory)?.load();
        let rest = table.get_ref::<u64>(at + 8).map_err(memory)?.load();
        let [b0, b1, b2, b3, f0, f1, n0, n1] = rest.to_le_bytes();
        Ok(Self {
            address: u64::from_le(address),
            bytes: u32::from_le_bytes([b0, b1, b2, b3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }
}
