//! What the backend knows of one vring, message by message.

use std::os::fd::OwnedFd;

use crate::exchange::message::VringAddresses;
use crate::exchange::ring::{Device, RingError};
use crate::exchange::table::Table;
use crate::linux::event::Event;

/// One vring. It runs once it has a size, addresses and a kick, with a descriptor or without.
#[derive(Debug, Default)]
pub(super) struct Vring {
    /// 0: the driver did not set it up, and it is left alone.
    pub(super) size: Option<u16>,
    pub(super) addresses: Option<VringAddresses>,
    /// `None`: stopped. A kick without a descriptor means that the ring is to be polled.
    pub(super) kick: Option<Option<Event>>,
    pub(super) call: Option<Event>,
    /// Kept for the peer's sake: nothing is ever signalled there, an error ends the session.
    pub(super) err: Option<OwnedFd>,
    /// What SET_VRING_ENABLE said; it may come before SET_FEATURES tells whether it is needed.
    pub(super) enabled: Option<bool>,
    /// How many chains were taken, and how many given back: both count on and on, within 16 bits.
    pub(super) taken: u16,
    pub(super) given: u16,
    /// Whether the used ring's index was looked up since the ring started.
    pub(super) is_placed: bool,
}

// === impl Vring ===

impl Vring {
    /// Finds the ring in memory, if it runs and there is memory.
    ///
    /// # Errors
    ///
    /// It is not where its addresses say, or not there any more.
    pub(super) fn device<'m>(&mut self, table: &'m Table) -> Result<Option<Device<'m>>, RingError> {
        let (Some(size @ 1..), Some(addresses), Some(_)) = (self.size, &self.addresses, &self.kick) else {
            return Ok(None);
        };
        // Vrings may be set up before the memory is, and must not lose it afterwards.
        if table.regions().is_empty() {
            return if self.is_placed { Err(RingError::NoMemory) } else { Ok(None) };
        }
        let device = Device::new(table, size, addresses)?;
        if !self.is_placed {
            self.given = device.used_index()?;
            self.is_placed = true;
        }
        Ok(Some(device))
    }

    /// Stops it, until the next kick descriptor: GET_VRING_BASE.
    pub(super) fn stop(&mut self) {
        self.kick = None;
        self.call = None;
        self.err = None;
        self.is_placed = false;
    }

    /// The event to wait for, if the ring runs and has one.
    pub(super) fn kick_event(&self) -> Option<&Event> {
        self.kick.as_ref().and_then(Option::as_ref)
    }

    /// Empties the kick; one that cannot be read any more is polled instead.
    pub(super) fn clear_kick(&mut self) {
        if self.kick_event().is_some_and(|kick| kick.clear().is_err()) {
            self.kick = Some(None);
        }
    }

    /// Notifies the driver. After a failure it is not notified again.
    pub(super) fn signal(&mut self) {
        if self.call.as_ref().is_some_and(|call| call.signal().is_err()) {
            self.call = None;
        }
    }
}
