//! The backend: takes the frontend's memory and works through its vrings.
//!
//! The loop is our own because frontends differ in the order of their messages: QEMU enables vrings before it sets
//! features, virtio_user sends new memory tables while traffic runs, kicks come with a descriptor or without. What a
//! message needs is looked for when it is needed, not when it arrives.

mod traffic;
mod vring;

use std::fmt;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use serde::Serialize;

use super::channel::{Channel, ChannelError, Envelope, wait};
use super::frame::Tally;
use super::message::{
    Config, Message, Payload, REGIONS_LIMIT, Request, VringAddresses, VringState, feature, parse_vring_fd,
    protocol,
};
use super::net::Format;
use super::ring::{Device, RingError, checked_size};
use super::table::{Pages, Table, TableError};
use crate::linux::event::Event;

use traffic::Worker;
pub use traffic::{Traffic, Work};
use vring::Vring;

/// What the backend is asked to be.
#[derive(Debug)]
pub struct Options {
    /// What the frontend's memory has to be.
    pub pages: Pages,
    /// What is done with the frames.
    pub work: Work,
    /// The virtio features to offer, of [`FEATURES`].
    pub features: u64,
    /// The protocol features to offer, of [`PROTOCOL_FEATURES`].
    pub protocol_features: u64,
}

/// Every virtio feature that the backend has.
pub const FEATURES: u64 = feature::VERSION_1 | feature::MRG_RXBUF | feature::PROTOCOL_FEATURES;
/// Every protocol feature that the backend has.
pub const PROTOCOL_FEATURES: u64 = protocol::MQ
    | protocol::REPLY_ACK
    | protocol::CONFIGURE_MEM_SLOTS
    | protocol::STATUS
    | protocol::RESET_DEVICE;

/// Somebody who looks on: the checks do.
pub trait Watch {
    /// A table was taken, or a region added: it is mapped, and not answered yet. `Err` refuses it, with the reason.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    fn table(&mut self, table: &Table, so_far: &Traffic) -> Result<(), String> {
        let _ = (table, so_far);
        Ok(())
    }

    /// A vring has its kick: from now on it is looked at.
    fn starting(&mut self, index: u32) {
        let _ = index;
    }

    /// A vring is about to be stopped.
    fn stopping(&mut self, index: u32, so_far: &Traffic) {
        let _ = (index, so_far);
    }
}

/// Nobody looks on.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Watch for Nobody {}

/// How a session ended without anybody's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The frontend hung up, after its vrings were stopped or before any ran.
    Closed,
    /// The frontend hung up while vrings ran.
    Abandoned,
    /// The time was up.
    Deadline,
}

/// A session that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The connection, or what came over it.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The memory.
    #[error("{request}: {source}")]
    Table {
        /// The message that brought it.
        request: Request,
        /// What is wrong with it.
        source: TableError,
    },
    /// A file of the table has become shorter.
    #[error("the memory was taken away: {0}")]
    Shrunk(TableError),
    /// A vring.
    #[error("vring {index}: {source}")]
    Ring {
        /// Which one.
        index: u32,
        /// What is wrong with it.
        source: RingError,
    },
    /// A message that is refused.
    #[error("{request}: {why}")]
    Refused {
        /// The message.
        request: Request,
        /// Why.
        why: String,
    },
}

/// What became of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The virtio features negotiated.
    pub features: u64,
    /// The protocol features negotiated.
    pub protocol_features: u64,
    /// How many memory tables were taken, added regions included.
    pub tables: u64,
    /// Frames and bytes.
    pub traffic: Traffic,
    /// What was seen of the frames, if they were looked at.
    pub tally: Option<Tally>,
}

/// The backend of one connection.
pub struct Backend<'a> {
    channel: Channel,
    options: Settings,
    watch: &'a mut dyn Watch,
    features: u64,
    protocol_features: u64,
    status: u64,
    table: Table,
    tables: u64,
    vrings: Vec<Vring>,
    worker: Worker,
}

#[derive(Debug)]
struct Settings {
    pages: Pages,
    features: u64,
    protocol_features: u64,
}

/// How a request that is not refused is answered.
enum Answer {
    /// With this, in any case.
    With(Payload),
    /// With success, if an answer was asked for.
    Done,
}

/// Queue pairs that are served.
const PAIRS: u64 = 8;
/// Messages that are looked at before the rings are again.
const MESSAGES: usize = 16;
/// Turns of the rings before the connection is looked at again.
const TURNS: usize = 16;
/// How long rings are looked at without a frame before the backend waits to be kicked.
const SPIN: Duration = Duration::from_micros(50);
/// How long is waited at most while a ring without a kick descriptor runs.
const NAP: Duration = Duration::from_millis(1);
/// How long an answer may take to be sent.
const ANSWER: Duration = Duration::from_secs(1);
/// `VIRTIO_CONFIG_S_DRIVER_OK`: the driver is ready.
const DRIVER_OK: u64 = 4;

