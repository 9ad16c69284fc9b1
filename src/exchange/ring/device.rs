//! The device's side of a virtqueue: takes the chains that the driver made available, and returns them as used.

use std::sync::atomic::Ordering;

use vm_memory::VolatileSlice;

use super::packed::{self, Packed, Place, used_flags};
use super::split::{self, Split, index};
use super::{
    BEGIN, Chain, DESCRIPTOR_BYTES, INDIRECT, INDIRECT_LIMIT, Layout, NEXT, Parts, RingError, WRITE,
};
use crate::message::{VringAddresses, feature};
use crate::table::{Outside, Table};
use hugeprobe_linux::map::{Access, prefetch};

/// A ring of the peer, in the peer's memory. The caller keeps the position in it, because the ring is looked up again
/// whenever the memory may have changed.
#[derive(Debug)]
pub struct Device<'m> {
    table: &'m Table,
    ring: Ring<'m>,
    size: u16,
    has_indirect: bool,
}

#[derive(Debug)]
enum Ring<'m> {
    Split(Split<'m>),
    Packed(Packed<'m>),
}

/// The position of the next chain to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    at: u16,
    /// The index of the available ring when it was last read, in a split ring.
    seen: u16,
}

/// A chain that was taken, and must be returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The index of the first descriptor.
    pub head: u16,
    /// The number by which the driver recognizes the chain: the head in a split ring, the buffer id in a packed ring.
    pub id: u16,
    /// The number of descriptors in the ring.
    pub descriptors: u16,
}

// === impl Device ===

impl<'m> Device<'m> {
    /// Finds a ring in the memory table. `features` are the negotiated ones.
    ///
    /// # Errors
    ///
    /// The size is invalid, or a part of the ring is not in the memory table, or not aligned.
    pub fn new(table: &'m Table, size: u16, at: &VringAddresses, features: u64) -> Result<Self, RingError> {
        let layout = Layout::of(features);
        layout.checked_size(size.into())?;
        let names = ["descriptor table", "available ring", "used ring"];
        let addresses = [at.descriptors, at.available, at.used];
        for ((part, address), alignment) in names.into_iter().zip(addresses).zip(layout.alignments()) {
            if address % alignment != 0 {
                return Err(RingError::Unaligned { part, address, alignment });
            }
        }
        let parts = Parts {
            descriptors: table.user(at.descriptors, DESCRIPTOR_BYTES * usize::from(size))?,
            available: table.user(at.available, layout.available_bytes(size))?,
            used: table.user(at.used, layout.used_bytes(size))?,
        };
        let ring = match layout {
            Layout::Split => Ring::Split(Split { parts, size }),
            Layout::Packed => Ring::Packed(Packed { parts, size }),
        };
        Ok(Self { table, ring, size, has_indirect: features & feature::INDIRECT_DESC != 0 })
    }

    /// Returns the number of descriptors of the queue.
    #[must_use]
    pub const fn size(&self) -> u16 {
        self.size
    }

    /// Returns whether the driver has made a chain available at the cursor.
    ///
    /// # Errors
    ///
    /// The index of a split ring is ahead by more than the size of the ring, or the position is not in the ring.
    pub fn has_next(&self, cursor: &mut Cursor) -> Result<bool, RingError> {
        match &self.ring {
            Ring::Split(_) if cursor.at != cursor.seen => Ok(true),
            Ring::Split(ring) => {
                let to = u16::from_le(index(&ring.parts.available)?.load(Ordering::Acquire));
                if to.wrapping_sub(cursor.at) > self.size {
                    let (from, most) = (cursor.at, self.size);
                    return Err(RingError::Jumped { ring: "available", from, to, most });
                }
                cursor.seen = to;
                Ok(to != cursor.at)
            }
            Ring::Packed(ring) => ring.is_available(Place(cursor.at)),
        }
    }

    /// Makes the CPU load the first bytes of the next `most` buffers, which are for the header and a short frame, into
    /// its cache, so that the loads of several buffers overlap.
    pub fn fetch(&self, mut cursor: Cursor, most: u16, access: Access) {
        for _ in 0..most {
            if !self.has_next(&mut cursor).unwrap_or(false) {
                break;
            }
            let begin = || match &self.ring {
                Ring::Split(ring) => {
                    let head = u16::from_le(ring.available_entry(cursor.at).ok()?.load());
                    Some((ring.descriptor(head).ok()?.address, cursor.at.wrapping_add(1)))
                }
                Ring::Packed(ring) => {
                    let place = Place(cursor.at);
                    Some((ring.descriptor(place).ok()?.address, place.advanced(1, self.size).0))
                }
            };
            let Some((address, next)) = begin() else { break };
            cursor.at = next;
            if let Ok(piece) = self.table.guest(address, BEGIN) {
                prefetch(&piece, access);
            }
        }
    }

