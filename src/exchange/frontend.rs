//! The frontend: owns the memory, sets the backend up, sends frames and verifies what comes back.
//!
//! It does what QEMU and virtio_user do, in virtio_user's order. If the backend has REPLY_ACK, every step is
//! acknowledged, so that a refusal can be recognized. If it has not, each important step is followed by a request that
//! the backend must answer, as in QEMU. The frontend uses only the features, protocol features, queues and memory
//! slots that the backend has offered.

mod device;
mod layout;
mod memory;
mod queue;
mod traffic;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::channel::{Channel, ChannelError};
use super::message::{MemoryRegion, Message, Payload, Request, VringState, feature, protocol, vring_fd};
use super::ring::{Layout, RingError};
use hugeprobe_linux::errno::named;

pub use memory::{Area, Memory, Piece};
pub use traffic::{Job, Outcome, Pair, Peer, Waiting};

/// The frontend of one connection.
#[derive(Debug)]
pub struct Frontend {
    channel: Channel,
    negotiated: Negotiated,
    /// The virtio features that the backend offers.
    offered: u64,
    /// How long the backend may take for one answer.
    patience: Duration,
}

/// What both sides negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Negotiated {
    /// The virtio features.
    pub features: u64,
    /// The protocol features.
    pub protocol_features: u64,
    /// The number of queue pairs that the backend has, if it reports one.
    pub queue_pairs: Option<u64>,
    /// The number of regions that the backend accepts, if it reports one.
    pub memory_slots: Option<u64>,
}

/// An error that ends a session.
#[derive(Debug, thiserror::Error)]
pub enum FrontendError {
    /// The connection failed, or the backend sent something that is not a valid message.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The backend refuses a request.
    #[error("the backend refuses {request} (it answers {answer})")]
    Refused {
        /// The refused request.
        request: Request,
        /// The answer, which is not 0.
        answer: u64,
    },
    /// The backend closed the connection after a request.
    #[error("the backend hangs up on {0}")]
    HungUp(Request),
    /// The answer has an unexpected payload.
    #[error("the answer to {request} is {answer}")]
    BadAnswer {
        /// The request.
        request: Request,
        /// The payload of the answer.
        answer: String,
    },
    /// The backend does not offer a feature or protocol feature that the call requires.
    #[error("the backend does not offer {0}")]
    Lacks(&'static str),
    /// The backend has no queue pair.
    #[error("the backend offers no queue pair: it answers 0 to GET_QUEUE_NUM")]
    NoQueuePair,
    /// The memory has more regions than the backend accepts.
    #[error("the backend accepts {slots} memory regions; {needed} are needed (GET_MAX_MEM_SLOTS)")]
    TooFewSlots {
        /// The number of regions that the backend accepts.
        slots: u64,
        /// The number of regions of the memory.
        needed: usize,
    },
    /// The backend made a vring invalid.
    #[error("vring {index}: {source}")]
    Ring {
        /// The index of the vring.
        index: u32,
        /// What is wrong with the vring.
        source: RingError,
    },
    /// The queues do not fit in the memory.
    #[error("too little memory for a pair of queues of {size} descriptors and their buffers")]
    TooLittleMemory {
        /// The number of descriptors of a queue.
        size: u16,
    },
    /// An eventfd failed.
    #[error("eventfd: {}", named(.0))]
    Event(io::Error),
}

/// The virtio features to use with a device of any type, if the backend offers them.
const FEATURES: u64 = feature::VERSION_1 | feature::PROTOCOL_FEATURES;
/// The virtio features to use with a network device, if the backend offers them.
const NETWORK_FEATURES: u64 = FEATURES | feature::MRG_RXBUF;
/// The protocol features to use, if the backend offers them. STATUS is missing because the frontend would have to keep
/// the device status up to date.
const PROTOCOL_FEATURES: u64 = protocol::MQ | protocol::REPLY_ACK | protocol::CONFIGURE_MEM_SLOTS;

// === impl Frontend ===

impl Frontend {
    /// Starts a session with split rings: sets the owner and negotiates features and protocol features. `patience` is
    /// the time limit for each answer.
    ///
    /// # Errors
    ///
    /// The backend does not answer, refuses a step, or hangs up.
    pub fn new(channel: Channel, patience: Duration) -> Result<Self, FrontendError> {
        Self::with_rings(Layout::Split, channel, patience)
    }

