//! The split virtqueue, both sides, over memory that the other side may change at any moment.
//!
//! Source: virtio 1.1, 2.6 "Split Virtqueues". Not offered, and refused if used: indirect descriptors, EVENT_IDX.
//!
//! Ordering. Each index has one writer. The writer stores it with Release after everything that it announces; the
//! reader loads it with Acquire before it reads any of that. Before either side checks whether the other wants to be notified
//! (`flags`), it puts a full fence between its own index and that question: store then load of two places is the one
//! order that Release and Acquire do not give, and without it both could go to sleep.
//!
//! Everything read from a ring is read once, into a value of our own, and checked there.

mod device;
mod driver;

use std::sync::atomic::{AtomicU16, Ordering, fence};

use vm_memory::{VolatileMemory as _, VolatileSlice};

use super::table::Outside;

pub use device::{Chain, Device};
pub use driver::{Driver, Used};

/// The most descriptors that a queue may have.
pub const LARGEST: u16 = 32768;
/// A descriptor's bytes.
pub const DESCRIPTOR_BYTES: usize = 16;

/// The chain continues at `next`.
const NEXT: u16 = 1;
/// The device writes; otherwise it reads.
const WRITE: u16 = 2;
/// The descriptor is a table of descriptors.
const INDIRECT: u16 = 4;
/// In the available ring's flags: the device need not tell. In the used ring's: the driver need not.
const NO_NOTIFICATION: u16 = 1;

/// What is wrong with a ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The size is not a power of two, or too large.
    #[error("a vring of {0} descriptors: not a power of two, or more than {LARGEST}")]
    Size(u32),
    /// A part of the ring, or a buffer, is not in memory.
    #[error(transparent)]
    Outside(#[from] Outside),
    /// A part of the ring is not aligned as the specification asks.
    #[error("the {part} at {address:#x} is not aligned to {alignment}")]
    Unaligned {
        /// Which part.
        part: &'static str,
        /// Where it is.
        address: u64,
        /// What it has to be aligned to, bytes.
        alignment: u64,
    },
    /// An index is ahead by more than can be outstanding.
    #[error("the index of the {ring} ring jumped to {to}; from {from}, at most {most} entries are possible")]
    Jumped {
        /// `available` or `used`.
        ring: &'static str,
        /// Where it was.
        from: u16,
        /// Where it is.
        to: u16,
        /// How far it could have come.
        most: u16,
    },
    /// The available ring names a descriptor that the queue does not have.
    #[error("the available ring names descriptor {index} of {size}")]
    NoSuchHead {
        /// What it names.
        index: u16,
        /// How many there are.
        size: u16,
    },
    /// A chain continues at a descriptor that the queue does not have.
    #[error("descriptor {from} continues at {next} of {size}")]
    NoSuchNext {
        /// The descriptor.
        from: u16,
        /// What it names.
        next: u16,
        /// How many there are.
        size: u16,
    },
    /// A chain has more descriptors than the queue.
    #[error("the chain at descriptor {0} has a loop")]
    Loop(u16),
    /// Chains that are available at once have more descriptors than there are.
    #[error(
        "the chains up to the one at descriptor {head} have more descriptors than the {size} of the queue"
    )]
    Shared {
        /// Where the last of them begins.
        head: u16,
        /// How many descriptors there are.
        size: u16,
    },
    /// Something that was not offered.
    #[error("descriptor {index} has flags {flags:#x}, which were not offered")]
    Flags {
        /// The descriptor.
        index: u16,
        /// Its flags.
        flags: u16,
    },
    /// A readable buffer follows a writable one.
    #[error("the chain at descriptor {0} has a readable buffer after a writable one")]
    Order(u16),
    /// A buffer is too short for what has to be in it.
    #[error("the chain at descriptor {head} has {bytes} bytes, fewer than {least}")]
    TooShort {
        /// The descriptor.
        head: u16,
        /// What it has.
        bytes: u64,
        /// What it needs.
        least: u64,
    },
    /// A frame is longer than any.
    #[error("the chain at descriptor {head} has {bytes} bytes, more than {most}")]
    TooLong {
        /// The descriptor.
        head: u16,
        /// What it has.
        bytes: u64,
        /// The most.
        most: u64,
    },
    /// The used ring gives back what is not with the device.
    #[error("the used ring returns buffer {0}, which the device did not have")]
    NeverOffered(u32),
    /// The used ring claims more bytes than the buffer has.
    #[error("the used ring claims {claimed} bytes in buffer {id} of {bytes}")]
    Overrun {
        /// The buffer.
        id: u32,
        /// What is claimed.
        claimed: u32,
        /// What it has.
        bytes: u32,
    },
    /// The ring was in memory that the table does not have any more.
    #[error("the memory table has no region while the ring runs")]
    NoMemory,
    /// The memory of a ring is shorter than the ring. A mistake of this program's own.
    #[error("a ring lies outside its memory: {0}")]
    Memory(String),
}

