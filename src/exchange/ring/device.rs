//! The device's side of a virtqueue: takes what the driver made available, gives it back used.

use std::sync::atomic::Ordering;

use vm_memory::{VolatileMemory as _, VolatileSlice};

use super::{
    DESCRIPTOR_BYTES, INDIRECT, NEXT, Parts, RingError, WRITE, available_bytes, index,
    suppress_notifications, used_bytes, wants_notification,
};
use crate::exchange::message::VringAddresses;
use crate::exchange::table::Table;

/// A line of a processor's cache, bytes.
const LINE: usize = 64;
/// How much of a buffer is fetched, bytes.
const FETCHED: usize = 2 * LINE;

/// A ring of the peer's, found in its memory. How far it has been worked through is kept by the caller: a ring is
/// looked up again whenever the memory may have changed.
#[derive(Debug)]
pub struct Device<'m> {
    table: &'m Table,
    parts: Parts<'m>,
    size: u16,
}

/// One chain of descriptors: the driver's buffers, those to read first.
#[derive(Debug, Default)]
pub struct Chain<'m> {
    /// What the device reads.
    pub readable: Vec<VolatileSlice<'m>>,
    /// What the device writes.
    pub writable: Vec<VolatileSlice<'m>>,
    /// How many descriptors it has, those of no bytes included.
    pub descriptors: u16,
}

// === impl Device ===

impl<'m> Device<'m> {
    /// Finds a ring in the table.
    ///
    /// # Errors
    ///
    /// A part of it is not in memory, or not aligned.
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

    /// How many descriptors the queue has.
    #[must_use]
    pub const fn size(&self) -> u16 {
        self.size
    }

    /// How many chains the driver has made available beyond `taken`.
    ///
    /// # Errors
    ///
    /// The index is further ahead than the ring is long.
    pub fn waiting(&self, taken: u16) -> Result<u16, RingError> {
        let to = u16::from_le(index(&self.parts.available)?.load(Ordering::Acquire));
        let ahead = to.wrapping_sub(taken);
        if ahead > self.size {
            return Err(RingError::Jumped { ring: "available", from: taken, to, most: self.size });
        }
        Ok(ahead)
    }

    /// Has the processor fetch the beginning of the buffer at `slot`, where a header and a short frame are. Of several in
    /// a row the waiting overlaps. Nothing is decided by what is read.
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

    /// Reads the chain at `slot` of the available ring into `chain`. Its head, which is given back used.
    ///
    /// # Errors
    ///
    /// See [`RingError`]: indices that do not exist, loops, addresses that are not in memory.
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

    /// Puts a chain into the used ring, with the bytes that were written to it. The driver sees it after
    /// [`Device::publish`].
    ///
    /// # Errors
    ///
    /// None that a peer can cause.
    pub fn put_used(&self, slot: u16, head: u16, bytes: u32) -> Result<(), RingError> {
        let entry = u64::from(head) | u64::from(bytes) << 32;
        self.parts.used_entry(self.size, slot)?.store(entry.to_le());
        Ok(())
    }

    /// Publishes everything up to `slot`, which is not included. Returns whether the driver wants to be notified.
    ///
    /// # Errors
    ///
    /// None that a peer can cause.
    pub fn publish(&self, slot: u16) -> Result<bool, RingError> {
        index(&self.parts.used)?.store(slot.to_le(), Ordering::Release);
        wants_notification(&self.parts.available)
    }

    /// The index of the used ring: after a reconnect a device continues from there.
    ///
    /// # Errors
    ///
    /// None that a peer can cause.
    pub fn used_index(&self) -> Result<u16, RingError> {
        Ok(u16::from_le(index(&self.parts.used)?.load(Ordering::Acquire)))
    }

    /// Tells the driver whether its kicks are not needed.
    ///
    /// # Errors
    ///
    /// None that a peer can cause.
    pub fn suppress_notifications(&self, quiet: bool) -> Result<(), RingError> {
        suppress_notifications(&self.parts.used, quiet)
    }

    /// A buffer's memory, region by region: at most as many pieces as there are regions.
    fn buffer(&self, address: u64, bytes: u32, into: &mut Vec<VolatileSlice<'m>>) -> Result<(), RingError> {
        let (mut at, mut left) = (address, usize::try_from(bytes).unwrap_or(usize::MAX));
        while left > 0 {
            let piece = self.table.guest(at, left)?;
            left = left.saturating_sub(piece.len());
            // Regions end within 64 bits; a buffer that extends beyond is in none.
            at = at.saturating_add(piece.len() as u64);
            into.push(piece);
        }
        Ok(())
    }
}

// === impl Chain ===

impl Chain<'_> {
    /// How many bytes there are to read.
    #[must_use]
    pub fn readable_bytes(&self) -> usize {
        self.readable.iter().map(VolatileSlice::len).sum()
    }

    /// How many bytes there are to write.
    #[must_use]
    pub fn writable_bytes(&self) -> usize {
        self.writable.iter().map(VolatileSlice::len).sum()
    }

    /// Copies what there is to read, without its first `skip` bytes, as far as `out` has room. How many bytes.
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

    /// Copies `bytes` to what there is to write, `skip` bytes into it, as far as there is room. How many bytes.
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
