//! Processes the frames of a queue pair, one batch at a time.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::vring::Vring;
use crate::frame::{Source, Tally, Tracker, is_knock, knock};
use crate::net::{Batch, Format, LONGEST_FRAME};
use crate::ring::{Chain, Device, RingError};
use crate::table::Table;
use hugeprobe_linux::map::Access;

/// What the backend does with frames.
#[derive(Debug)]
pub enum Work {
    /// Sends each received frame back.
    Echo,
    /// Counts the received frames and, if there is a tracker, verifies them.
    Sink(Option<Tracker>),
    /// Passes each received frame on unchanged. If the channel is full, the frame is counted and dropped.
    Hand(SyncSender<Vec<u8>>),
    /// Sends a given number of frames, and counts the frames received.
    Source {
        /// Generates the frames.
        source: Source,
        /// The number of frames to send.
        frames: u64,
        /// Set if the driver sends each frame back. The frames that come back are then verified, and few are in flight
        /// at once, because a driver drops what it cannot send. The first frame is sent once the driver has sent one:
        /// see [`KNOCKS`].
        returns: Option<Tracker>,
    },
}

/// Frame and byte counts in both directions, as the backend counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Traffic {
    /// Frames received from the driver.
    pub received: u64,
    /// Bytes of the received frames.
    pub received_bytes: u64,
    /// Frames sent to the driver.
    pub sent: u64,
    /// Bytes of the sent frames.
    pub sent_bytes: u64,
    /// Frames received while the vring was disabled. They are discarded, as the specification requires.
    /// [`Work::Source`] counts them as received instead.
    pub discarded: u64,
}

/// Applies the work to queue pairs and keeps its results.
#[derive(Debug)]
pub(super) struct Worker {
    work: Work,
    /// The most frames to receive.
    limit: u64,
    traffic: Traffic,
    buffer: Vec<u8>,
    knocks: Knocks,
}

/// Detects whether a driver that is to send frames back has started to do so.
///
/// The driver's rings run before its port is started, and DPDK's virtio driver drops at start whatever arrived before.
/// So the backend sends one probe frame (a knock) every [`KNOCKS`]. It sends the counted frames only after the knock,
/// or any other frame, has arrived from the driver.
#[derive(Debug, Default)]
struct Knocks {
    /// The number of knocks sent plus the number of knocks that came back.
    count: u64,
    last: Option<Instant>,
    is_answered: bool,
}

/// The most frames in one batch, which is published to the driver at once.
const BATCH: u16 = 64;

/// The most frames in flight if the driver sends them back. It is half of the driver's usual queue size, because a
/// frame may occupy two descriptors there.
const UNDER_WAY: u64 = 128;

/// The time between two knocks, the probe frames that show whether the driver sends frames back.
pub(super) const KNOCKS: Duration = Duration::from_millis(20);

/// A failed vring by its position in the pair (0: the driver's receive queue, 1: its transmit queue), and the error.
pub(super) type Failed = (u32, RingError);

// === impl Worker ===

impl Worker {
    pub(super) fn new(work: Work) -> Self {
        let (traffic, knocks) = (Traffic::default(), Knocks::default());
        Self { work, limit: u64::MAX, traffic, buffer: vec![0; LONGEST_FRAME], knocks }
    }

    /// Limits how many frames [`Work::Echo`] and [`Work::Sink`] receive.
    pub(super) const fn set_limit(&mut self, frames: u64) {
        self.limit = frames;
    }

    pub(super) const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Returns the result of verifying the frames, if they are verified.
    pub(super) const fn tally(&self) -> Option<Tally> {
        match &self.work {
            Work::Sink(Some(tracker)) | Work::Source { returns: Some(tracker), .. } => Some(tracker.tally()),
            Work::Echo | Work::Hand(_) | Work::Sink(None) | Work::Source { returns: None, .. } => None,
        }
    }

    /// Returns whether the rings must be polled every [`KNOCKS`], because the driver may not send a notification by
    /// itself.
    pub(super) const fn is_knocking(&self) -> bool {
        matches!(self.work, Work::Source { returns: Some(_), .. }) && !self.knocks.is_answered
    }

