//! Both sides of the split virtqueue, in memory that the other side may change at any time.
//!
//! Source: virtio 1.1, 2.6 "Split Virtqueues". Indirect descriptors and EVENT_IDX are not offered, and refused if
//! used.
//!
//! Ordering: Each index has one writer. The writer stores it with Release after everything that it announces. The
//! reader loads it with Acquire before it reads any of that. Each side publishes its own index and then checks whether
//! the other side wants a notification (`flags`). Release and Acquire do not order a store before a later load from
//! another place, so there is a full fence between the two. Without it, both sides could go to sleep.
//!
//! Everything is read from a ring once, into a local value, and checked there.

mod device;
mod driver;

use std::sync::atomic::{AtomicU16, Ordering, fence};

use vm_memory::{VolatileMemory as _, VolatileSlice};

use super::table::Outside;

pub use device::{Chain, Device};
pub use driver::{Driver, Used};

/// The largest number of descriptors that a queue may have.
pub const LARGEST: u16 = 32768;
/// The size of a descriptor in bytes.
pub const DESCRIPTOR_BYTES: usize = 16;

/// Descriptor flag: the chain continues at `next`.
const NEXT: u16 = 1;
/// Descriptor flag: the device writes to the buffer. Without the flag, it reads the buffer.
const WRITE: u16 = 2;
/// Descriptor flag: the buffer is a table of descriptors.
const INDIRECT: u16 = 4;
/// In the flags of the available ring: the device need not notify the driver. In the flags of the used ring: the
/// driver need not notify the device.
const NO_NOTIFICATION: u16 = 1;

/// An error in a ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The size is not a power of two, or too large.
    #[error("a vring of {0} descriptors: not a power of two, or more than {LARGEST}")]
    Size(u32),
    /// A part of the ring or a buffer is not in the memory table.
    #[error(transparent)]
    Outside(#[from] Outside),
    /// A part of the ring does not have the alignment that the specification requires.
    #[error("the {part} at {address:#x} is not aligned to {alignment}")]
    Unaligned {
        /// The part of the ring.
        part: &'static str,
        /// Its address.
        address: u64,
        /// The required alignment in bytes.
        alignment: u64,
    },
    /// An index advanced by more entries than can be outstanding.
    #[error("the index of the {ring} ring jumped to {to}; from {from}, at most {most} entries are possible")]
    Jumped {
        /// `available` or `used`.
        ring: &'static str,
        /// The previous index.
        from: u16,
        /// The new index.
        to: u16,
        /// The most entries by which it could have advanced.
        most: u16,
    },
    /// The available ring refers to a descriptor that the queue does not have.
    #[error("the available ring names descriptor {index} of {size}")]
    NoSuchHead {
        /// The index of the descriptor.
        index: u16,
        /// The number of descriptors.
        size: u16,
    },
    /// A chain continues at a descriptor that the queue does not have.
    #[error("descriptor {from} continues at {next} of {size}")]
    NoSuchNext {
        /// The index of the descriptor before it.
        from: u16,
        /// The index at which the chain continues.
        next: u16,
        /// The number of descriptors.
        size: u16,
    },
    /// A chain has more descriptors than the queue, so it has a loop.
    #[error("the chain at descriptor {0} has a loop")]
    Loop(u16),
    /// The available chains have more descriptors in total than the queue.
    #[error(
        "the chains up to the one at descriptor {head} have more descriptors than the {size} of the queue"
    )]
    Shared {
        /// The head of the last chain.
        head: u16,
        /// The number of descriptors.
        size: u16,
    },
    /// A descriptor uses a feature that was not offered.
    #[error("descriptor {index} has flags {flags:#x}, which were not offered")]
    Flags {
        /// The index of the descriptor.
        index: u16,
        /// The flags of the descriptor.
        flags: u16,
    },
    /// A readable buffer follows a writable one in a chain.
    #[error("the chain at descriptor {0} has a readable buffer after a writable one")]
    Order(u16),
    /// A chain has too few bytes for its content.
    #[error("the chain at descriptor {head} has {bytes} bytes, fewer than {least}")]
    TooShort {
        /// The head of the chain.
        head: u16,
        /// The bytes of the chain.
        bytes: u64,
        /// The bytes that it needs.
        least: u64,
    },
    /// A chain is longer than the longest accepted frame.
    #[error("the chain at descriptor {head} has {bytes} bytes, more than {most}")]
    TooLong {
        /// The head of the chain.
        head: u16,
        /// The bytes of the chain.
        bytes: u64,
        /// The most bytes that it may have.
        most: u64,
    },
    /// The used ring returns a buffer that the device does not hold.
    #[error("the used ring returns buffer {0}, which the device did not have")]
    NeverOffered(u32),
    /// The used ring claims more bytes than the buffer has.
    #[error("the used ring claims {claimed} bytes in buffer {id} of {bytes}")]
    Overrun {
        /// The id of the buffer.
        id: u32,
        /// The claimed number of bytes.
        claimed: u32,
        /// The length of the buffer in bytes.
        bytes: u32,
    },
    /// The memory table lost all of its regions while the ring runs.
    #[error("the memory table has no region while the ring runs")]
    NoMemory,
    /// The memory of a ring is shorter than the ring. This is a bug in hugeprobe.
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

/// A descriptor as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Descriptor {
    address: u64,
    bytes: u32,
    flags: u16,
    next: u16,
}

/// Returns the size in bytes of an available ring for `size` descriptors, without the event index.
#[must_use]
pub const fn available_bytes(size: u16) -> usize {
    4 + 2 * size as usize
}

/// Returns the size in bytes of a used ring for `size` descriptors, without the event index.
#[must_use]
pub const fn used_bytes(size: u16) -> usize {
    4 + 8 * size as usize
}

/// Checks the size of a vring in SET_VRING_NUM and returns it.
///
/// # Errors
///
/// The size is not a power of two, or it is larger than [`LARGEST`].
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

    /// Returns entry `slot` of the available ring. A slot wraps around at 16 bits, as indices do.
    fn available_entry(&self, size: u16, slot: u16) -> Result<vm_memory::VolatileRef<'_, u16>, RingError> {
        self.available.get_ref(4 + 2 * usize::from(place(size, slot))).map_err(memory)
    }

    /// Returns entry `slot` of the used ring. The id is in the low half, the length in the high half.
    fn used_entry(&self, size: u16, slot: u16) -> Result<vm_memory::VolatileRef<'_, u64>, RingError> {
        self.used.get_ref(4 + 8 * usize::from(place(size, slot))).map_err(memory)
    }
}

/// Returns the place of a slot in a ring, `slot % size`. The size is a power of two, so no division is needed.
const fn place(size: u16, slot: u16) -> u16 {
    slot & size.wrapping_sub(1)
}

/// Returns the flags of an available or used ring.
fn flags<'a>(ring: &'a VolatileSlice<'_>) -> Result<&'a AtomicU16, RingError> {
    ring.get_atomic_ref(0).map_err(memory)
}

/// Returns the index of an available or used ring.
fn index<'a>(ring: &'a VolatileSlice<'_>) -> Result<&'a AtomicU16, RingError> {
    ring.get_atomic_ref(2).map_err(memory)
}

/// Asks the other side to suppress notifications, or to send them again. After the latter, the caller must check the
/// ring once more, because the other side may have published something before it saw the change.
fn suppress_notifications(ring: &VolatileSlice<'_>, quiet: bool) -> Result<(), RingError> {
    flags(ring)?.store(if quiet { NO_NOTIFICATION.to_le() } else { 0 }, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    Ok(())
}

/// Returns whether the other side wants a notification about what was just published.
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
