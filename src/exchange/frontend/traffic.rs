//! A queue pair at the frontend, and the frames that pass through it.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use serde::Serialize;

use super::FrontendError;
use super::memory::Area;
use super::queue::{BUFFER, Queue};
use crate::channel::{Channel, ChannelError, wait};
use crate::frame::{Content, SHORTEST, Source, Tally, Tracker};
use crate::net::Format;
use crate::ring::Layout;

/// A receive queue and a transmit queue, with a buffer for each descriptor.
#[derive(Debug)]
pub struct Pair<'m> {
    format: Format,
    receive: Queue<'m>,
    transmit: Queue<'m>,
}

/// The frames to send and to wait for.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// What the frames hold, and whether those that arrive are verified.
    pub content: Content,
    /// The seed of the frames.
    pub seed: u64,
    /// The number of frames to send, or to receive if the backend generates them; see [`Peer`].
    pub frames: u64,
    /// The length of a frame in bytes.
    pub length: usize,
    /// What the backend does with frames.
    pub peer: Peer,
    /// The most frames in flight at once. The number of buffers is a limit as well.
    pub window: u16,
    /// How to wait for the backend.
    pub waiting: Waiting,
    /// If the backend sends frames back: whether the first frame is sent alone, and again every [`AGAIN`] until it has
    /// come back. A backend may drop frames until its own queue is ready, as testpmd does.
    pub first_again: bool,
}

/// What a backend does with frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Sends each frame back.
    Echoes,
    /// Receives the frames and sends none back.
    Sinks,
    /// Sends the job's number of frames, and receives none.
    Sends,
    /// Sends the job's number of frames, and expects each to be sent back.
    Wants,
}

/// How the frontend waits for the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Polls for a moment, then sleeps until the backend calls.
    Called,
    /// Polls all the time. The CPU is busy and the latency is low.
    Looking,
    /// Sleeps until the backend calls, without polling first.
    Sleeping,
}

/// The result of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The number of frames sent and received by the backend.
    pub sent: u64,
    /// The counts of the frames that arrived.
    pub tally: Tally,
    /// The duration of the whole run in nanoseconds.
    pub nanos: u64,
    /// Whether the job was completed before the deadline.
    pub finished: bool,
    /// The duration of each round trip in nanoseconds, for the first million. Empty unless the window is 1.
    #[serde(skip)]
    pub round_trips: Vec<u64>,
}

/// The most round trips to record.
pub(super) const ROUND_TRIPS: usize = 1 << 20;
/// How long the frontend polls idle rings before it waits for a call.
const SPIN: Duration = Duration::from_micros(50);
/// The polling rounds between two checks of the connection and the clock.
const ROUNDS: u32 = 64;
/// The most frames in one batch, which is published to the backend at once.
const BATCH: u16 = 64;
/// The time after which the first frame is sent again.
const AGAIN: Duration = Duration::from_secs(1);

// === impl Pair ===

impl<'m> Pair<'m> {
    /// Creates a pair of queues of `size` descriptors. The rings are in the first area, the buffers in all areas.
    ///
    /// # Errors
    ///
    /// There is too little memory.
    pub fn new(areas: &mut [Area<'m>], size: u16, features: u64) -> Result<Self, FrontendError> {
        let format = Format::of(features);
        let layout = Layout::of(features);
        let [receive, transmit] = [Queue::new(areas, 0, size, layout)?, Queue::new(areas, 1, size, layout)?];
        let mut pair = Self { format, receive, transmit };
        pair.offer_buffers()?;
        Ok(pair)
    }

    /// Returns the layout of the rings.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.transmit.layout
    }

    pub(super) const fn queues(&self) -> [&Queue<'m>; 2] {
        [&self.receive, &self.transmit]
    }

    /// Makes every buffer of the receive queue available.
    fn offer_buffers(&mut self) -> Result<(), FrontendError> {
        while let Some(id) = self.receive.driver.free_id() {
            self.receive.offer(id, BUFFER, true)?;
        }
        Ok(())
    }

