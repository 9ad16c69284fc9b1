//! The standalone frontend: its memory, its frames, and the frames that come back.

use std::os::fd::AsFd as _;
use std::time::Duration;

use super::{
    BackendMode, NOT_READ, SEED, Say, Stop, Wait, deadline, fail, features, looked, placed,
    protocol_features, region, unknown,
};
use crate::channel::Channel;
use crate::frame::Content;
use crate::frontend::{Frontend, FrontendError, Job, Memory, Outcome, Pair, Peer, Waiting};
use crate::ring::Layout;
use crate::table::FileFacts;
use hugeprobe_domain::sharing::Session;
use hugeprobe_domain::size::HugeLen;
use hugeprobe_domain::standalone::{Negotiated, RoundTrips, SessionEvent, Traffic};
use hugeprobe_linux::errno::{is_not_offered, named};
use hugeprobe_linux::hugefile::HugeFile;
use hugeprobe_linux::map::Sharing;

/// How long the backend may take for one answer, including the mapping of the memory. A real backend locks all memory
/// that it receives.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a session. If it succeeds, returns a sentence about the result.
pub(super) fn run(task: &super::FrontendTask, mut channel: Channel, say: Say<'_>) -> Result<String, Stop> {
    let deadline = deadline(task.millis);
    // Allocate before the first message: without pages, the backend need not be involved.
    let memory = memory(task)?;
    channel.set_deadline(deadline);
    let layout = if task.packed { Layout::Packed } else { Layout::Split };
    let mut frontend = Frontend::with_rings(layout, channel, PATIENCE).map_err(ended)?;
    let agreed = *frontend.negotiated();
    say(&SessionEvent::Negotiated(Negotiated {
        features: features(agreed.features),
        protocol_features: protocol_features(agreed.protocol_features),
        rings: frontend.is_network().then(|| layout.word().to_owned()),
        queue_pairs: agreed.queue_pairs,
        memory_slots: agreed.memory_slots,
    }))?;
    look_at(&memory, say)?;
    let (regions, fds) = memory.table(memory.regions());
    frontend.set_memory(&regions, &fds).map_err(ended)?;
    if !frontend.is_network() {
        let offered = frontend.offered();
        return Err(unknown(format!(
            "the backend accepted the memory; it is not a network device, or its features ({offered:#x}) do not \
             show that it is: no queue was started"
        )));
    }
    let mut areas = memory.areas(memory.regions());
    let mut pair = Pair::largest(&mut areas, agreed.features).map_err(unknown)?;
    frontend.start(&pair).map_err(ended)?;
    (0..2).try_for_each(|vring| say(&SessionEvent::Started { vring }))?;
    let job = Job {
        content: task.content,
        seed: SEED,
        frames: task.frames,
        length: task.frame_bytes,
        peer: match task.peer {
            BackendMode::Echo => Peer::Echoes,
            BackendMode::Sink => Peer::Sinks,
            BackendMode::Source => Peer::Sends,
            BackendMode::Bounce => Peer::Wants,
        },
        window: task.window,
        waiting: match task.wait {
            Wait::Both => Waiting::Called,
            Wait::Poll => Waiting::Looking,
            Wait::Sleep => Waiting::Sleeping,
        },
        first_again: true,
    };
    let outcome = pair.run(&job, frontend.channel(), deadline).map_err(ended)?;
    let came = outcome.tally.ours() + outcome.tally.foreign;
    say(&SessionEvent::Traffic(Traffic {
        sent: outcome.sent,
        sent_bytes: outcome.sent.saturating_mul(task.frame_bytes as u64),
        received: came,
        received_bytes: came.saturating_mul(task.frame_bytes as u64),
        discarded: 0,
        looked: (job.peer != Peer::Sinks && job.content == Content::Checked).then(|| looked(outcome.tally)),
        nanos: outcome.nanos,
    }))?;
    if let Some(round_trips) = round_trips(&outcome) {
        say(&SessionEvent::RoundTrips(round_trips))?;
    }
    let text = judge(task, &outcome)?;
    frontend.stop(&pair).map_err(ended)?;
    (0..2).try_for_each(|vring| say(&SessionEvent::Stopped { vring }))?;
    Ok(text)
}

/// Maps and allocates the pages.
fn memory(task: &super::FrontendTask) -> Result<Memory, Stop> {
    let mut memory = Memory::default();
    let files = match task.pages {
        0 | 1 => vec![1],
        pages => vec![pages / 2, pages - pages / 2],
    };
    for pages in files {
        let len = HugeLen::new(task.size, pages)
            .ok_or_else(|| unknown(format!("{pages} pages of {} exceed the address space", task.size)))?;
        let place = task.memory.place(Session::FrontendFirst);
        let file = HugeFile::new(place, len).map_err(unknown)?;
        memory.add(file.as_fd(), len, Sharing::Shared, 1).map_err(|error| {
            unknown(format!("{pages} pages of {} cannot be reserved: mmap: {}", task.size, named(&error)))
        })?;
    }
    for mapping in memory.mappings() {
        match mapping.populate_all() {
            // The kernel has no MADV_POPULATE_WRITE: the first write allocates the page.
            Err(error) if is_not_offered(&error) => {}
            Err(error) => {
                return Err(unknown(format!(
                    "the reserved pages cannot be allocated: MADV_POPULATE_WRITE: {}",
                    named(&error)
                )));
            }
            Ok(()) => {}
        }
    }
    Ok(memory)
}

