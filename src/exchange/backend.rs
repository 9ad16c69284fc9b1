//! The backend: takes the frontend's memory and works through its vrings.
//!
//! The loop is our own because frontends differ in the order of their messages: QEMU enables vrings before it sets
//! features, virtio_user sends new memory tables while traffic runs, kicks come with a descriptor or without. What a
//! message needs is looked for when it is needed, not when it arrives.

mod conversation;
mod traffic;
mod vring;

use std::fmt;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use serde::Serialize;

use super::channel::{Channel, ChannelError, wait};
use super::frame::Tally;
use super::message::{Request, feature, protocol};
use super::net::Format;
use super::ring::RingError;
use super::table::{Pages, Table, TableError};

use traffic::{KNOCKS, Worker};
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
pub const FEATURES: u64 = feature::VERSION_1 | feature::MRG_RXBUF | feature::MQ | feature::PROTOCOL_FEATURES;
/// Every protocol feature that the backend has.
pub const PROTOCOL_FEATURES: u64 = protocol::MQ
    | protocol::REPLY_ACK
    | protocol::CONFIGURE_MEM_SLOTS
    | protocol::STATUS
    | protocol::RESET_DEVICE;

/// An observer of the session: the checks are one.
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

/// Observes nothing.
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
    /// The deadline passed.
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
    #[error("the memory became inaccessible: {0}")]
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
    /// How many regions the last of them has.
    pub regions: usize,
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
    spin: Duration,
}

#[derive(Debug)]
struct Settings {
    pages: Pages,
    features: u64,
    protocol_features: u64,
}

/// Queue pairs that are served.
const PAIRS: usize = 8;
/// Turns of the rings before the connection is looked at again.
const TURNS: usize = 16;
/// How long rings are looked at without a frame before the backend waits to be kicked.
const SPIN: Duration = Duration::from_micros(50);
/// How long is waited at most while a ring without a kick descriptor runs.
const NAP: Duration = Duration::from_millis(1);
/// `VIRTIO_CONFIG_S_DRIVER_OK`: the driver is ready.
const DRIVER_OK: u64 = 4;

// === impl Backend ===

impl<'a> Backend<'a> {
    /// A backend on a connected socket.
    pub fn new(channel: Channel, options: Options, watch: &'a mut dyn Watch) -> Self {
        let vrings = std::iter::repeat_with(Vring::default).take(2 * PAIRS).collect();
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
            spin: SPIN,
        }
    }

    /// How long the rings are looked at without a frame before the backend waits to be kicked: not for nothing at all,
    /// and not for ever, unless this is set.
    pub const fn set_spin(&mut self, spin: Duration) {
        self.spin = spin;
    }

    /// How many frames are taken at most, where they are echoed or only taken.
    pub const fn set_limit(&mut self, frames: u64) {
        self.worker.set_limit(frames);
    }

    /// Serves the frontend until it hangs up or the deadline passes.
    ///
    /// # Errors
    ///
    /// What the frontend did that cannot be gone on with.
    pub fn serve(&mut self, deadline: Instant) -> Result<End, BackendError> {
        let mut last_frame = Instant::now();
        self.suppress_notifications(true)?;
        loop {
            if let Some(end) = self.converse(deadline)? {
                return Ok(end);
            }
            self.table.check_files().map_err(BackendError::Shrunk)?;
            let moved = self.turns(deadline)?;
            let now = Instant::now();
            if now >= deadline {
                return Ok(End::Deadline);
            }
            if moved > 0 {
                last_frame = now;
            } else if now.duration_since(last_frame) >= self.spin || !self.is_running() {
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
            regions: self.table.regions().len(),
            traffic: *self.worker.traffic(),
            tally: self.worker.tally(),
        }
    }

    /// The frontend's memory.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// The frontend's memory, once nothing is served any more.
    #[must_use]
    pub fn into_table(self) -> Table {
        self.table
    }

    // --- the rings ---

    /// Moves frames; how many. For each pair at most [`TURNS`] batches, of at most as many descriptors as its queues
    /// have, and none for the next pair when the time is up.
    fn turns(&mut self, deadline: Instant) -> Result<u64, BackendError> {
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
            if total > 0 && Instant::now() >= deadline {
                break;
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
        self.suppress_notifications(false)?;
        if self.turns(deadline)? == 0 {
            let polled = self.vrings.iter().any(|vring| vring.kick.is_some() && vring.kick_event().is_none());
            let until = if polled { deadline.min(Instant::now() + NAP) } else { deadline };
            let until = if self.worker.is_knocking() { until.min(Instant::now() + KNOCKS) } else { until };
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
        self.suppress_notifications(true)
    }

    /// Tells the drivers whether their kicks are not needed. A ring that is not in memory is found out elsewhere.
    fn suppress_notifications(&mut self, quiet: bool) -> Result<(), BackendError> {
        for (index, vring) in (0..).zip(&mut self.vrings) {
            if let Ok(Some(device)) = vring.device(&self.table) {
                device
                    .suppress_notifications(quiet)
                    .map_err(|source| BackendError::Ring { index, source })?;
            }
        }
        Ok(())
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
