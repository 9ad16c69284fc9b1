//! The driver's side of a virtqueue: offers buffers in its own memory, and takes back those that the device has used.
//!
//! Each buffer has one descriptor. The frames sent here never need a chain of several.

use std::sync::atomic::Ordering;

use super::{Descriptor, Parts, RingError, WRITE, index, suppress_notifications, wants_notification};

/// A ring in this process's memory, to which the device may write.
#[derive(Debug)]
pub struct Driver<'m> {
    parts: Parts<'m>,
    size: u16,
    next_available: u16,
    next_used: u16,
    /// The index of the used ring when it was last read.
    seen_used: u16,
    free: Vec<u16>,
    /// The length of each buffer that the device holds, by descriptor.
    with_device: Vec<Option<u32>>,
}

/// A buffer that the device has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// The id under which the buffer was offered.
    pub id: u16,
    /// How many bytes the device claims to have written. At most the length of the buffer.
    pub bytes: u32,
}

// === impl Driver ===

impl<'m> Driver<'m> {
    /// Creates an empty ring of `size` descriptors and sets its memory to zero.
    ///
    /// # Errors
    ///
    /// The size is invalid, or the memory is too short.
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

    /// Offers a buffer at a guest address, for the device to write or to read. The id must come from
    /// [`Driver::free_id`], or from a buffer that the device has just returned. The device sees the buffer after
    /// [`Driver::publish`].
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
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

    /// Takes an id under which a buffer can be offered. Returns `None` if none is free.
    pub fn free_id(&mut self) -> Option<u16> {
        self.free.pop()
    }

    /// Returns whether [`Driver::free_id`] would return an id.
    #[must_use]
    pub const fn has_free_id(&self) -> bool {
        !self.free.is_empty()
    }

    /// Publishes everything offered. Returns whether the device wants to be notified.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn publish(&self) -> Result<bool, RingError> {
        index(&self.parts.available)?.store(self.next_available.to_le(), Ordering::Release);
        wants_notification(&self.parts.used)
    }

    /// Returns the next buffer that the device has returned, if there is one.
    ///
    /// # Errors
    ///
    /// The device returned a buffer that it did not hold, or claims more bytes than the buffer has.
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

    /// Frees the id of a returned buffer. An id that is offered again at once need not be freed.
    pub fn give_back(&mut self, id: u16) {
        self.free.push(id);
    }

    /// Returns whether the device has returned a buffer that was not taken yet.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn has_used(&self) -> Result<bool, RingError> {
        Ok(u16::from_le(index(&self.parts.used)?.load(Ordering::Acquire)) != self.next_used)
    }

    /// Returns whether the device has written to the ring: it has returned a buffer, or it suppresses kicks. Either is
    /// a sign that it has mapped the memory. The absence of both proves nothing.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn is_written_to(&self) -> Result<bool, RingError> {
        let has_begun = index(&self.parts.used)?.load(Ordering::Acquire) != 0;
        Ok(has_begun || !wants_notification(&self.parts.used)?)
    }

    /// Returns how many buffers the device holds.
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        self.next_available.wrapping_sub(self.next_used)
    }

    /// Tells the device whether to suppress its calls.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn suppress_notifications(&self, quiet: bool) -> Result<(), RingError> {
        suppress_notifications(&self.parts.available, quiet)
    }
}
