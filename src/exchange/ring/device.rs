//! The device's side of a virtqueue: takes the chains that the driver made available, and returns them as used.

use std::sync::atomic::Ordering;

use vm_memory::{VolatileMemory as _, VolatileSlice};

use super::{
    DESCRIPTOR_BYTES, INDIRECT, NEXT, Parts, RingError, WRITE, available_bytes, index,
    suppress_notifications, used_bytes, wants_notification,
};
use crate::message::VringAddresses;
use crate::table::Table;

/// The size of a CPU cache line in bytes.
const LINE: usize = 64;
/// How many bytes of a buffer are prefetched.
const FETCHED: usize = 2 * LINE;

/// A ring of the peer, in the peer's memory. The caller keeps the position in it, because the ring is looked up again
/// whenever the memory may have changed.
#[derive(Debug)]
pub struct Device<'m> {
    table: &'m Table,
    parts: Parts<'m>,
    size: u16,
}

/// A chain of descriptors: the driver's buffers, of which the readable ones come first.
#[derive(Debug, Default)]
pub struct Chain<'m> {
    /// The memory that the device reads.
    pub readable: Vec<VolatileSlice<'m>>,
    /// The memory that the device writes.
    pub writable: Vec<VolatileSlice<'m>>,
    /// The number of descriptors, including those of no bytes.
    pub descriptors: u16,
}

// === impl Device ===

impl<'m> Device<'m> {
    /// Finds a ring in the memory table.
    ///
    /// # Errors
    ///
    /// A part of the ring is not in the memory table, or not aligned.
    pub fn new(table: &'m Table, size: u16, at: &VringAddresses) -> Result<Self, RingError> {
        for (part, address, alignment) in [
            ("descriptor table", at.descriptors, 16),
            ("available ring", at.available, 2),
            ("used ring", at.used, 4),
        ] {
            if address % alignment != 0 {
                return Err(RingError::Unaligned { part, address, alignment });
            }
        }
        let parts = Parts {
            descriptors: table.user(at.descriptors, DESCRIPTOR_BYTES * usize::from(size))?,
            available: table.user(at.available, available_bytes(size))?,
            used: table.user(at.used, used_bytes(size))?,
        };
        Ok(Self { table, parts, size })
    }

    /// Returns the number of descriptors of the queue.
    #[must_use]
    pub const fn size(&self) -> u16 {
        self.size
    }

    /// Returns how many chains the driver has made available beyond `taken`.
    ///
    /// # Errors
    ///
    /// The index is ahead by more than the size of the ring.
    pub fn waiting(&self, taken: u16) -> Result<u16, RingError> {
        let to = u16::from_le(index(&self.parts.available)?.load(Ordering::Acquire));
        let ahead = to.wrapping_sub(taken);
        if ahead > self.size {
            return Err(RingError::Jumped { ring: "available", from: taken, to, most: self.size });
        }
        Ok(ahead)
    }

    /// Makes the CPU fetch the first bytes of the buffer at `slot`, which hold the header and a short frame, into its
    /// cache. The memory accesses for several slots in a row overlap. The values read here are not used.
    pub fn fetch(&self, slot: u16) {
        let begin = || {
            let head = u16::from_le(self.parts.available_entry(self.size, slot).ok()?.load());
            let descriptor = self.parts.descriptor(head).ok()?;
            self.table.guest(descriptor.address, FETCHED).ok()
        };
        if let Some(piece) = begin() {
            for at in [0, LINE] {
                let _ = piece.get_ref::<u8>(at).map(|byte| byte.load());
            }
        }
    }

