//! The driver's side of a virtqueue: offers buffers of its memory, and takes back what the device has used.
//!
//! One descriptor, one buffer: a chain is never needed for what is sent here.

use std::sync::atomic::Ordering;

use super::{Descriptor, Parts, RingError, WRITE, index, suppress_notifications, wants_notification};

/// A ring in memory of our own, which the device may write to.
#[derive(Debug)]
pub struct Driver<'m> {
    parts: Parts<'m>,
    size: u16,
    next_available: u16,
    next_used: u16,
    /// How far the device is known to be.
    seen_used: u16,
    free: Vec<u16>,
    /// The buffers that the device has, by descriptor: their length.
    with_device: Vec<Option<u32>>,
}

/// A buffer that the device has given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Which one: the id it was offered under.
    pub id: u16,
    /// How many bytes the device says it wrote, at most the buffer's.
    pub bytes: u32,
}

// === impl Driver ===

impl<'m> Driver<'m> {
    /// An empty ring of `size` descriptors. The memory is set to zero.
    ///
    /// # Errors
    ///
    /// The size is none, or the memory is too short.
    pub fn new(parts: Parts<'m>, size: u16) -> Result<Self, RingError> {
        super::checked_size(size.into())?;
        parts.check(size)?;
        for part in [parts.descriptors, parts.available, parts.used] {
            part.copy_from(&vec![0_u8; part.len()]);
        }
        Ok(Self {
            parts,
            size,
            next_available: 0,
            next_used: 0,
            seen_used: 0,
            free: (0..size).rev().collect(),
            with_device: vec![None; size.into()],
        })
    }

    /// Offers a buffer at a guest address, for the device to write or to read, under an id of [`Driver::free_id`]. The
    /// device sees it after [`Driver::publish`].
    ///
    /// # Errors
    ///
    /// None that a peer can cause.
    pub fn offer(&mut self, id: u16, address: u64, bytes: u32, is_write: bool) -> Result<(), RingError> {
        let flags = if is_write { WRITE } else { 0 };
        self.parts.set_descriptor(id, Descriptor { address, bytes, flags, next: 0 })?;
        self.parts.available_entry(self.size, self.next_available)?.store(id.to_le());
        self.next_available = self.next_available.wrapping_add(1);
        if let Some(slot) = self.with_device.get_mut(usize::from(id)) {
            *slot = Some(bytes);
        }
        Ok(())
    }

    /// An id that the device does not have, to be offered; `None` if it has them all.
    pub fn free_id(&mut self) -> Option<u16> {
        self.free.pop()
    }

    /// Whether [`Driver::free_id`] has one.
    #[must_use]
    pub const fn has_free_id(&self) -> bool {
        !self.free.is_empty()
    }

    /// Publishes everything offered. Returns whether the device wants to be notified.
    ///
    /// # Errors
    ///
    /// None that a peer can cause.
    pub fn publish(&self) -> Result<bool, RingError> {
        index(&self.parts.available)?.store(self.next_available.to_le(), Ordering::Release);
        wants_notification(&self.parts.used)
    }

    /// The next buffer that the device has given back, if there is one.
    ///
    /// # Errors
    ///
    /// The device gives back what it did not have, or claims more bytes than there are.
    pub fn take_used(&mut self) -> Result<Option<Used>, RingError> {
        if self.seen_used == self.next_used {
            let to = u16::from_le(index(&self.parts.used)?.load(Ordering::Acquire));
            let most = self.in_flight();
            if to.wrapping_sub(self.next_used) > most {
                return Err(RingError::Jumped { ring: "used", from: self.next_used, to, most });
            }
            self.seen_used = to;
            if to == self.next_used {
                return Ok(None);
            }
        }
        let entry = u64::from_le(self.parts.used_entry(self.size, self.next_used)?.load());
        let [i0, i1, i2, i3, b0, b1, b2, b3] = entry.to_le_bytes();
        let (id, claimed) = (u32::from_le_bytes([i0, i1, i2, i3]), u32::from_le_bytes([b0, b1, b2, b3]));
        let index = u16::try_from(id).map_err(|_| RingError::NeverOffered(id))?;
        let held = self.with_device.get_mut(usize::from(index)).and_then(Option::take);
        let bytes = held.ok_or(RingError::NeverOffered(id))?;
        if claimed > bytes {
            return Err(RingError::Overrun { id, claimed, bytes });
        }
        self.next_used = self.next_used.wrapping_add(1);
        Ok(Some(Used { id: index, bytes: claimed }))
    }

    /// Frees an id that came back: one that is offered again at once was never free.
    pub fn give_back(&mut self, id: u16) {
        self.free.push(id);
    }

    /// Whether something has come back that was not taken yet.
    ///
    /// # Errors
    ///
    /// None that a peer can cause.
    pub fn has_used(&self) -> Result<bool, RingError> {
        Ok(u16::from_le(index(&self.parts.used)?.load(Ordering::Acquire)) != self.next_used)
    }

    /// Whether the device has written to the ring: it gave something back, or says that it wants no kicks. A sign that it
    /// has the memory; that there is none tells nothing.
    ///
    /// # Errors
    ///
    /// None that a peer can cause.
    pub fn is_written_to(&self) -> Result<bool, RingError> {
        let has_begun = index(&self.parts.used)?.load(Ordering::Acquire) != 0;
        Ok(has_begun || !wants_notification(&self.parts.used)?)
    }

    /// How many buffers the device has.
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        self.next_available.wrapping_sub(self.next_used)
    }

    /// Tells the device whether its calls are not needed.
    ///
    /// # Errors
    ///
    /// None that a peer can cause.
    pub fn suppress_notifications(&self, quiet: bool) -> Result<(), RingError> {
        suppress_notifications(&self.parts.available, quiet)
    }
}