// === impl Backend ===

impl<'a> Backend<'a> {
    /// A backend on a connected socket.
    pub fn new(channel: Channel, options: Options, watch: &'a mut dyn Watch) -> Self {
        let vrings = std::iter::repeat_with(Vring::default).take(2 * PAIRS as usize).collect();
        Self {
            channel,
            options: Settings {
                pages: options.pages,
                features: options.features & FEATURES,
                protocol_features: options.protocol_features & PROTOCOL_FEATURES,
            },
            watch,
            features: 0,
            protocol_features: 0,
            status: 0,
            table: Table::default(),
            tables: 0,
            vrings,
            worker: Worker::new(options.work),
        }
    }

    /// Serves the frontend until it hangs up or the deadline passes.
    ///
    /// # Errors
    ///
    /// What the frontend did that cannot be gone on with.
    pub fn serve(&mut self, deadline: Instant) -> Result<End, BackendError> {
        let mut last_frame = Instant::now();
        self.quieten(true)?;
        loop {
            if let Some(end) = self.converse()? {
                return Ok(end);
            }
            self.table.check_files().map_err(BackendError::Shrunk)?;
            let moved = self.turns()?;
            let now = Instant::now();
            if now >= deadline {
                return Ok(End::Deadline);
            }
            if moved > 0 {
                last_frame = now;
            } else if now.duration_since(last_frame) >= SPIN || !self.is_running() {
                self.rest(deadline)?;
                last_frame = Instant::now();
            }
        }
    }

