//! The backend: maps the frontend's memory and processes its vrings.
//!
//! hugeprobe has its own loop because frontends differ in the order of their messages: QEMU enables vrings before it
//! sets features, virtio_user sends new memory tables while traffic runs, and a kick comes with a descriptor or
//! without. So the backend checks whether a vring is complete when it uses the vring, not when a message arrives.

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
use super::ring::RingError;
use super::table::{Pages, Table, TableError};

use traffic::{KNOCKS, Worker};
pub use traffic::{Traffic, Work};
use vring::Vring;

/// The settings of a backend.
#[derive(Debug)]
pub struct Options {
    /// The kind of pages that the frontend's memory must have.
    pub pages: Pages,
    /// What to do with the frames.
    pub work: Work,
    /// The virtio features to offer, a subset of [`FEATURES`].
    pub features: u64,
    /// The protocol features to offer, a subset of [`PROTOCOL_FEATURES`].
    pub protocol_features: u64,
}

/// Every virtio feature that the backend supports.
///
/// IN_ORDER is among them because the backend returns the chains of a queue in the order in which it takes them.
pub const FEATURES: u64 = feature::VERSION_1
    | feature::MRG_RXBUF
    | feature::MQ
    | feature::INDIRECT_DESC
    | feature::RING_PACKED
    | feature::IN_ORDER
    | feature::PROTOCOL_FEATURES;
/// Every protocol feature that the backend supports.
pub const PROTOCOL_FEATURES: u64 = protocol::MQ
    | protocol::REPLY_ACK
    | protocol::CONFIGURE_MEM_SLOTS
    | protocol::STATUS
    | protocol::RESET_DEVICE;

/// An observer of the session. The checks implement it.
pub trait Watch {
    /// Called when a memory table was received or a region was added. The memory is mapped; the message is not
    /// answered yet.
    ///
    /// # Errors
    ///
    /// An error refuses the table. The text is the reason.
    fn table(&mut self, table: &Table, so_far: &Traffic) -> Result<(), String> {
        let _ = (table, so_far);
        Ok(())
    }

    /// Called when a vring receives its kick (SET_VRING_KICK). The backend polls the vring from then on.
    fn starting(&mut self, index: u32) {
        let _ = index;
    }

    /// Called when a vring is about to be stopped.
    fn stopping(&mut self, index: u32, so_far: &Traffic) {
        let _ = (index, so_far);
    }
}

/// An observer that ignores everything.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Watch for Nobody {}

/// How a session ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The frontend closed the connection after it stopped its vrings, or before any ran.
    Closed,
    /// The frontend closed the connection while vrings ran.
    Abandoned,
    /// The deadline passed.
    Deadline,
}

/// An error that ends a session.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The connection failed, or the frontend sent something that is not a valid message.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The frontend's memory cannot be used.
    #[error("{request}: {source}")]
    Table {
        /// The message that described the memory.
        request: Request,
        /// What is wrong with the memory.
        source: TableError,
    },
    /// A file of the memory table has become shorter.
    #[error("the memory became inaccessible: {0}")]
    Shrunk(TableError),
    /// A vring is invalid.
    #[error("vring {index}: {source}")]
    Ring {
        /// The index of the vring.
        index: u32,
        /// What is wrong with the vring.
        source: RingError,
    },
    /// The backend refused a message.
    #[error("{request}: {why}")]
    Refused {
        /// The refused message.
        request: Request,
        /// The reason.
        why: String,
    },
}

/// The result of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The negotiated virtio features.
    pub features: u64,
    /// The negotiated protocol features.
    pub protocol_features: u64,
    /// How many memory tables were received. An added region counts as a new table.
    pub tables: u64,
    /// How many regions the current table has.
    pub regions: usize,
    /// Frame and byte counts.
    pub traffic: Traffic,
    /// The result of verifying the frames, if they were verified.
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

/// The number of queue pairs that the backend serves.
const PAIRS: usize = 8;
/// The most batches of one queue pair before the backend checks the connection again.
const TURNS: usize = 16;
/// How long the backend polls idle rings before it waits for a kick.
const SPIN: Duration = Duration::from_micros(50);
/// The longest wait while a running vring has no kick descriptor and must therefore be polled.
const NAP: Duration = Duration::from_millis(1);
/// `VIRTIO_CONFIG_S_DRIVER_OK`: the driver is ready.
const DRIVER_OK: u64 = 4;

// === impl Backend ===

impl<'a> Backend<'a> {
    /// Creates a backend on a connected socket.
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

    /// Sets how long the backend polls idle rings before it waits for a kick. With zero it does not poll. The default
    /// is `SPIN`.
    pub const fn set_spin(&mut self, spin: Duration) {
        self.spin = spin;
    }

    /// Limits how many frames [`Work::Echo`] and [`Work::Sink`] receive.
    pub const fn set_limit(&mut self, frames: u64) {
        self.worker.set_limit(frames);
    }

    /// Serves the frontend until it closes the connection or the deadline passes.
    ///
    /// # Errors
    ///
    /// The connection failed, or the frontend sent something after which the session cannot continue.
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

    /// Returns the result of the session so far.
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

    /// Returns the frontend's memory.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// Returns the frontend's memory and ends the backend.
    #[must_use]
    pub fn into_table(self) -> Table {
        self.table
    }

    // --- the rings ---

    /// Moves frames on all queue pairs, and returns how many.
    ///
    /// Each pair gets at most [`TURNS`] batches. A batch has at most as many descriptors as the queue. Once frames
    /// have moved, no further pair is served after the deadline.
    fn turns(&mut self, deadline: Instant) -> Result<u64, BackendError> {
        if self.protocol_features & protocol::STATUS != 0 && self.status & DRIVER_OK == 0 {
            return Ok(0);
        }
        let implied = self.features & feature::PROTOCOL_FEATURES == 0;
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
                    .turn(
                        &self.table,
                        self.features,
                        [(&mut *receive, may_receive), (&mut *transmit, may_transmit)],
                    )
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

    /// Enables notifications, checks the rings once more, and then waits for a kick, a message or the deadline.
    fn rest(&mut self, deadline: Instant) -> Result<(), BackendError> {
        self.suppress_notifications(false)?;
        if self.turns(deadline)? == 0 {
            let polled = self.vrings.iter().any(|vring| vring.kick.is_some() && vring.kick_event().is_none());
            let until = if polled { deadline.min(Instant::now() + NAP) } else { deadline };
            let until = if self.worker.is_knocking() { until.min(Instant::now() + KNOCKS) } else { until };
            // If part of a message has arrived, wake up when the rest is due: the session's deadline may be much
            // later.
            let until = self.channel.due().map_or(until, |due| until.min(due));
            let mut fds: Vec<_> = self
                .vrings
                .iter()
                .filter_map(|vring| vring.kick_event().map(|kick| (kick.as_fd(), PollFlags::POLLIN)))
                .collect();
            fds.push((self.channel.as_fd(), PollFlags::POLLIN));
            wait(&fds, until)?;
            // A file may have been truncated during the wait.
            self.table.check_files().map_err(BackendError::Shrunk)?;
        }
        self.vrings.iter_mut().for_each(Vring::clear_kick);
        self.suppress_notifications(true)
    }

    /// Tells the drivers whether to suppress their kicks. A ring that is not in memory is skipped here; `turns`
    /// reports it.
    fn suppress_notifications(&mut self, quiet: bool) -> Result<(), BackendError> {
        for (index, vring) in (0..).zip(&mut self.vrings) {
            if let Ok(Some(device)) = vring.device(&self.table, self.features) {
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