    /// Sends and receives until the job is done or the deadline passes.
    ///
    /// # Errors
    ///
    /// The backend closed the connection, sent an unexpected message, or made a ring invalid.
    pub fn run(
        &mut self,
        job: &Job,
        channel: &mut Channel,
        deadline: Instant,
    ) -> Result<Outcome, FrontendError> {
        let mut run = Run {
            source: Source::new(job.seed, job.length).with(job.content),
            tracker: Tracker::new(job.seed).with(job.content),
            to_send: if matches!(job.peer, Peer::Sends | Peer::Wants) { 0 } else { job.frames },
            to_come: if job.peer == Peer::Sinks { 0 } else { job.frames },
            taken: 0,
            returned: 0,
            came: 0,
            again: 0,
            last: Instant::now(),
            round_trips: Vec::new(),
            buffer: vec![0; BUFFER],
        };
        let began = Instant::now();
        let mut quiet_since = None;
        let spin = match job.waiting {
            Waiting::Called => Some(SPIN),
            Waiting::Looking => None,
            Waiting::Sleeping => Some(Duration::ZERO),
        };
        self.suppress_notifications(true)?;
        let mut finished = false;
        'rounds: while Instant::now() < deadline {
            match channel.try_receive() {
                Ok(None) => {}
                Ok(Some(envelope)) => {
                    let got = format!("unexpected {}", envelope.message.request);
                    return Err(ChannelError::Unexpected { expected: "frames".to_owned(), got }.into());
                }
                Err(error) => return Err(error.into()),
            }
            for _ in 0..ROUNDS {
                let moved = self.receive(job, &mut run)? + self.send(job, &mut run)?;
                if run.is_done() {
                    finished = true;
                    break 'rounds;
                }
                if moved > 0 {
                    quiet_since = None;
                } else if let Some(spin) = spin
                    && quiet_since.get_or_insert_with(Instant::now).elapsed() >= spin
                {
                    let until = run.next_first(job).map_or(deadline, |at| at.min(deadline));
                    self.rest(channel, until)?;
                    quiet_since = None;
                    break;
                } else {
                    std::hint::spin_loop();
                }
            }
        }
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (tally, sent) = (run.tracker.tally(), run.taken.saturating_sub(run.again));
        // The first frame may come back as often as it was sent. The tracker allows for that, except in frames that it does
        // not read.
        let copies = tally.unread.saturating_sub(sent).min(run.again);
        Ok(Outcome {
            sent,
            tally: Tally { unread: tally.unread - copies, ..tally },
            nanos,
            finished,
            round_trips: run.round_trips,
        })
    }

    /// Takes the received frames and offers their buffers again. Returns the number of frames.
    fn receive(&mut self, job: &Job, run: &mut Run) -> Result<u64, FrontendError> {
        let (queue, header) = (&mut self.receive, self.format.header());
        let mut count = 0;
        let reads = job.peer == Peer::Wants || run.tracker.reads();
        if reads {
            queue.fetch(BATCH)?;
        }
        while count < u64::from(BATCH) {
            // A frame to send back stays in the receive queue until a transmit buffer is free, so no frame is lost
            // here.
            if job.peer == Peer::Wants && !self.transmit.driver.has_free_id() {
                break;
            }
            let Some(used) = queue.take_used()? else { break };
            if reads {
                let frame = queue.frame(used, header, &mut run.buffer)?;
                run.tracker.look(frame);
                if job.peer == Peer::Wants
                    && let Some(id) = self.transmit.driver.free_id()
                {
                    self.transmit.fill(id, header, frame)?;
                    run.returned += 1;
                }
            } else {
                run.tracker.count(queue.length(used, header)?);
            }
            queue.offer(used.id, BUFFER, true)?;
            count += 1;
            if job.window == 1 && run.round_trips.len() < ROUND_TRIPS {
                run.round_trips.push(u64::try_from(run.last.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
        }
        if count > 0 {
            queue.publish()?;
            if job.peer == Peer::Wants {
                self.transmit.publish()?;
            }
            run.came = run.tracker.tally().ours();
        }
        Ok(count)
    }

    /// Reclaims the buffers that the backend has read, and sends as many frames as the window allows. Returns the
    /// number of frames sent.
    fn send(&mut self, job: &Job, run: &mut Run) -> Result<u64, FrontendError> {
        let (queue, header) = (&mut self.transmit, self.format.header());
        while let Some(used) = queue.take_used()? {
            queue.give_back(used.id);
            run.taken += 1;
        }
        // A backend that has no buffer for a frame that it sends back may drop the frame, and real backends do.
        let mut most = u64::from(job.window.min(self.receive.size));
        if job.sends_first_alone() && run.came == 0 {
            most = 1;
            if queue.driver.has_free_id() && run.next_first(job).is_some_and(|at| Instant::now() >= at) {
                run.source.take_back();
                run.tracker.allow_first_again();
                run.again += 1;
            }
        }
        let mut count = 0;
        while run.source.made() < run.to_send && count < u64::from(BATCH) {
            let under_way =
                run.source.made() - if run.to_come > 0 { run.came.min(run.source.made()) } else { run.taken };
            if under_way >= most {
                break;
            }
            let Some(id) = queue.driver.free_id() else { break };
            queue.fill(id, header, run.source.make())?;
            count += 1;
        }
        if count > 0 {
            if most == 1 {
                run.last = Instant::now();
            }
            queue.publish()?;
        }
        Ok(count)
    }

    /// Enables calls, checks the rings once more, and then waits for a call, a message or the deadline.
    fn rest(&mut self, channel: &Channel, deadline: Instant) -> Result<(), FrontendError> {
        self.suppress_notifications(false)?;
        if !self.receive.has_used()? && !self.transmit.has_used()? {
            let events = [self.receive.call.as_fd(), self.transmit.call.as_fd(), channel.as_fd()];
            wait(&events.map(|fd| (fd, PollFlags::POLLIN)), deadline)?;
        }
        for queue in [&self.receive, &self.transmit] {
            queue.call.clear().map_err(FrontendError::Event)?;
        }
        self.suppress_notifications(true)
    }

    fn suppress_notifications(&self, quiet: bool) -> Result<(), FrontendError> {
        for queue in [&self.receive, &self.transmit] {
            queue.driver.suppress_notifications(quiet).map_err(queue.failed())?;
        }
        Ok(())
    }
}

// === impl Job ===

impl Default for Job {
    /// No frame, of the shortest length, to a backend that sends frames back.
    fn default() -> Self {
        Self {
            content: Content::Checked,
            seed: 0,
            frames: 0,
            length: SHORTEST,
            peer: Peer::Echoes,
            window: u16::MAX,
            waiting: Waiting::Called,
            first_again: false,
        }
    }
}

impl Job {
    fn sends_first_alone(&self) -> bool {
        self.first_again && self.peer == Peer::Echoes
    }
}

/// The progress of a job.
struct Run {
    source: Source,
    tracker: Tracker,
    to_send: u64,
    to_come: u64,
    /// Frames that the backend has received.
    taken: u64,
    /// Frames that the frontend has sent back, of any kind.
    returned: u64,
    /// Received frames of hugeprobe's type, altered and duplicate ones included.
    came: u64,
    /// How often the first frame was sent again.
    again: u64,
    /// When a frame was last sent alone.
    last: Instant,
    round_trips: Vec<u64>,
    buffer: Vec<u8>,
}

impl Run {
    const fn is_done(&self) -> bool {
        self.taken >= self.to_send.saturating_add(self.returned).saturating_add(self.again)
            && self.came >= self.to_come
    }

    /// Returns when the first frame is to be sent again, if it was sent and has not come back.
    fn next_first(&self, job: &Job) -> Option<Instant> {
        let waits = job.sends_first_alone() && self.came == 0 && self.source.made() > 0;
        waits.then(|| self.last + AGAIN)
    }
}