    /// Reads the chain at `slot` of the available ring into `chain`. Returns its head, which must be put into the used
    /// ring.
    ///
    /// # Errors
    ///
    /// See [`RingError`]: indices that do not exist, loops, and addresses that are not in the memory table.
    pub fn chain(&self, slot: u16, chain: &mut Chain<'m>) -> Result<u16, RingError> {
        chain.readable.clear();
        chain.writable.clear();
        chain.descriptors = 0;
        let size = self.size;
        let head = u16::from_le(self.parts.available_entry(size, slot)?.load());
        if head >= size {
            return Err(RingError::NoSuchHead { index: head, size });
        }
        let mut at = head;
        for _ in 0..size {
            let descriptor = self.parts.descriptor(at)?;
            chain.descriptors += 1;
            if descriptor.flags & INDIRECT != 0 {
                return Err(RingError::Flags { index: at, flags: descriptor.flags });
            }
            let is_write = descriptor.flags & WRITE != 0;
            if !is_write && !chain.writable.is_empty() {
                return Err(RingError::Order(head));
            }
            let into = if is_write { &mut chain.writable } else { &mut chain.readable };
            self.buffer(descriptor.address, descriptor.bytes, into)?;
            if descriptor.flags & NEXT == 0 {
                return Ok(head);
            }
            if descriptor.next >= size {
                return Err(RingError::NoSuchNext { from: at, next: descriptor.next, size });
            }
            at = descriptor.next;
        }
        Err(RingError::Loop(head))
    }

    /// Puts a chain into the used ring, with the number of bytes written to its buffers. The driver sees it after
    /// [`Device::publish`].
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn put_used(&self, slot: u16, head: u16, bytes: u32) -> Result<(), RingError> {
        let entry = u64::from(head) | u64::from(bytes) << 32;
        self.parts.used_entry(self.size, slot)?.store(entry.to_le());
        Ok(())
    }

    /// Publishes the entries of the used ring before `slot`. Returns whether the driver wants to be notified.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn publish(&self, slot: u16) -> Result<bool, RingError> {
        index(&self.parts.used)?.store(slot.to_le(), Ordering::Release);
        wants_notification(&self.parts.available)
    }

    /// Returns the index of the used ring. After a reconnect, a device continues from there.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn used_index(&self) -> Result<u16, RingError> {
        Ok(u16::from_le(index(&self.parts.used)?.load(Ordering::Acquire)))
    }

    /// Tells the driver whether to suppress its kicks.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn suppress_notifications(&self, quiet: bool) -> Result<(), RingError> {
        suppress_notifications(&self.parts.used, quiet)
    }

    /// Appends the memory of a buffer to `into`, region by region. There are at most as many pieces as regions.
    fn buffer(&self, address: u64, bytes: u32, into: &mut Vec<VolatileSlice<'m>>) -> Result<(), RingError> {
        let (mut at, mut left) = (address, usize::try_from(bytes).unwrap_or(usize::MAX));
        while left > 0 {
            let piece = self.table.guest(at, left)?;
            left = left.saturating_sub(piece.len());
            // A region ends within 64 bits, so a buffer that would exceed them gets an address that is in no region.
            at = at.saturating_add(piece.len() as u64);
            into.push(piece);
        }
        Ok(())
    }
}

// === impl Chain ===

impl Chain<'_> {
    /// Returns the number of readable bytes.
    #[must_use]
    pub fn readable_bytes(&self) -> usize {
        self.readable.iter().map(VolatileSlice::len).sum()
    }

    /// Returns the number of writable bytes.
    #[must_use]
    pub fn writable_bytes(&self) -> usize {
        self.writable.iter().map(VolatileSlice::len).sum()
    }

    /// Copies the readable bytes after the first `skip` to `out`, as far as it has room. Returns the number of bytes
    /// copied.
    pub fn read(&self, skip: usize, out: &mut [u8]) -> usize {
        let (mut skip, mut done) = (skip, 0);
        for piece in &self.readable {
            let from = skip.min(piece.len());
            skip -= from;
            if let (Ok(piece), Some(room)) = (piece.offset(from), out.get_mut(done..)) {
                done += piece.copy_to(room);
            }
        }
        done
    }

    /// Copies `bytes` to the writable memory after its first `skip` bytes, as far as it has room. Returns the number
    /// of bytes copied.
    pub fn write(&self, skip: usize, bytes: &[u8]) -> usize {
        let (mut skip, mut done) = (skip, 0);
        for piece in &self.writable {
            let from = skip.min(piece.len());
            skip -= from;
            if let (Ok(piece), Some(rest)) = (piece.offset(from), bytes.get(done..)) {
                piece.copy_from(rest);
                done += rest.len().min(piece.len());
            }
        }
        done
    }
}
