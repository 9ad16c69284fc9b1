//! What the backend does with the frames of a queue pair, a batch at a time.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::vring::Vring;
use crate::exchange::frame::{Source, Tally, Tracker, is_knock, knock};
use crate::exchange::net::{Format, LONGEST_FRAME, Progress};
use crate::exchange::ring::{Chain, Device, RingError};
use crate::exchange::table::Table;

/// What is done with the frames that come.
#[derive(Debug)]
pub enum Work {
    /// Each is sent back.
    Echo,
    /// They are counted and, where the seed is known, looked at.
    Sink(Option<Tracker>),
    /// They are handed on as they are. What there is no room for is thrown away.
    Hand(SyncSender<Vec<u8>>),
    /// As many as stated are made and sent. What comes is counted.
    Source {
        /// Makes them.
        source: Source,
        /// How many.
        frames: u64,
        /// Set if the driver sends each back: then what comes is looked at, and few are under way at once, for a driver
        /// drops what it cannot send. The first is sent when something has come: see [`KNOCKS`].
        returns: Option<Tracker>,
    },
}

/// Frames and bytes, both ways, as the backend counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Traffic {
    /// Frames taken from the driver.
    pub received: u64,
    /// Bytes of those.
    pub received_bytes: u64,
    /// Frames given to the driver.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Frames taken while the ring was disabled: taken and thrown away, as the specification asks.
    pub discarded: u64,
}

/// The work, and its result.
#[derive(Debug)]
pub(super) struct Worker {
    work: Work,
    /// Frames that are taken at most.
    limit: u64,
    traffic: Traffic,
    buffer: Vec<u8>,
    knocks: Knocks,
}

/// Whether a driver that is to send frames back does so by now. Its rings run before its port is started, and DPDK's
/// virtio driver throws away at the start what has come until then: one frame is sent now and then, and nothing that
/// counts before one comes back, or another has come.
#[derive(Debug, Default)]
struct Knocks {
    /// Sent and come back.
    count: u64,
    last: Option<Instant>,
    is_answered: bool,
}

/// Chains in one batch: what is published to the driver at once.
const BATCH: u16 = 64;

/// Frames under way at once where the driver sends them back: half of what its usual queue holds, as a frame may take
/// it two descriptors.
const UNDER_WAY: u64 = 128;

/// Between two frames that are sent to learn whether the driver sends them back.
pub(super) const KNOCKS: Duration = Duration::from_millis(20);

/// A vring that fails, by its place in the pair: 0 receives at the driver, 1 transmits.
pub(super) type Failed = (u32, RingError);

// === impl Worker ===

impl Worker {
    pub(super) fn new(work: Work) -> Self {
        let (traffic, knocks) = (Traffic::default(), Knocks::default());
        Self { work, limit: u64::MAX, traffic, buffer: vec![0; LONGEST_FRAME], knocks }
    }

    /// How many frames are taken at most, by [`Work::Echo`] and [`Work::Sink`].
    pub(super) const fn set_limit(&mut self, frames: u64) {
        self.limit = frames;
    }

    pub(super) const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// What was seen of the frames, if they were looked at.
    pub(super) const fn tally(&self) -> Option<Tally> {
        match &self.work {
            Work::Sink(Some(tracker)) | Work::Source { returns: Some(tracker), .. } => Some(tracker.tally()),
            Work::Echo | Work::Hand(_) | Work::Sink(None) | Work::Source { returns: None, .. } => None,
        }
    }

    /// Whether the rings have to be polled every [`KNOCKS`], because the driver may send no notification by itself.
    pub(super) const fn is_knocking(&self) -> bool {
        matches!(self.work, Work::Source { returns: Some(_), .. }) && !self.knocks.is_answered
    }