/// The three parts of a ring.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'m> {
    /// The descriptor table.
    pub descriptors: VolatileSlice<'m>,
    /// The available ring.
    pub available: VolatileSlice<'m>,
    /// The used ring.
    pub used: VolatileSlice<'m>,
}

/// A descriptor, read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Descriptor {
    address: u64,
    bytes: u32,
    flags: u16,
    next: u16,
}

/// The bytes of the available ring of so many descriptors, without the event index.
#[must_use]
pub const fn available_bytes(size: u16) -> usize {
    4 + 2 * size as usize
}

/// The bytes of the used ring of so many descriptors, without the event index.
#[must_use]
pub const fn used_bytes(size: u16) -> usize {
    4 + 8 * size as usize
}

/// The size of a vring as SET_VRING_NUM gives it.
///
/// # Errors
///
/// It is not a power of two, or more than [`LARGEST`].
pub fn checked_size(num: u32) -> Result<u16, RingError> {
    u16::try_from(num)
        .ok()
        .filter(|size| size.is_power_of_two() && *size <= LARGEST)
        .ok_or(RingError::Size(num))
}

// === impl Parts ===

impl<'m> Parts<'m> {
    fn check(&self, size: u16) -> Result<(), RingError> {
        for (slice, bytes) in [
            (self.descriptors, DESCRIPTOR_BYTES * usize::from(size)),
            (self.available, available_bytes(size)),
            (self.used, used_bytes(size)),
        ] {
            if slice.len() < bytes {
                return Err(RingError::Memory(format!("{} bytes of {bytes}", slice.len())));
            }
        }
        Ok(())
    }

    fn descriptor(&self, index: u16) -> Result<Descriptor, RingError> {
        let at = usize::from(index) * DESCRIPTOR_BYTES;
        let address = self.descriptors.get_ref::<u64>(at).map_err(memory)?.load();
        let rest = self.descriptors.get_ref::<u64>(at + 8).map_err(memory)?.load();
        let [b0, b1, b2, b3, f0, f1, n0, n1] = rest.to_le_bytes();
        Ok(Descriptor {
            address: u64::from_le(address),
            bytes: u32::from_le_bytes([b0, b1, b2, b3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }

    fn set_descriptor(&self, index: u16, descriptor: Descriptor) -> Result<(), RingError> {
        let at = usize::from(index) * DESCRIPTOR_BYTES;
        let [b0, b1, b2, b3] = descriptor.bytes.to_le_bytes();
        let ([f0, f1], [n0, n1]) = (descriptor.flags.to_le_bytes(), descriptor.next.to_le_bytes());
        self.descriptors.get_ref::<u64>(at).map_err(memory)?.store(descriptor.address.to_le());
        let rest = u64::from_le_bytes([b0, b1, b2, b3, f0, f1, n0, n1]);
        self.descriptors.get_ref::<u64>(at + 8).map_err(memory)?.store(rest.to_le());
        Ok(())
    }

    /// Entry `slot` of the available ring; a slot counts on and on, as indices do.
    fn available_entry(&self, size: u16, slot: u16) -> Result<vm_memory::VolatileRef<'_, u16>, RingError> {
        self.available.get_ref(4 + 2 * usize::from(place(size, slot))).map_err(memory)
    }

    /// Entry `slot` of the used ring: the id in the low half, the length in the high one.
    fn used_entry(&self, size: u16, slot: u16) -> Result<vm_memory::VolatileRef<'_, u64>, RingError> {
        self.used.get_ref(4 + 8 * usize::from(place(size, slot))).map_err(memory)
    }
}

/// Where in a ring a slot is: `slot % size`, of a size that is a power of two, without the division.
const fn place(size: u16, slot: u16) -> u16 {
    slot & size.wrapping_sub(1)
}

/// The flags of an available or used ring.
fn flags<'a>(ring: &'a VolatileSlice<'_>) -> Result<&'a AtomicU16, RingError> {
    ring.get_atomic_ref(0).map_err(memory)
}

/// The index of an available or used ring.
fn index<'a>(ring: &'a VolatileSlice<'_>) -> Result<&'a AtomicU16, RingError> {
    ring.get_atomic_ref(2).map_err(memory)
}

/// Asks or lets the other side be quiet. When it may speak again, look once more whether something came meanwhile.
fn suppress_notifications(ring: &VolatileSlice<'_>, quiet: bool) -> Result<(), RingError> {
    flags(ring)?.store(if quiet { NO_NOTIFICATION.to_le() } else { 0 }, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    Ok(())
}

/// Whether the other side wants to be notified of what was just published.
fn wants_notification(its_ring: &VolatileSlice<'_>) -> Result<bool, RingError> {
    fence(Ordering::SeqCst);
    Ok(u16::from_le(flags(its_ring)?.load(Ordering::Relaxed)) & NO_NOTIFICATION == 0)
}

#[cold]
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn memory(error: vm_memory::VolatileMemoryError) -> RingError {
    RingError::Memory(error.to_string())
}

#[cfg(test)]
mod tests;
