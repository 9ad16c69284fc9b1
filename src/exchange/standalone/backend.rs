//! The standalone backend: serves one frontend until the frames are done, the deadline passes or the frontend closes
//! the connection.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::{
    BackendMode, FOR_EVER, NOT_READ, SEED, Say, Stop, Wait, deadline, fail, features, looked, placed,
    protocol_features, region, unknown,
};
use crate::backend::{
    self, Backend, End, FEATURES, Options, PROTOCOL_FEATURES, Report, Traffic as Counted, Watch, Work,
};
use crate::channel::Channel;
use crate::frame::{Content, Source, Tracker};
use crate::ring::Layout;
use crate::table::{Pages, Table};
use hugeprobe_domain::standalone::{Negotiated, SessionEvent, Traffic};

/// The time between two checks of the counters.
const SLICE: Duration = Duration::from_millis(20);
/// The time between two reports of the counters.
const PERIOD: Duration = Duration::from_secs(1);
/// How long the frontend has to close the connection after the frames are done. It may still have frames to process in
/// its rings.
const FAREWELL: Duration = Duration::from_millis(500);
/// The most memory tables to report. A frontend may send any number of them.
const TABLES: u64 = 16;

/// Runs a session. If it succeeds, returns a sentence about the result.
pub(super) fn run(task: &super::BackendTask, channel: Channel, say: Say<'_>) -> Result<String, Stop> {
    let heard = RefCell::default();
    let mut looker = Looker { heard: &heard, tables: 0 };
    let options = Options {
        pages: task.size.map_or(Pages::Huge, Pages::Of),
        work: work(task),
        features: FEATURES,
        protocol_features: PROTOCOL_FEATURES,
    };
    let mut backend = Backend::new(channel, options, &mut looker);
    if let (BackendMode::Echo | BackendMode::Sink, Some(frames)) = (task.mode, task.frames) {
        backend.set_limit(frames);
    }
    match task.wait {
        Wait::Both => {}
        Wait::Poll => backend.set_spin(FOR_EVER),
        Wait::Sleep => backend.set_spin(Duration::ZERO),
    }
    let mut clock = Clock::default();
    let mut agreed = Negotiated::default();
    let mut deadline = deadline(task.millis);
    let mut is_enough = false;
    let (end, report) = loop {
        let begin = Instant::now();
        let end = backend.serve(deadline.min(begin + SLICE));
        let report = backend.report();
        let now = negotiated(&report);
        if now != agreed && !heard.borrow().is_empty() {
            say(&SessionEvent::Negotiated(now.clone()))?;
            agreed = now;
        }
        for said in heard.take() {
            say(&said)?;
        }
        if clock.took(&report, begin) {
            say(&SessionEvent::Traffic(traffic(&report, clock.nanos())))?;
        }
        if !is_enough && has_enough(task, &report) {
            is_enough = true;
            deadline = deadline.min(Instant::now() + FAREWELL);
        }
        match end {
            Ok(End::Deadline) if Instant::now() < deadline => {}
            end => break (end, report),
        }
    };
    for (index, region) in backend.table().regions().iter().enumerate() {
        say(&SessionEvent::Placed(placed(index, region.mapping().address())))?;
    }
    say(&SessionEvent::Traffic(traffic(&report, clock.nanos())))?;
    judge(task, end.map_err(fail)?, &report)
}

fn work(task: &super::BackendTask) -> Work {
    let tracker = || Tracker::new(SEED).with(task.content);
    let source = || Source::new(SEED, task.frame_bytes).with(task.content);
    let frames = task.frames.unwrap_or(u64::MAX);
    match task.mode {
        BackendMode::Echo => Work::Echo,
        BackendMode::Sink => Work::Sink((task.content == Content::Checked).then(tracker)),
        BackendMode::Source => Work::Source { source: source(), frames, returns: None },
        BackendMode::Bounce => Work::Source { source: source(), frames, returns: Some(tracker()) },
    }
}

fn has_enough(task: &super::BackendTask, report: &Report) -> bool {
    task.frames.is_some_and(|frames| done(task, report) >= frames)
}

/// Returns the number of frames that count towards `frames`.
fn done(task: &super::BackendTask, report: &Report) -> u64 {
    match task.mode {
        BackendMode::Echo | BackendMode::Source => report.traffic.sent,
        BackendMode::Sink => report.traffic.received,
        BackendMode::Bounce => report.tally.map_or(0, |tally| tally.ours()),
    }
}