    /// Reads the chain at the cursor into `chain`, and moves the cursor behind it. Returns `None` if the driver has
    /// made none available there.
    ///
    /// # Errors
    ///
    /// See [`RingError`]: indices that do not exist, loops, and addresses that are not in the memory table.
    pub fn take(&self, cursor: &mut Cursor, chain: &mut Chain<'m>) -> Result<Option<Taken>, RingError> {
        if !self.has_next(cursor)? {
            return Ok(None);
        }
        chain.clear();
        let taken = match &self.ring {
            Ring::Split(ring) => {
                let head = u16::from_le(ring.available_entry(cursor.at)?.load());
                self.split_chain(ring, head, chain)?;
                cursor.at = cursor.at.wrapping_add(1);
                Taken { head, id: head, descriptors: chain.descriptors }
            }
            Ring::Packed(ring) => {
                let place = Place(cursor.at);
                let id = self.packed_chain(ring, place, chain)?;
                cursor.at = place.advanced(chain.descriptors, self.size).0;
                Taken { head: place.index(), id, descriptors: chain.descriptors }
            }
        };
        Ok(Some(taken))
    }

    /// Returns chains to the driver, each with the number of bytes written to its buffers. `given` is the position at
    /// which the first is returned. Returns the position after the last, and whether the driver wants to be notified.
    ///
    /// # Errors
    ///
    /// The position is not in the ring.
    pub fn publish(&self, given: u16, used: &[(Taken, u32)]) -> Result<(u16, bool), RingError> {
        match &self.ring {
            Ring::Split(ring) => {
                let mut slot = given;
                for (taken, bytes) in used {
                    let entry = u64::from(taken.id) | u64::from(*bytes) << 32;
                    ring.used_entry(slot)?.store(entry.to_le());
                    slot = slot.wrapping_add(1);
                }
                index(&ring.parts.used)?.store(slot.to_le(), Ordering::Release);
                Ok((slot, split::wants_notification(&ring.parts.available)?))
            }
            Ring::Packed(ring) => {
                let mut place = Place(given);
                let mut first = None;
                for (taken, bytes) in used {
                    // Without WRITE, the length has no meaning.
                    let flags = used_flags(place) | if *bytes > 0 { WRITE } else { 0 };
                    ring.set_rest(place, *bytes, taken.id)?;
                    // The driver reads in order, so it sees none of these until it sees the first.
                    match first {
                        None => first = Some((place, flags)),
                        Some(_) => ring.set_flags(place, flags)?,
                    }
                    place = place.advanced(taken.descriptors, self.size);
                }
                if let Some((place, flags)) = first {
                    ring.set_flags(place, flags)?;
                }
                Ok((place.0, packed::wants_notification(&ring.parts.available)?))
            }
        }
    }