    /// Moves one batch of a pair. How many frames.
    pub(super) fn turn(
        &mut self,
        table: &Table,
        format: Format,
        [receive, transmit]: [(&mut Vring, bool); 2],
    ) -> Result<u64, Failed> {
        let ((receive, may_receive), (transmit, may_transmit)) = (receive, transmit);
        let to_driver = receive.device(table).map_err(|error| (0, error))?.filter(|_| may_receive);
        let from_driver = transmit.device(table).map_err(|error| (1, error))?;
        let mut queues = Queues { format, to: to_driver, from: from_driver, receive, transmit };
        let (before, knocked) = (self.traffic, self.knocks.count);
        let is_knocking = self.is_knocking();
        let left = u16::try_from(self.limit.saturating_sub(before.received)).unwrap_or(u16::MAX).min(BATCH);
        match &mut self.work {
            Work::Echo if may_transmit => {
                queues.echo(left, &mut self.buffer, &mut self.traffic)?;
            }
            Work::Sink(tracker) if may_transmit => {
                let traffic = &mut self.traffic;
                queues.drain(left, &mut self.buffer, |frame| {
                    traffic.received += 1;
                    traffic.received_bytes += frame.len() as u64;
                    if let Some(tracker) = tracker {
                        tracker.look(frame);
                    }
                })?;
            }
            Work::Hand(to) if may_transmit => {
                let traffic = &mut self.traffic;
                queues.drain(BATCH, &mut self.buffer, |frame| {
                    traffic.received += 1;
                    traffic.received_bytes += frame.len() as u64;
                    // Full, or the driver takes them no more: then they are counted.
                    let _ = to.try_send(frame.to_vec());
                })?;
            }
            Work::Source { source, frames, returns } => {
                let most = returns.as_ref().map_or(*frames, |tracker| tracker.tally().ours() + UNDER_WAY);
                if !is_knocking {
                    queues.send(source, most.min(*frames), &mut self.traffic)?;
                } else if self.knocks.is_due(Instant::now()) {
                    self.knocks.count += queues.knock()?;
                }
                let (traffic, knocks) = (&mut self.traffic, &mut self.knocks);
                queues.drain(BATCH, &mut self.buffer, |frame| {
                    knocks.is_answered = true;
                    if returns.is_some() && is_knock(frame) {
                        knocks.count += 1;
                        return;
                    }
                    traffic.received += 1;
                    traffic.received_bytes += frame.len() as u64;
                    if let Some(tracker) = returns {
                        tracker.look(frame);
                    }
                })?;
            }
            Work::Echo | Work::Sink(_) | Work::Hand(_) => {
                let traffic = &mut self.traffic;
                queues.drain(BATCH, &mut self.buffer, |_| traffic.discarded += 1)?;
            }
        }
        let moved = |traffic: &Traffic| traffic.received + traffic.sent + traffic.discarded;
        Ok(moved(&self.traffic) - moved(&before) + self.knocks.count - knocked)
    }
}

// === impl Knocks ===

impl Knocks {
    /// Whether it is time for the next; then it counts as tried.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|last| now.duration_since(last) >= KNOCKS);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

/// A pair of queues for the length of a batch.
struct Queues<'m, 'v> {
    format: Format,
    to: Option<Device<'m>>,
    from: Option<Device<'m>>,
    receive: &'v mut Vring,
    transmit: &'v mut Vring,
}

impl Queues<'_, '_> {
    /// Sends back what comes, at most `most` frames. What has no buffer waiting for it stays in its queue: nothing is lost here.
    fn echo(&mut self, most: u16, buffer: &mut [u8], traffic: &mut Traffic) -> Result<(), Failed> {
        let (Some(to), Some(from)) = (&self.to, &self.from) else { return Ok(()) };
        let (mut at_to, mut at_from) = (self.receive.progress(), self.transmit.progress());
        let mut waiting = to.waiting(at_to.taken).map_err(|error| (0, error))?;
        let frames = from.waiting(at_from.taken).map_err(|error| (1, error))?.min(most);
        let (mut chain, mut out) = (Chain::default(), Chain::default());
        let mut moved = 0;
        while moved < frames && waiting > 0 {
            let before = at_from;
            let length =
                self.format.take(from, &mut at_from, &mut chain, buffer).map_err(|error| (1, error))?;
            let frame = buffer.get(..length).unwrap_or_default();
            let chains =
                self.format.give(to, &mut at_to, &mut out, waiting, frame).map_err(|error| (0, error))?;
            if chains == 0 {
                // Not published yet: as if it had not been taken.
                at_from = before;
                break;
            }
            waiting = waiting.saturating_sub(chains);
            moved += 1;
            traffic.received += 1;
            traffic.received_bytes += length as u64;
            traffic.sent += 1;
            traffic.sent_bytes += length as u64;
        }
        if moved > 0 {
            publish(to, self.receive, at_to).map_err(|error| (0, error))?;
            publish(from, self.transmit, at_from).map_err(|error| (1, error))?;
        }
        Ok(())
    }

