//! The state of one vring at the backend, as set by the frontend's messages.

use std::os::fd::OwnedFd;

use crate::message::VringAddresses;
use crate::ring::{Device, Layout, RingError};
use crate::table::Table;
use hugeprobe_linux::event::Event;

/// One vring. It runs once it has a size, addresses and a kick. The kick may come with a descriptor or without.
#[derive(Debug, Default)]
pub(super) struct Vring {
    /// The number of descriptors. 0: the driver did not set the vring up, and the backend ignores it.
    pub(super) size: Option<u16>,
    pub(super) addresses: Option<VringAddresses>,
    /// `None` if the vring is stopped. `Some(None)` if the kick came without a descriptor: the ring must be polled.
    pub(super) kick: Option<Option<Event>>,
    pub(super) call: Option<Event>,
    /// Kept open for the frontend. The backend never signals it, because an error ends the session.
    pub(super) err: Option<OwnedFd>,
    /// The last SET_VRING_ENABLE, if there was one. It may arrive before SET_FEATURES decides whether it is required.
    pub(super) enabled: Option<bool>,
    /// Whether the two positions that follow are set, by SET_VRING_BASE or by a start without one.
    pub(super) has_base: bool,
    /// The position of the next chain to take: the number of chains taken from a split ring, wrapped around at 16
    /// bits, or a position in a packed ring.
    pub(super) taken: u16,
    /// The position at which the next chain is returned, in the same form.
    pub(super) given: u16,
    /// Whether the used ring's index was read since the vring was stopped or received new addresses.
    pub(super) is_placed: bool,
}

// === impl Vring ===

impl Vring {
    /// Returns the ring in the frontend's memory, or `None` if the vring does not run or there is no memory yet.
    ///
    /// # Errors
    ///
    /// The addresses do not lead to a valid ring for these features, or the memory was removed while the vring ran.
    pub(super) fn device<'m>(
        &mut self,
        table: &'m Table,
        features: u64,
    ) -> Result<Option<Device<'m>>, RingError> {
        let (Some(size @ 1..), Some(addresses), Some(_)) = (self.size, &self.addresses, &self.kick) else {
            return Ok(None);
        };
        // A vring may be set up before the memory table arrives. Losing the memory later is an error.
        if table.regions().is_empty() {
            return if self.is_placed { Err(RingError::NoMemory) } else { Ok(None) };
        }
        let device = Device::new(table, size, addresses, features)?;
        if !self.is_placed {
            if !self.has_base {
                let start = Layout::of(features).start();
                (self.taken, self.given, self.has_base) = (start, start, true);
            }
            // virtio_user sends base 0 again after a reconnect. Like DPDK's vhost library, continue with the first chain
            // that was not returned.
            if let Some(index) = device.used_index()?.filter(|index| *index != self.given) {
                (self.taken, self.given) = (index, index);
            }
            self.is_placed = true;
        }
        Ok(Some(device))
    }

    /// Stops the vring until the next SET_VRING_KICK. GET_VRING_BASE does this.
    pub(super) fn stop(&mut self) {
        self.kick = None;
        self.call = None;
        self.err = None;
        self.is_placed = false;
    }

    /// Returns the event to wait for, if the vring runs and has one.
    pub(super) fn kick_event(&self) -> Option<&Event> {
        self.kick.as_ref().and_then(Option::as_ref)
    }

    /// Resets the kick event. If it cannot be read, the ring is polled instead.
    pub(super) fn clear_kick(&mut self) {
        if self.kick_event().is_some_and(|kick| kick.clear().is_err()) {
            self.kick = Some(None);
        }
    }

    /// Notifies the driver. After a failure the driver is not notified again.
    pub(super) fn signal(&mut self) {
        if self.call.as_ref().is_some_and(|call| call.signal().is_err()) {
            self.call = None;
        }
    }
}