    /// Returns the index of the used ring of a split ring. After a reconnect, a device continues from there. A packed
    /// ring has no such index.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn used_index(&self) -> Result<Option<u16>, RingError> {
        match &self.ring {
            Ring::Split(ring) => Ok(Some(u16::from_le(index(&ring.parts.used)?.load(Ordering::Acquire)))),
            Ring::Packed(_) => Ok(None),
        }
    }

    /// Tells the driver whether to suppress its kicks.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn suppress_notifications(&self, quiet: bool) -> Result<(), RingError> {
        match &self.ring {
            Ring::Split(ring) => split::suppress_notifications(&ring.parts.used, quiet),
            Ring::Packed(ring) => packed::suppress_notifications(&ring.parts.used, quiet),
        }
    }

    // --- chains ---

    fn split_chain(&self, ring: &Split<'m>, head: u16, chain: &mut Chain<'m>) -> Result<(), RingError> {
        let size = self.size;
        if head >= size {
            return Err(RingError::NoSuchHead { index: head, size });
        }
        let mut at = head;
        for _ in 0..size {
            let split::Descriptor { address, bytes, flags, next } = ring.descriptor(at)?;
            chain.descriptors += 1;
            self.add(Entry { head, index: at, address, bytes, flags }, chain)?;
            if flags & NEXT == 0 {
                return Ok(());
            }
            if next >= size {
                return Err(RingError::NoSuchNext { from: at, next, size });
            }
            at = next;
        }
        Err(RingError::Loop(head))
    }

    /// Returns the id of the buffer, which is in the last descriptor of the chain.
    fn packed_chain(&self, ring: &Packed<'m>, first: Place, chain: &mut Chain<'m>) -> Result<u16, RingError> {
        let (head, mut place) = (first.index(), first);
        for _ in 0..self.size {
            let packed::Descriptor { address, bytes, id, flags } = ring.descriptor(place)?;
            chain.descriptors += 1;
            self.add(Entry { head, index: place.index(), address, bytes, flags }, chain)?;
            if flags & NEXT == 0 {
                return Ok(id);
            }
            place = place.advanced(1, self.size);
        }
        Err(RingError::Endless(head))
    }

    /// Adds the buffer of a descriptor to the chain, or the buffers of its indirect table.
    #[inline]
    fn add(&self, entry: Entry, chain: &mut Chain<'m>) -> Result<(), RingError> {
        if entry.flags & INDIRECT == 0 { self.buffer(entry, chain) } else { self.indirect(entry, chain) }
    }

    /// Adds the buffers of an indirect table to the chain. It is kept apart, because it would make the loops over
    /// descriptors slower.
    #[cold]
    fn indirect(&self, entry: Entry, chain: &mut Chain<'m>) -> Result<(), RingError> {
        let Entry { index, address, bytes, flags, .. } = entry;
        if !self.has_indirect {
            return Err(RingError::Flags { index, flags });
        }
        if flags & NEXT != 0 {
            return Err(RingError::Continued(index));
        }
        let unit = u32::try_from(DESCRIPTOR_BYTES).unwrap_or(u32::MAX);
        let count = bytes / unit;
        if bytes % unit != 0 || !(1..=INDIRECT_LIMIT).contains(&count) {
            return Err(RingError::IndirectSize { index, bytes });
        }
        let mut at = 0;
        for _ in 0..count {
            // The table may be in several regions, but not a single descriptor.
            let address = address.saturating_add(u64::from(at * unit));
            let table = self.table.guest(address, DESCRIPTOR_BYTES)?;
            if table.len() < DESCRIPTOR_BYTES {
                return Err(Outside { space: "guest", address, bytes: unit.into() }.into());
            }
            chain.indirect += 1;
            match &self.ring {
                Ring::Split(_) => {
                    let split::Descriptor { address, bytes, flags, next } =
                        split::Descriptor::read(&table, 0)?;
                    if flags & INDIRECT != 0 || (flags & NEXT != 0 && u32::from(next) >= count) {
                        return Err(RingError::IndirectChain(index));
                    }
                    self.buffer(Entry { address, bytes, flags, ..entry }, chain)?;
                    if flags & NEXT == 0 {
                        return Ok(());
                    }
                    at = u32::from(next);
                }
                // All of the table is one chain, and WRITE is the only flag that has a meaning in it.
                Ring::Packed(_) => {
                    let packed::Descriptor { address, bytes, flags, .. } =
                        packed::Descriptor::read(&table, 0)?;
                    self.buffer(Entry { address, bytes, flags, ..entry }, chain)?;
                    at += 1;
                }
            }
        }
        match &self.ring {
            Ring::Split(_) => Err(RingError::IndirectChain(index)),
            Ring::Packed(_) => Ok(()),
        }
    }

    /// Appends the memory of a buffer to the chain, region by region. There are at most as many pieces as regions.
    #[inline]
    fn buffer(&self, entry: Entry, chain: &mut Chain<'m>) -> Result<(), RingError> {
        let is_write = entry.flags & WRITE != 0;
        if !is_write && !chain.writable.is_empty() {
            return Err(RingError::Order(entry.head));
        }
        let into: &mut Vec<VolatileSlice<'m>> =
            if is_write { &mut chain.writable } else { &mut chain.readable };
        let (mut at, mut left) = (entry.address, usize::try_from(entry.bytes).unwrap_or(usize::MAX));
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

/// A descriptor of either layout. `head` and `index` are for errors; in an indirect table, `index` is that of the
/// descriptor that refers to the table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    head: u16,
    index: u16,
    address: u64,
    bytes: u32,
    flags: u16,
}

// === impl Cursor ===

impl Cursor {
    /// Returns the cursor for a position, of which nothing is known yet.
    #[must_use]
    pub const fn new(at: u16) -> Self {
        Self { at, seen: at }
    }

    /// Returns the position.
    #[must_use]
    pub const fn at(self) -> u16 {
        self.at
    }
}