    /// What became of the session so far.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            features: self.features,
            protocol_features: self.protocol_features,
            tables: self.tables,
            traffic: *self.worker.traffic(),
            tally: self.worker.tally(),
        }
    }

    /// The frontend's memory.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    // --- the rings ---

    /// Moves frames; how many.
    fn turns(&mut self) -> Result<u64, BackendError> {
        if self.protocol_features & protocol::STATUS != 0 && self.status & DRIVER_OK == 0 {
            return Ok(0);
        }
        let implied = self.features & feature::PROTOCOL_FEATURES == 0;
        let format = Format::of(self.features);
        let mut total = 0;
        for (pair, vrings) in (0_u32..).step_by(2).zip(self.vrings.as_chunks_mut().0) {
            let [receive, transmit] = vrings;
            if transmit.kick.is_none() && receive.kick.is_none() {
                continue;
            }
            for _ in 0..TURNS {
                let enabled = |vring: &Vring| vring.enabled.unwrap_or(implied);
                let (may_receive, may_transmit) = (enabled(receive), enabled(transmit));
                let moved = self
                    .worker
                    .turn(&self.table, format, [(&mut *receive, may_receive), (&mut *transmit, may_transmit)])
                    .map_err(|(place, source)| BackendError::Ring { index: pair + place, source })?;
                total += moved;
                if moved == 0 {
                    break;
                }
            }
        }
        Ok(total)
    }

    fn is_running(&self) -> bool {
        self.vrings.iter().any(|vring| vring.kick.is_some())
    }

    /// Waits for a kick or a message, having let the driver kick again, and looked once more since.
    fn rest(&mut self, deadline: Instant) -> Result<(), BackendError> {
        self.quieten(false)?;
        if self.turns()? == 0 {
            let polled = self.vrings.iter().any(|vring| vring.kick.is_some() && vring.kick_event().is_none());
            let until = if polled { deadline.min(Instant::now() + NAP) } else { deadline };
            // The beginning of a message must not be waited for until the deadline: the rest is due sooner.
            let until = self.channel.due().map_or(until, |due| until.min(due));
            let mut fds: Vec<_> = self
                .vrings
                .iter()
                .filter_map(|vring| vring.kick_event().map(|kick| (kick.as_fd(), PollFlags::POLLIN)))
                .collect();
            fds.push((self.channel.as_fd(), PollFlags::POLLIN));
            wait(&fds, until)?;
            // Much may have happened meanwhile.
            self.table.check_files().map_err(BackendError::Shrunk)?;
        }
        self.vrings.iter_mut().for_each(Vring::clear_kick);
        self.quieten(true)
    }

    /// Tells the drivers whether their kicks are not needed. A ring that is not in memory is found out elsewhere.
    fn quieten(&mut self, quiet: bool) -> Result<(), BackendError> {
        for (index, vring) in (0..).zip(&mut self.vrings) {
            if let Ok(Some(device)) = vring.device(&self.table) {
                device.set_quiet(quiet).map_err(|source| BackendError::Ring { index, source })?;
            }
        }
        Ok(())
    }

    // --- the conversation ---

    /// Handles the messages that are there. `Some`: the frontend hung up.
    fn converse(&mut self) -> Result<Option<End>, BackendError> {
        for _ in 0..MESSAGES {
            match self.channel.try_receive() {
                Ok(Some(envelope)) => self.answer(envelope)?,
                Ok(None) => break,
                Err(ChannelError::Closed) if self.is_running() => return Ok(Some(End::Abandoned)),
                Err(ChannelError::Closed) => return Ok(Some(End::Closed)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    fn answer(&mut self, envelope: Envelope) -> Result<(), BackendError> {
        let Envelope { message, fds } = envelope;
        let request = message.request;
        let wants_answer = message.needs_reply && self.protocol_features & protocol::REPLY_ACK != 0;
        let result = match message.is_reply {
            true => Err(refuse(request, "an answer that nobody asked for")),
            false => self.handle(request, message.payload, fds),
        };
        let payload = match &result {
            Ok(Answer::With(payload)) => Some(payload.clone()),
            Ok(Answer::Done) => wants_answer.then_some(Payload::U64(0)),
            Err(_) => wants_answer.then_some(Payload::U64(1)),
        };
        if let Some(payload) = payload {
            let sent = self.channel.send(&Message::reply(request, payload), &[], Instant::now() + ANSWER);
            // What the peer did wrong says more than that it has hung up since.
            if result.is_ok() {
                sent?;
            }
        }
        match result {
            // The frontend was told, and may do without.
            Err(BackendError::Refused { request: Request::Unknown(_), .. }) if wants_answer => Ok(()),
            result => result.map(drop),
        }
    }

    fn handle(
        &mut self,
        request: Request,
        payload: Payload,
        fds: Vec<OwnedFd>,
    ) -> Result<Answer, BackendError> {
        let with = |number| Ok(Answer::With(Payload::U64(number)));
        expect_fds(request, &payload, fds.len())?;
        match (request, payload) {
            (Request::GetFeatures, _) => with(self.options.features),
            (Request::GetProtocolFeatures, _) => with(self.options.protocol_features),
            (Request::GetQueueNum, _) => with(PAIRS),
            (Request::GetMaxMemSlots, _) => with(REGIONS_LIMIT as u64),
            (Request::GetStatus, _) => with(self.status),
            (Request::SetFeatures, Payload::U64(features)) => {
                self.features = subset(request, features, self.options.features)?;
                Ok(Answer::Done)
            }
            (Request::SetProtocolFeatures, Payload::U64(features)) => {
                self.protocol_features = subset(request, features, self.options.protocol_features)?;
                Ok(Answer::Done)
            }
            (Request::SetStatus, Payload::U64(status)) => {
                self.status = status;
                if status == 0 {
                    self.reset();
                }
                Ok(Answer::Done)
            }
            (Request::SetOwner | Request::SendRarp | Request::NetSetMtu, _) => Ok(Answer::Done),
            (Request::ResetOwner, _) => {
                self.vrings.iter_mut().for_each(|vring| vring.enabled = Some(false));
                Ok(Answer::Done)
            }
            (Request::ResetDevice, _) => {
                self.status = 0;
                self.reset();
                Ok(Answer::Done)
            }
            (Request::SetMemTable, Payload::Regions(regions)) => {
                let table = Table::new(&regions, fds, self.options.pages).map_err(in_table(request))?;
                self.table = table;
                self.look(request)
            }
            (Request::AddMemReg, Payload::Region(region)) => {
                self.table.add(region, fds, self.options.pages).map_err(in_table(request))?;
                self.look(request)
            }
            (Request::RemMemReg, Payload::Region(region)) => {
                self.table.remove(&region).map_err(in_table(request))?;
                Ok(Answer::Done)
            }
            // A configuration space is not offered; an answer without bytes says so.
            (Request::GetConfig, _) => {
                Ok(Answer::With(Payload::Config(Config { offset: 0, flags: 0, bytes: Vec::new() })))
            }
            (_, Payload::Vring(state)) => self.set_vring(request, state),
            (Request::SetVringAddr, Payload::Addresses(addresses)) => self.set_addresses(addresses),
            (Request::SetVringKick | Request::SetVringCall | Request::SetVringErr, Payload::U64(number)) => {
                self.set_event(request, number, fds)
            }
            (request, _) => Err(refuse(request, "not offered by this backend")),
        }
    }

    /// Lets somebody look at a new table before it is answered.
    fn look(&mut self, request: Request) -> Result<Answer, BackendError> {
        self.tables += 1;
        self.watch.table(&self.table, self.worker.traffic()).map_err(|why| refuse(request, why))?;
        Ok(Answer::Done)
    }

    fn set_vring(&mut self, request: Request, state: VringState) -> Result<Answer, BackendError> {
        let VringState { index, num } = state;
        let so_far = self.worker.traffic();
        let vring = vring(&mut self.vrings, request, index)?;
        match request {
            Request::SetVringNum => {
                vring.size = Some(checked_size(num).map_err(|source| BackendError::Ring { index, source })?);
            }
            Request::SetVringBase => {
                vring.taken = u16::try_from(num)
                    .map_err(|_| refuse(request, format!("base {num}, beyond the 16 bits of an index")))?;
            }
            Request::SetVringEnable => match num {
                0 | 1 => vring.enabled = Some(num == 1),
                _ => return Err(refuse(request, format!("{num}, which is neither 0 nor 1"))),
            },
            Request::SetVringEndian if num == 0 => {}
            Request::GetVringBase => {
                self.watch.stopping(index, so_far);
                vring.stop();
                let num = u32::from(vring.taken);
                return Ok(Answer::With(Payload::Vring(VringState { index, num })));
            }
            _ => return Err(refuse(request, "not offered by this backend")),
        }
        Ok(Answer::Done)
    }

    fn set_addresses(&mut self, addresses: VringAddresses) -> Result<Answer, BackendError> {
        let index = addresses.index;
        let vring = vring(&mut self.vrings, Request::SetVringAddr, index)?;
        // Sooner said than found out later, where there is enough to tell by.
        if let (Some(size), false) = (vring.size, self.table.regions().is_empty()) {
            Device::new(&self.table, size, &addresses)
                .map_err(|source| BackendError::Ring { index, source })?;
        }
        vring.addresses = Some(addresses);
        vring.is_placed = false;
        Ok(Answer::Done)
    }

    fn set_event(
        &mut self,
        request: Request,
        number: u64,
        mut fds: Vec<OwnedFd>,
    ) -> Result<Answer, BackendError> {
        let (index, _) = parse_vring_fd(number).ok_or_else(|| refuse(request, format!("{number:#x}")))?;
        let vring = vring(&mut self.vrings, request, index)?;
        if request == Request::SetVringErr {
            vring.err = fds.pop();
            return Ok(Answer::Done);
        }
        let event = fds.pop().map(Event::new).transpose().map_err(|why| refuse(request, why))?;
        match request {
            Request::SetVringKick => {
                self.watch.starting(index);
                vring.kick = Some(event);
                if let Ok(Some(device)) = vring.device(&self.table) {
                    device.set_quiet(true).map_err(|source| BackendError::Ring { index, source })?;
                }
            }
            _ => vring.call = event,
        }
        Ok(Answer::Done)
    }

    /// Back to the state before any vring was set up; the memory stays.
    fn reset(&mut self) {
        self.vrings.iter_mut().for_each(|vring| *vring = Vring::default());
    }
}

impl fmt::Debug for Backend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("channel", &self.channel)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

// === helpers ===

/// The descriptors that a request comes with.
fn expect_fds(request: Request, payload: &Payload, got: usize) -> Result<(), BackendError> {
    let expected = match (request, payload) {
        // The table says which of its regions has none; REM_MEM_REG may come with one, which is closed.
        (Request::SetMemTable | Request::AddMemReg, _) => return Ok(()),
        (Request::RemMemReg, _) if got <= 1 => return Ok(()),
        (Request::SetVringKick | Request::SetVringCall | Request::SetVringErr, Payload::U64(number)) => {
            usize::from(parse_vring_fd(*number).is_some_and(|(_, has_fd)| has_fd))
        }
        // Refused whatever they come with.
        (Request::SetLogBase | Request::SetLogFd | Request::SetBackendReqFd | Request::SetInflightFd, _)
        | (Request::GpuSetSocket | Request::SetDeviceStateFd | Request::Unknown(_), _) => return Ok(()),
        _ => 0,
    };
    if got == expected {
        return Ok(());
    }
    Err(refuse(request, format!("{got} descriptors, not {expected}")))
}

fn vring(vrings: &mut [Vring], request: Request, index: u32) -> Result<&mut Vring, BackendError> {
    let count = vrings.len();
    let place = usize::try_from(index).ok().and_then(|place| vrings.get_mut(place));
    place.ok_or_else(|| refuse(request, format!("vring {index} of {count}")))
}

fn subset(request: Request, asked: u64, offered: u64) -> Result<u64, BackendError> {
    match asked & !offered {
        0 => Ok(asked),
        more => Err(refuse(request, format!("{more:#x}, which was not offered"))),
    }
}

fn in_table(request: Request) -> impl Fn(TableError) -> BackendError {
    move |source| BackendError::Table { request, source }
}

fn refuse(request: Request, why: impl Into<String>) -> BackendError {
    BackendError::Refused { request, why: why.into() }
}
