//! Both sides of a virtqueue, in memory that the other side may change at any time.
//!
//! Source: virtio 1.2, 2.7 "Split Virtqueues" and 2.8 "Packed Virtqueues". [`Driver`] and [`Device`] hide which of the
//! two layouts a ring has; `split` and `packed` know where in memory the parts of each are. EVENT_IDX is not offered.
//!
//! Ordering: Each index of a split ring, and the flags of each descriptor of a packed ring, have one writer at a time.
//! The writer stores them with Release after everything that they announce. The reader loads them with Acquire before
//! it reads any of that. Each side publishes and then checks whether the other side wants a notification. Release and
//! Acquire do not order a store before a later load from another place, so there is a full fence between the two.
//! Without it, both sides could go to sleep.
//!
//! Everything else is read from a ring once, into a local value, and checked there.

mod chain;
mod device;
mod driver;
mod layout;
mod packed;
mod split;

use vm_memory::VolatileSlice;

use super::table::Outside;

pub use chain::Chain;
pub use device::{Cursor, Device, Taken};
pub use driver::{Driver, Used};
pub use layout::Layout;

/// The largest number of descriptors that a queue may have.
pub const LARGEST: u16 = 32768;
/// The bytes at the begin of a buffer that are loaded in advance: the header and a short frame.
pub(crate) const BEGIN: usize = 128;
/// The size of a descriptor in bytes.
pub const DESCRIPTOR_BYTES: usize = 16;

/// Descriptor flag: the chain continues at `next`.
const NEXT: u16 = 1;
/// Descriptor flag: the device writes to the buffer. Without the flag, it reads the buffer.
const WRITE: u16 = 2;
/// Descriptor flag: the buffer is a table of descriptors (VIRTIO_F_INDIRECT_DESC).
const INDIRECT: u16 = 4;
/// The most descriptors in an indirect table. QEMU accepts as many (`VIRTQUEUE_MAX_SIZE`). The specification's limit
/// is the size of the queue, but Linux does not keep it.
pub const INDIRECT_LIMIT: u32 = 1024;

/// An error in a ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The size of a split ring is not a power of two, or too large.
    #[error("a vring of {0} descriptors: not a power of two, or more than {LARGEST}")]
    Size(u32),
    /// The size of a packed ring is 0, or too large.
    #[error("a packed vring of {0} descriptors: not 1 to {LARGEST}")]
    PackedSize(u32),
    /// The position in a packed ring, as SET_VRING_BASE gave it, is not in the ring.
    #[error("the base of the vring is descriptor {index} of {size}")]
    Base {
        /// The index of the descriptor.
        index: u16,
        /// The number of descriptors.
        size: u16,
    },
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
    /// A chain in a packed ring continues after the last descriptor of the ring.
    #[error("the chain at descriptor {0} does not end within the ring")]
    Endless(u16),
    /// A descriptor refers to an indirect table, and the chain continues after it.
    #[error("descriptor {0} refers to an indirect table, and the chain continues after it")]
    Continued(u16),
    /// An indirect table is empty, has a part of a descriptor, or is too long.
    #[error(
        "the indirect table of descriptor {index} has {bytes} bytes: not 1 to {INDIRECT_LIMIT} descriptors of \
         {DESCRIPTOR_BYTES}"
    )]
    IndirectSize {
        /// The index of the descriptor.
        index: u16,
        /// The length of the table in bytes.
        bytes: u32,
    },
    /// A chain in an indirect table has a loop, leaves the table, or refers to another table.
    #[error("the indirect table of descriptor {0} has a chain that does not end in the table")]
    IndirectChain(u16),
    /// The chains of one batch have too many descriptors in indirect tables.
    #[error(
        "the chains up to the one at descriptor {head} have more than {most} descriptors in indirect tables"
    )]
    TooManyIndirect {
        /// The head of the last chain.
        head: u16,
        /// The most descriptors that they may have.
        most: u32,
    },
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
    /// The descriptor table, or the descriptor ring of a packed ring.
    pub descriptors: VolatileSlice<'m>,
    /// The available ring, or the driver's event suppression of a packed ring.
    pub available: VolatileSlice<'m>,
    /// The used ring, or the device's event suppression of a packed ring.
    pub used: VolatileSlice<'m>,
}

// === impl Parts ===

impl Parts<'_> {
    /// Checks that each part is long enough for `size` descriptors.
    fn check(&self, layout: Layout, size: u16) -> Result<(), RingError> {
        for (slice, bytes) in [
            (self.descriptors, DESCRIPTOR_BYTES * usize::from(size)),
            (self.available, layout.available_bytes(size)),
            (self.used, layout.used_bytes(size)),
        ] {
            if slice.len() < bytes {
                return Err(RingError::Memory(format!("{} bytes of {bytes}", slice.len())));
            }
        }
        Ok(())
    }
}

#[cold]
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn memory(error: vm_memory::VolatileMemoryError) -> RingError {
    RingError::Memory(error.to_string())
}

#[cfg(test)]
mod tests;