fn judge(task: &super::BackendTask, end: End, report: &Report) -> Result<String, Stop> {
    let count = done(task, report);
    let what = match task.mode {
        BackendMode::Echo => "frames sent back",
        BackendMode::Sink => "frames received",
        BackendMode::Source => "frames sent",
        BackendMode::Bounce => "frames sent and received back",
    };
    let receives = matches!(task.mode, BackendMode::Sink | BackendMode::Bounce);
    let not_read = if receives && task.content == Content::Plain { NOT_READ } else { "" };
    let how = match end {
        End::Closed => "the frontend stopped its rings and closed the connection",
        End::Abandoned => "the frontend hung up while its rings ran",
        End::Deadline => "the deadline passed",
    };
    if let Some(tally) = report.tally.filter(|tally| looked(*tally).is_bad()) {
        return Err(fail(format!("{} frames arrived altered, {} twice", tally.altered, tally.doubled)));
    }
    match task.frames {
        Some(frames) if count >= frames => Ok(format!("{count} {what}{not_read}")),
        Some(frames) => Err(fail(format!("{count} of {frames} {what}: {how}"))),
        None if report.tables == 0 => Err(unknown(format!("the frontend shared no memory: {how}"))),
        None if report.regions == 0 => Err(unknown(format!("the memory table has no region: {how}"))),
        None if count == 0 => Err(unknown(format!("no frame arrived: {how}"))),
        None => Ok(format!("{count} {what}: {how}{not_read}")),
    }
}

fn negotiated(report: &Report) -> Negotiated {
    Negotiated {
        features: features(report.features),
        protocol_features: protocol_features(report.protocol_features),
        rings: Some(Layout::of(report.features).word().to_owned()),
        ..Negotiated::default()
    }
}

fn traffic(report: &Report, nanos: u64) -> Traffic {
    let Counted { received, received_bytes, sent, sent_bytes, discarded } = report.traffic;
    let looked = report.tally.filter(|tally| tally.unread == 0).map(looked);
    Traffic { sent, sent_bytes, received, received_bytes, discarded, looked, nanos }
}

/// Records the events of memory and vrings. They are reported after the slice, when the features are known.
struct Looker<'h> {
    heard: &'h RefCell<Vec<SessionEvent>>,
    tables: u64,
}

/// The times at which frames moved.
#[derive(Default)]
struct Clock {
    frames: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    told: Option<Instant>,
}

// === impl Looker ===

impl Watch for Looker<'_> {
    fn table(&mut self, table: &Table, _: &backend::Traffic) -> Result<(), String> {
        self.tables += 1;
        if self.tables <= TABLES {
            for (index, held) in table.regions().iter().enumerate() {
                let (given, facts) = (held.given(), held.facts());
                let region = region(self.tables, index, given.bytes, given.guest, facts);
                self.heard.borrow_mut().push(SessionEvent::Region(region));
            }
        }
        Ok(())
    }

    fn starting(&mut self, vring: u32) {
        if self.tables <= TABLES {
            self.heard.borrow_mut().push(SessionEvent::Started { vring });
        }
    }

    fn stopping(&mut self, vring: u32, _: &backend::Traffic) {
        if self.tables <= TABLES {
            self.heard.borrow_mut().push(SessionEvent::Stopped { vring });
        }
    }
}

// === impl Clock ===

impl Clock {
    /// Records whether frames moved in the slice that began at `begin`. Returns whether the next report of the
    /// counters is due.
    fn took(&mut self, report: &Report, begin: Instant) -> bool {
        let frames = report.traffic.received + report.traffic.sent + report.traffic.discarded;
        if frames == self.frames {
            return false;
        }
        let now = Instant::now();
        self.frames = frames;
        self.first.get_or_insert(begin);
        self.last = Some(now);
        let due = now.duration_since(*self.told.get_or_insert(begin)) >= PERIOD;
        if due {
            self.told = Some(now);
        }
        due
    }

    fn nanos(&self) -> u64 {
        let took =
            self.first.zip(self.last).map_or(Duration::ZERO, |(first, last)| last.duration_since(first));
        u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
    }
}