/// Reports the regions and the NUMA nodes of their pages.
fn look_at(memory: &Memory, say: Say<'_>) -> Result<(), Stop> {
    let (regions, fds) = memory.table(memory.regions());
    for (index, (given, fd)) in regions.iter().zip(fds).enumerate() {
        let facts = FileFacts::of(&fd).map_err(|(call, errno)| unknown(format!("{call}: {errno}")))?;
        if let Some(facts) = facts {
            say(&SessionEvent::Region(region(1, index, given.bytes, given.guest, &facts)))?;
        }
        say(&SessionEvent::Placed(placed(index, given.user)))?;
    }
    Ok(())
}

/// Returns statistics of the round trips, if the window was 1.
fn round_trips(outcome: &Outcome) -> Option<RoundTrips> {
    let mut nanos = outcome.round_trips.clone();
    nanos.sort_unstable();
    let at = |percent: usize| nanos.get(nanos.len() * percent / 100).copied();
    Some(RoundTrips { count: nanos.len() as u64, p50: at(50)?, p99: at(99)? })
}

/// Judges the result against what the backend was expected to do.
fn judge(task: &super::FrontendTask, outcome: &Outcome) -> Result<String, Stop> {
    let (frames, tally) = (task.frames, outcome.tally);
    let bad = tally.altered + tally.doubled;
    let foreign = match tally.foreign {
        0 => String::new(),
        foreign => format!("; {foreign} frames arrived that are not hugeprobe's"),
    };
    match task.peer {
        BackendMode::Sink if outcome.finished => Ok(format!("the backend accepted {frames} frames")),
        BackendMode::Sink => {
            Err(fail(format!("the backend accepted {} of {frames} frames in time", outcome.sent)))
        }
        _ if task.content == Content::Plain && tally.is_whole(frames) => {
            Ok(format!("{frames} frames came back{NOT_READ}"))
        }
        _ if tally.is_whole(frames) => {
            Ok(format!("{frames} frames came back, each exactly once and unchanged"))
        }
        _ if bad > 0 => Err(fail(format!(
            "of {frames} frames, {} came back altered, {} twice, {} not at all{foreign}",
            tally.altered,
            tally.doubled,
            tally.lost(frames)
        ))),
        _ => Err(fail(format!(
            "of {frames} frames, {} did not come back in time{foreign}",
            tally.lost(frames)
        ))),
    }
}

/// Returns the result of a session that ended with an error.
fn ended(error: FrontendError) -> Stop {
    match error {
        FrontendError::TooLittleMemory { .. } | FrontendError::Event(_) => unknown(error),
        error => fail(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Tally;
    use crate::role::Source;
    use hugeprobe_domain::size::PageSize;

    /// Returns the sentence about ten frames with this tally.
    fn said(peer: BackendMode, tally: Tally) -> String {
        let task = super::super::FrontendTask {
            size: PageSize::from_bytes(2 << 20).unwrap(),
            pages: 1,
            memory: Source::Memfd,
            frames: 10,
            frame_bytes: 64,
            content: Content::Checked,
            peer,
            packed: false,
            window: 1,
            wait: Wait::Both,
            millis: None,
        };
        let outcome = Outcome { sent: 10, tally, nanos: 1, finished: false, round_trips: Vec::new() };
        match judge(&task, &outcome) {
            Ok(text) | Err(Stop::Because(_, text)) => text,
            Err(Stop::Gone(error)) => error.to_string(),
        }
    }

    #[test]
    fn an_altered_frame_has_come_and_a_foreign_one_is_named() {
        let nothing = Tally::default();
        for (tally, expected) in [
            (Tally { intact: 10, ..nothing }, "10 frames came back, each exactly once and unchanged"),
            (nothing, "of 10 frames, 10 did not come back in time"),
            (
                Tally { foreign: 3, ..nothing },
                "of 10 frames, 10 did not come back in time; 3 frames arrived that are not hugeprobe's",
            ),
            (
                Tally { intact: 8, altered: 2, ..nothing },
                "of 10 frames, 2 came back altered, 0 twice, 0 not at all",
            ),
            (
                Tally { altered: 1, foreign: 1, ..nothing },
                "of 10 frames, 1 came back altered, 0 twice, 9 not at all; 1 frames arrived that are not hugeprobe's",
            ),
        ] {
            assert_eq!(said(BackendMode::Source, tally), expected);
        }
    }
}