    /// Takes what comes, at most `most` frames.
    fn drain(&mut self, most: u16, buffer: &mut [u8], mut look: impl FnMut(&[u8])) -> Result<(), Failed> {
        let Some(from) = &self.from else { return Ok(()) };
        let mut at = self.transmit.progress();
        let frames = from.waiting(at.taken).map_err(|error| (1, error))?.min(most);
        let mut chain = Chain::default();
        (0..frames).for_each(|ahead| from.fetch(at.taken.wrapping_add(ahead)));
        for _ in 0..frames {
            let length = self.format.take(from, &mut at, &mut chain, buffer).map_err(|error| (1, error))?;
            look(buffer.get(..length).unwrap_or_default());
        }
        if frames > 0 {
            publish(from, self.transmit, at).map_err(|error| (1, error))?;
        }
        Ok(())
    }

    /// Sends a frame that is not counted, if there is room. How many that were.
    fn knock(&mut self) -> Result<u64, Failed> {
        let Some(to) = &self.to else { return Ok(0) };
        let failed = |error| (0, error);
        let mut at = self.receive.progress();
        let waiting = to.waiting(at.taken).map_err(failed)?;
        if self.format.give(to, &mut at, &mut Chain::default(), waiting, &knock()).map_err(failed)? == 0 {
            return Ok(0);
        }
        publish(to, self.receive, at).map_err(failed)?;
        Ok(1)
    }

    /// Sends frames until there were `frames` of them.
    fn send(&mut self, source: &mut Source, frames: u64, traffic: &mut Traffic) -> Result<(), Failed> {
        let Some(to) = &self.to else { return Ok(()) };
        let failed = |error| (0, error);
        let mut at = self.receive.progress();
        let mut waiting = to.waiting(at.taken).map_err(failed)?;
        let mut chain = Chain::default();
        let mut moved = 0;
        while moved < BATCH && source.made() < frames && waiting > 0 {
            let length = source.length() as u64;
            let chains = self.format.give(to, &mut at, &mut chain, waiting, source.make()).map_err(failed)?;
            if chains == 0 {
                source.take_back();
                break;
            }
            waiting = waiting.saturating_sub(chains);
            moved += 1;
            traffic.sent += 1;
            traffic.sent_bytes += length;
        }
        if moved > 0 {
            publish(to, self.receive, at).map_err(failed)?;
        }
        Ok(())
    }
}

/// Publishes the used buffers, and notifies the driver if it wants that.
fn publish(device: &Device<'_>, vring: &mut Vring, at: Progress) -> Result<(), RingError> {
    vring.taken = at.taken;
    vring.given = at.given;
    if device.publish(at.given)? {
        vring.signal();
    }
    Ok(())
}

impl Vring {
    const fn progress(&self) -> Progress {
        Progress { taken: self.taken, given: self.given, descriptors: 0 }
    }
}
