//! The driver's side of a virtqueue: offers buffers in its own memory, and takes back those that the device has used.
//!
//! Each buffer has one descriptor. The frames sent here never need a chain of several.

use std::sync::atomic::Ordering;

use super::packed::{self, Packed, Place, available_flags};
use super::split::{self, Descriptor, Split, index};
use super::{Layout, Parts, RingError, WRITE};

/// A ring in this process's memory, to which the device may write.
#[derive(Debug)]
pub struct Driver<'m> {
    ring: Ring<'m>,
    /// How many buffers the device holds, including those that are not published yet.
    in_flight: u16,
    free: Vec<u16>,
    /// The length of each buffer that the device holds, by its id.
    with_device: Vec<Option<u32>>,
}

#[derive(Debug)]
enum Ring<'m> {
    Split {
        ring: Split<'m>,
        /// The descriptors as they were last written, by id. The device only reads them, so a buffer that is offered again
        /// without a change keeps its descriptor, and the cache lines of the table stay where they are.
        written: Vec<Option<Descriptor>>,
        next_available: u16,
        next_used: u16,
        /// The index of the used ring when it was last read.
        seen_used: u16,
    },
    Packed {
        ring: Packed<'m>,
        next_available: Place,
        next_used: Place,
    },
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
    pub fn new(parts: Parts<'m>, size: u16, layout: Layout) -> Result<Self, RingError> {
        layout.checked_size(size.into())?;
        parts.check(layout, size)?;
        for part in [parts.descriptors, parts.available, parts.used] {
            part.copy_from(&vec![0_u8; part.len()]);
        }
        let ring = match layout {
            Layout::Split => {
                let written = vec![None; size.into()];
                let ring = Split { parts, size };
                Ring::Split { ring, written, next_available: 0, next_used: 0, seen_used: 0 }
            }
            Layout::Packed => Ring::Packed {
                ring: Packed { parts, size },
                next_available: Place::START,
                next_used: Place::START,
            },
        };
        Ok(Self { ring, in_flight: 0, free: (0..size).rev().collect(), with_device: vec![None; size.into()] })
    }

    /// Offers a buffer at a guest address, for the device to write or to read. The id must come from
    /// [`Driver::free_id`], or from a buffer that the device has just returned. The device sees the buffer after
    /// [`Driver::publish`]; in a packed ring it may see it before.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn offer(&mut self, id: u16, address: u64, bytes: u32, is_write: bool) -> Result<(), RingError> {
        let flags = if is_write { WRITE } else { 0 };
        match &mut self.ring {
            Ring::Split { ring, written, next_available, .. } => {
                let descriptor = Descriptor { address, bytes, flags, next: 0 };
                if let Some(written) = written.get_mut(usize::from(id))
                    && *written != Some(descriptor)
                {
                    ring.set_descriptor(id, descriptor)?;
                    *written = Some(descriptor);
                }
                ring.available_entry(*next_available)?.store(id.to_le());
                *next_available = next_available.wrapping_add(1);
            }
            Ring::Packed { ring, next_available, .. } => {
                ring.set_address(*next_available, address)?;
                ring.set_rest(*next_available, bytes, id)?;
                ring.set_flags(*next_available, flags | available_flags(*next_available))?;
                *next_available = next_available.advanced(1, ring.size);
            }
        }
        self.in_flight = self.in_flight.saturating_add(1);
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
        match &self.ring {
            Ring::Split { ring, next_available, .. } => {
                index(&ring.parts.available)?.store(next_available.to_le(), Ordering::Release);
                split::wants_notification(&ring.parts.used)
            }
            // The flags of each descriptor have published it.
            Ring::Packed { ring, .. } => packed::wants_notification(&ring.parts.used),
        }
    }

    /// Returns the next buffer that the device has returned, if there is one.
    ///
    /// # Errors
    ///
    /// The device returned a buffer that it did not hold, or claims more bytes than the buffer has.
    pub fn take_used(&mut self) -> Result<Option<Used>, RingError> {
        let (id, claimed) = match &mut self.ring {
            Ring::Split { ring, next_used, seen_used, .. } => {
                see_used(ring, *next_used, seen_used, self.in_flight)?;
                if *seen_used == *next_used {
                    return Ok(None);
                }
                let entry = u64::from_le(ring.used_entry(*next_used)?.load());
                let [i0, i1, i2, i3, b0, b1, b2, b3] = entry.to_le_bytes();
                *next_used = next_used.wrapping_add(1);
                (u32::from_le_bytes([i0, i1, i2, i3]), u32::from_le_bytes([b0, b1, b2, b3]))
            }
            Ring::Packed { ring, next_used, .. } => {
                if !ring.is_used(*next_used)? {
                    return Ok(None);
                }
                let descriptor = ring.descriptor(*next_used)?;
                *next_used = next_used.advanced(1, ring.size);
                // The length has a meaning only if the device has written to the buffer.
                let claimed = if descriptor.flags & WRITE != 0 { descriptor.bytes } else { 0 };
                (descriptor.id.into(), claimed)
            }
        };
        let index = u16::try_from(id).map_err(|_| RingError::NeverOffered(id))?;
        let held = self.with_device.get_mut(usize::from(index)).and_then(Option::take);
        let bytes = held.ok_or(RingError::NeverOffered(id))?;
        if claimed > bytes {
            return Err(RingError::Overrun { id, claimed, bytes });
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        Ok(Some(Used { id: index, bytes: claimed }))
    }

    /// Returns the ids of the buffers that the next calls of [`Driver::take_used`] return, at most `most`. They are a hint: the
    /// device may change them. Of a packed ring, none are returned.
    ///
    /// # Errors
    ///
    /// The index of the used ring is ahead by more than the buffers that the device holds.
    pub fn returned(&mut self, most: u16) -> Result<impl Iterator<Item = u16>, RingError> {
        let (ring, from, to) = match &mut self.ring {
            Ring::Split { ring, next_used, seen_used, .. } => {
                see_used(ring, *next_used, seen_used, self.in_flight)?;
                (Some(&*ring), *next_used, *seen_used)
            }
            Ring::Packed { .. } => (None, 0, 0),
        };
        let slots = (0..to.wrapping_sub(from).min(most)).map(move |ahead| from.wrapping_add(ahead));
        Ok(slots.filter_map(move |slot| {
            let [i0, i1, ..] = u64::from_le(ring?.used_entry(slot).ok()?.load()).to_le_bytes();
            Some(u16::from_le_bytes([i0, i1]))
        }))
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
        match &self.ring {
            Ring::Split { ring, next_used, .. } => {
                Ok(u16::from_le(index(&ring.parts.used)?.load(Ordering::Acquire)) != *next_used)
            }
            Ring::Packed { ring, next_used, .. } => ring.is_used(*next_used),
        }
    }

    /// Returns whether the device has written to the ring: it has returned a buffer, or it suppresses kicks. Either is
    /// a sign that it has mapped the memory. The absence of both proves nothing.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn is_written_to(&self) -> Result<bool, RingError> {
        match &self.ring {
            Ring::Split { ring, .. } => {
                let has_begun = index(&ring.parts.used)?.load(Ordering::Acquire) != 0;
                Ok(has_begun || !split::wants_notification(&ring.parts.used)?)
            }
            Ring::Packed { ring, next_used, .. } => {
                let has_begun = *next_used != Place::START || ring.is_used(*next_used)?;
                Ok(has_begun || !packed::wants_notification(&ring.parts.used)?)
            }
        }
    }

    /// Returns how many buffers the device holds.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Tells the device whether to suppress its calls.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn suppress_notifications(&self, quiet: bool) -> Result<(), RingError> {
        match &self.ring {
            Ring::Split { ring, .. } => split::suppress_notifications(&ring.parts.available, quiet),
            Ring::Packed { ring, .. } => packed::suppress_notifications(&ring.parts.available, quiet),
        }
    }
}

/// Reads the index of the used ring if everything up to `seen`, the index that was read last, has been taken.
fn see_used(ring: &Split<'_>, next: u16, seen: &mut u16, most: u16) -> Result<(), RingError> {
    if *seen == next {
        let to = u16::from_le(index(&ring.parts.used)?.load(Ordering::Acquire));
        if to.wrapping_sub(next) > most {
            return Err(RingError::Jumped { ring: "used", from: next, to, most });
        }
        *seen = to;
    }
    Ok(())
}