    /// Starts a session with rings of a layout. If a backend offers both, QEMU and virtio_user use split rings too
    /// unless they are asked for packed ones.
    ///
    /// # Errors
    ///
    /// The same as those of [`Frontend::new`], or a network device that does not offer packed rings.
    pub fn with_rings(layout: Layout, channel: Channel, patience: Duration) -> Result<Self, FrontendError> {
        let mut this = Self { channel, negotiated: Negotiated::default(), offered: 0, patience };
        this.tell(Request::SetOwner, Payload::None, &[])?;
        this.offered = this.ask_number(Request::GetFeatures)?;
        if this.offered & feature::PROTOCOL_FEATURES != 0 {
            let offered = this.ask_number(Request::GetProtocolFeatures)?;
            let wanted = offered & PROTOCOL_FEATURES;
            this.tell(Request::SetProtocolFeatures, Payload::U64(wanted), &[])?;
            this.negotiated.protocol_features = wanted;
        }
        if this.has(protocol::MQ) {
            this.negotiated.queue_pairs = Some(this.ask_number(Request::GetQueueNum)?);
        }
        if this.has(protocol::CONFIGURE_MEM_SLOTS) {
            this.negotiated.memory_slots = Some(this.ask_number(Request::GetMaxMemSlots)?);
        }
        this.negotiated.features = this.offered & if this.is_network() { NETWORK_FEATURES } else { FEATURES };
        if layout == Layout::Packed && this.is_network() {
            if this.offered & feature::RING_PACKED == 0 {
                return Err(FrontendError::Lacks("packed rings (VIRTIO_F_RING_PACKED)"));
            }
            this.negotiated.features |= feature::RING_PACKED;
        }
        this.tell(Request::SetFeatures, Payload::U64(this.negotiated.features), &[])?;
        Ok(this)
    }

    /// Returns what both sides negotiated.
    #[must_use]
    pub const fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Returns the virtio features that the backend offers.
    #[must_use]
    pub const fn offered(&self) -> u64 {
        self.offered
    }

    /// Returns whether the backend is known to be a network device. With any other backend, memory may be shared but
    /// no queue may be started.
    #[must_use]
    pub const fn is_network(&self) -> bool {
        device::is_network(self.offered)
    }

    /// Sends the backend a memory table, which replaces the previous one.
    ///
    /// # Errors
    ///
    /// The backend has too few memory slots, refuses the table, or hangs up.
    pub fn set_memory(
        &mut self,
        regions: &[MemoryRegion],
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), FrontendError> {
        if let Some(slots) = self.negotiated.memory_slots.filter(|slots| *slots < regions.len() as u64) {
            return Err(FrontendError::TooFewSlots { slots, needed: regions.len() });
        }
        self.tell(Request::SetMemTable, Payload::Regions(regions.to_vec()), fds)?;
        self.confirm(Request::SetMemTable)
    }

    /// Adds one region to the backend's memory. Requires CONFIGURE_MEM_SLOTS.
    ///
    /// # Errors
    ///
    /// CONFIGURE_MEM_SLOTS was not negotiated, or the backend refuses the region or hangs up.
    pub fn add_region(&mut self, region: MemoryRegion, fd: BorrowedFd<'_>) -> Result<(), FrontendError> {
        if !self.has(protocol::CONFIGURE_MEM_SLOTS) {
            return Err(FrontendError::Lacks("CONFIGURE_MEM_SLOTS"));
        }
        self.tell(Request::AddMemReg, Payload::Region(region), &[fd])?;
        self.confirm(Request::AddMemReg)
    }

    /// Removes one region from the backend's memory. Requires CONFIGURE_MEM_SLOTS.
    ///
    /// # Errors
    ///
    /// The same as those of [`Frontend::add_region`].
    pub fn remove_region(&mut self, region: MemoryRegion) -> Result<(), FrontendError> {
        if !self.has(protocol::CONFIGURE_MEM_SLOTS) {
            return Err(FrontendError::Lacks("CONFIGURE_MEM_SLOTS"));
        }
        self.tell(Request::RemMemReg, Payload::Region(region), &[])?;
        self.confirm(Request::RemMemReg)
    }

