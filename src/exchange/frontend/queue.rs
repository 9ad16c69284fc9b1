//! One queue at the frontend: a ring, its events, and a buffer for each descriptor.

use vm_memory::{Bytes as _, VolatileMemory as _};

use super::FrontendError;
use super::memory::{Area, Piece};
use crate::frame::LONGEST;
use crate::message::VringAddresses;
use crate::ring::{BEGIN, DESCRIPTOR_BYTES, Driver, Layout, Parts, RingError, Used};
use hugeprobe_linux::event::Event;
use hugeprobe_linux::map::{Access, prefetch};

/// One queue.
#[derive(Debug)]
pub(super) struct Queue<'m> {
    pub(super) addresses: VringAddresses,
    pub(super) size: u16,
    pub(super) layout: Layout,
    pub(super) kick: Event,
    pub(super) call: Event,
    pub(super) driver: Driver<'m>,
    pub(super) buffers: Vec<Piece<'m>>,
}

/// The length of a buffer in bytes, for the header and the frame.
pub(super) const BUFFER: usize = 2048;
/// The distance between two buffers in bytes. It is one cache line more than a buffer: otherwise the first bytes of
/// all buffers would share a few sets of the CPU cache.
const STRIDE: usize = BUFFER + LINE;
/// The size of a CPU cache line in bytes.
const LINE: usize = 64;
/// The alignment of rings in bytes. It is larger than required, as in guests.
const PAGE: usize = 4096;
// === impl Queue ===

impl<'m> Queue<'m> {
    pub(super) fn new(
        areas: &mut [Area<'m>],
        index: u32,
        size: u16,
        layout: Layout,
    ) -> Result<Self, FrontendError> {
        layout.checked_size(size.into()).map_err(|source| FrontendError::Ring { index, source })?;
        let too_little = || FrontendError::TooLittleMemory { size };
        let first = areas.first_mut().ok_or_else(too_little)?;
        let mut part = |bytes| first.take(bytes, PAGE).ok_or_else(too_little);
        let descriptors = part(DESCRIPTOR_BYTES * usize::from(size))?;
        let available = part(layout.available_bytes(size) + 2)?;
        let used = part(layout.used_bytes(size) + 2)?;
        let parts = Parts { descriptors: descriptors.memory, available: available.memory, used: used.memory };
        let buffers = (0..usize::from(size))
            .map(|number| {
                // Neighbouring buffers go to different regions, or to any region if that one is full.
                let at = number % areas.len().max(1);
                let (before, from) = areas.split_at_mut_checked(at)?;
                from.iter_mut().chain(before).find_map(|area| area.take(STRIDE, 64))
            })
            .collect::<Option<_>>()
            .ok_or_else(too_little)?;
        let [kick, call] = [new_event()?, new_event()?];
        Ok(Self {
            addresses: VringAddresses {
                index,
                flags: 0,
                descriptors: descriptors.user,
                available: available.user,
                used: used.user,
                log: 0,
            },
            size,
            layout,
            kick,
            call,
            driver: Driver::new(parts, size, layout)
                .map_err(|source| FrontendError::Ring { index, source })?,
            buffers,
        })
    }

    pub(super) fn failed(&self) -> impl Fn(RingError) -> FrontendError + use<> {
        let index = self.addresses.index;
        move |source| FrontendError::Ring { index, source }
    }

    pub(super) fn offer(&mut self, id: u16, bytes: usize, is_write: bool) -> Result<(), FrontendError> {
        let guest = self.buffers.get(usize::from(id)).map_or(0, |buffer| buffer.guest);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.driver.offer(id, guest, bytes, is_write).map_err(self.failed())
    }

    /// Writes a frame with an all-zero header to a buffer, and offers the buffer.
    pub(super) fn fill(&mut self, id: u16, header: usize, frame: &[u8]) -> Result<(), FrontendError> {
        let frame = frame.get(..LONGEST).unwrap_or(frame);
        if let Some(buffer) = self.buffers.get(usize::from(id)) {
            // These writes cannot fail: a buffer is longer than the header and the longest frame.
            let _ = buffer.memory.write_slice([0; 12].get(..header).unwrap_or_default(), 0);
            let _ = buffer.memory.write_slice(frame, header);
        }
        self.offer(id, header + frame.len(), false)
    }

    /// Makes the CPU load the first bytes of the next `most` returned buffers into its cache, so that the loads of
    /// several buffers overlap.
    pub(super) fn fetch(&mut self, most: u16) -> Result<(), FrontendError> {
        let failed = self.failed();
        let ids = self.driver.returned(most).map_err(failed)?;
        for buffer in ids.filter_map(|id| self.buffers.get(usize::from(id))) {
            fetch(buffer, Access::Read);
        }
        Ok(())
    }

    /// Frees the id of a returned buffer, into which a frame will be written.
    pub(super) fn give_back(&mut self, id: u16) {
        if let Some(buffer) = self.buffers.get(usize::from(id)) {
            fetch(buffer, Access::Write);
        }
        self.driver.give_back(id);
    }

    /// Returns the length of the frame in a used buffer, without its header.
    pub(super) fn length(&self, used: Used, header: usize) -> Result<usize, FrontendError> {
        let bytes = usize::try_from(used.bytes).unwrap_or(usize::MAX);
        bytes.checked_sub(header).ok_or_else(|| {
            let (bytes, least) = (bytes as u64, header as u64);
            self.failed()(RingError::TooShort { head: used.id, bytes, least })
        })
    }

    /// Copies the frame in a used buffer to `into`, without its header.
    pub(super) fn frame<'b>(
        &self,
        used: Used,
        header: usize,
        into: &'b mut [u8],
    ) -> Result<&'b [u8], FrontendError> {
        let length = self.length(used, header)?;
        let buffer = self
            .buffers
            .get(usize::from(used.id))
            .and_then(|buffer| buffer.memory.get_slice(header, length).ok());
        match (buffer, into.get_mut(..length)) {
            (Some(buffer), Some(into)) => {
                buffer.copy_to(into);
                Ok(into)
            }
            _ => Ok(&[]),
        }
    }

    pub(super) fn take_used(&mut self) -> Result<Option<Used>, FrontendError> {
        self.driver.take_used().map_err(self.failed())
    }

    pub(super) fn has_used(&self) -> Result<bool, FrontendError> {
        self.driver.has_used().map_err(self.failed())
    }

    pub(super) fn is_written_to(&self) -> Result<bool, FrontendError> {
        self.driver.is_written_to().map_err(self.failed())
    }

    /// Publishes the offered buffers to the backend, and kicks it unless it suppresses notifications.
    pub(super) fn publish(&self) -> Result<(), FrontendError> {
        if self.driver.publish().map_err(self.failed())? {
            self.kick.signal().map_err(FrontendError::Event)?;
        }
        Ok(())
    }
}

fn fetch(buffer: &Piece<'_>, access: Access) {
    if let Ok(begin) = buffer.memory.subslice(0, BEGIN) {
        prefetch(&begin, access);
    }
}

fn new_event() -> Result<Event, FrontendError> {
    use nix::sys::eventfd::{EfdFlags, EventFd};
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
    let event = event.map_err(|errno| FrontendError::Event(errno.into()))?;
    Event::new(event.into()).map_err(|why| FrontendError::Event(std::io::Error::other(why)))
}