    /// Moves one batch of frames on a queue pair, and returns how many frames moved.
    pub(super) fn turn(
        &mut self,
        table: &Table,
        features: u64,
        [receive, transmit]: [(&mut Vring, bool); 2],
    ) -> Result<u64, Failed> {
        let ((receive, may_receive), (transmit, may_transmit)) = (receive, transmit);
        let to_driver = receive.device(table, features).map_err(|error| (0, error))?.filter(|_| may_receive);
        let from_driver = transmit.device(table, features).map_err(|error| (1, error))?;
        let format = Format::of(features);
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
                    // The channel is full, or its receiver is gone. The frame is only counted then.
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
    /// Returns whether the next knock is due. If it is, records the time of this attempt.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|last| now.duration_since(last) >= KNOCKS);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

/// A queue pair for the duration of one batch.
struct Queues<'m, 'v> {
    format: Format,
    to: Option<Device<'m>>,
    from: Option<Device<'m>>,
    receive: &'v mut Vring,
    transmit: &'v mut Vring,
}

impl Queues<'_, '_> {
    /// Sends received frames back, at most `most`. A frame for which the driver has no receive buffer stays in its
    /// transmit queue, so no frame is lost here.
    fn echo(&mut self, most: u16, buffer: &mut [u8], traffic: &mut Traffic) -> Result<(), Failed> {
        let (Some(to), Some(from)) = (&self.to, &self.from) else { return Ok(()) };
        let (mut give, mut take) = (self.receive.batch(), self.transmit.batch());
        let (mut chain, mut out) = (Chain::default(), Chain::default());
        let (failed_to, failed_from) = (|error| (0, error), |error| (1, error));
        from.fetch(take.cursor, most, Access::Read);
        to.fetch(give.cursor, most, Access::Write);
        for _ in 0..most {
            let has_frame = from.has_next(&mut take.cursor).map_err(failed_from)?;
            if !has_frame || !to.has_next(&mut give.cursor).map_err(failed_to)? {
                break;
            }
            let before = take.cursor;
            let taken = self.format.take(from, &mut take, &mut chain, buffer).map_err(failed_from)?;
            let Some(length) = taken else { break };
            let frame = buffer.get(..length).unwrap_or_default();
            if !self.format.give(to, &mut give, &mut out, frame).map_err(failed_to)? {
                take.put_back(before);
                break;
            }
            traffic.received += 1;
            traffic.received_bytes += length as u64;
            traffic.sent += 1;
            traffic.sent_bytes += length as u64;
        }
        publish(to, self.receive, &give).map_err(failed_to)?;
        publish(from, self.transmit, &take).map_err(failed_from)
    }

    /// Receives at most `most` frames.
    fn drain(&mut self, most: u16, buffer: &mut [u8], mut look: impl FnMut(&[u8])) -> Result<(), Failed> {
        let Some(from) = &self.from else { return Ok(()) };
        let failed = |error| (1, error);
        let mut batch = self.transmit.batch();
        let mut chain = Chain::default();
        from.fetch(batch.cursor, most, Access::Read);
        for _ in 0..most {
            let taken = self.format.take(from, &mut batch, &mut chain, buffer).map_err(failed)?;
            let Some(length) = taken else { break };
            look(buffer.get(..length).unwrap_or_default());
        }
        publish(from, self.transmit, &batch).map_err(failed)
    }

    /// Sends a knock if the driver has a receive buffer. Returns how many were sent, 0 or 1. Knocks are not counted as
    /// traffic.
    fn knock(&mut self) -> Result<u64, Failed> {
        let Some(to) = &self.to else { return Ok(0) };
        let failed = |error| (0, error);
        let mut batch = self.receive.batch();
        let is_sent = self.format.give(to, &mut batch, &mut Chain::default(), &knock()).map_err(failed)?;
        publish(to, self.receive, &batch).map_err(failed)?;
        Ok(u64::from(is_sent))
    }

    /// Sends one batch at most, until `frames` frames were generated in total or the driver has no receive buffer
    /// left.
    fn send(&mut self, source: &mut Source, frames: u64, traffic: &mut Traffic) -> Result<(), Failed> {
        let Some(to) = &self.to else { return Ok(()) };
        let failed = |error| (0, error);
        let mut batch = self.receive.batch();
        let mut chain = Chain::default();
        to.fetch(batch.cursor, BATCH, Access::Write);
        for _ in 0..BATCH {
            if source.made() >= frames || !to.has_next(&mut batch.cursor).map_err(failed)? {
                break;
            }
            let length = source.length() as u64;
            if !self.format.give(to, &mut batch, &mut chain, source.make()).map_err(failed)? {
                source.take_back();
                break;
            }
            traffic.sent += 1;
            traffic.sent_bytes += length;
        }
        publish(to, self.receive, &batch).map_err(failed)
    }
}

/// Returns the chains of a batch to the driver, and notifies it unless it suppresses notifications.
fn publish(device: &Device<'_>, vring: &mut Vring, batch: &Batch) -> Result<(), RingError> {
    if batch.used.is_empty() {
        return Ok(());
    }
    let (given, wants_notification) = device.publish(vring.given, &batch.used)?;
    (vring.taken, vring.given) = (batch.cursor.at(), given);
    if wants_notification {
        vring.signal();
    }
    Ok(())
}

impl Vring {
    const fn batch(&self) -> Batch {
        Batch::new(self.taken)
    }
}