    /// Sets up and enables both queues of a pair: vrings 0 and 1.
    ///
    /// The backend reports with GET_QUEUE_NUM how many queues it has, and a frontend must not use more (vhost-user
    /// specification, "Multiple queue support"). For network devices, DPDK and QEMU count queue pairs.
    ///
    /// # Errors
    ///
    /// The backend has no queue pair, refuses a step, or hangs up.
    pub fn start(&mut self, pair: &Pair<'_>) -> Result<(), FrontendError> {
        if self.negotiated.queue_pairs == Some(0) {
            return Err(FrontendError::NoQueuePair);
        }
        for queue in pair.queues() {
            let index = queue.addresses.index;
            let vring = |num| Payload::Vring(VringState { index, num });
            let fd = || vring_fd(u8::try_from(index).unwrap_or(u8::MAX), true);
            self.tell(Request::SetVringNum, vring(queue.size.into()), &[])?;
            let start = queue.layout.start();
            self.tell(Request::SetVringBase, vring(queue.layout.base(start, start)), &[])?;
            self.tell(Request::SetVringAddr, Payload::Addresses(queue.addresses), &[])?;
            self.tell(Request::SetVringCall, fd(), &[queue.call.as_fd()])?;
            self.tell(Request::SetVringKick, fd(), &[queue.kick.as_fd()])?;
        }
        if self.negotiated.features & feature::PROTOCOL_FEATURES != 0 {
            self.enable(pair, true)?;
        }
        self.confirm(Request::SetVringEnable)?;
        pair.queues().into_iter().try_for_each(queue::Queue::publish)
    }

    /// Disables and stops both queues. Returns the answers to GET_VRING_BASE: the position at which each stopped.
    ///
    /// # Errors
    ///
    /// The backend does not answer, refuses a step, or hangs up.
    pub fn stop(&mut self, pair: &Pair<'_>) -> Result<[u32; 2], FrontendError> {
        if self.negotiated.features & feature::PROTOCOL_FEATURES != 0 {
            self.enable(pair, false)?;
        }
        let mut bases = [0; 2];
        for (base, queue) in bases.iter_mut().zip(pair.queues()) {
            let index = queue.addresses.index;
            let request = Request::GetVringBase;
            match self.ask(request, Payload::Vring(VringState { index, num: 0 }))? {
                Payload::Vring(state) if state.index == index => *base = state.num,
                other => return Err(bad_answer(request, &other)),
            }
        }
        Ok(bases)
    }

    /// Returns the connection.
    pub const fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    fn enable(&mut self, pair: &Pair<'_>, enable: bool) -> Result<(), FrontendError> {
        for queue in pair.queues() {
            let state = VringState { index: queue.addresses.index, num: enable.into() };
            self.tell(Request::SetVringEnable, Payload::Vring(state), &[])?;
        }
        Ok(())
    }

    const fn has(&self, bit: u64) -> bool {
        self.negotiated.protocol_features & bit != 0
    }

    /// Sends a request that otherwise has no answer, and waits for the acknowledgement if REPLY_ACK was negotiated.
    fn tell(
        &mut self,
        request: Request,
        payload: Payload,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), FrontendError> {
        let deadline = Instant::now() + self.patience;
        let mut message = Message::request(request, payload);
        if !self.has(protocol::REPLY_ACK) {
            return self.channel.send(&message, fds, deadline).map_err(hung_up(request));
        }
        message.needs_reply = true;
        match self.channel.ask(&message, fds, deadline).map_err(hung_up(request))? {
            Payload::U64(0) => Ok(()),
            Payload::U64(answer) => Err(FrontendError::Refused { request, answer }),
            other => Err(bad_answer(request, &other)),
        }
    }

    /// Waits until the backend has processed `request`: without REPLY_ACK, by a second request that it must answer.
    fn confirm(&mut self, request: Request) -> Result<(), FrontendError> {
        if self.has(protocol::REPLY_ACK) {
            return Ok(());
        }
        match self.ask_number(Request::GetFeatures) {
            Err(FrontendError::HungUp(_)) => Err(FrontendError::HungUp(request)),
            answer => answer.map(drop),
        }
    }

    fn ask(&mut self, request: Request, payload: Payload) -> Result<Payload, FrontendError> {
        let deadline = Instant::now() + self.patience;
        self.channel.ask(&Message::request(request, payload), &[], deadline).map_err(hung_up(request))
    }

    fn ask_number(&mut self, request: Request) -> Result<u64, FrontendError> {
        match self.ask(request, Payload::None)? {
            Payload::U64(number) => Ok(number),
            other => Err(bad_answer(request, &other)),
        }
    }
}

// === helpers ===

fn hung_up(request: Request) -> impl Fn(ChannelError) -> FrontendError {
    move |error| match error {
        ChannelError::Closed => FrontendError::HungUp(request),
        error => error.into(),
    }
}

fn bad_answer(request: Request, answer: &Payload) -> FrontendError {
    FrontendError::BadAnswer { request, answer: format!("{answer:?}") }
}
