//! Both real ends, over memory of 4 KiB pages, so on any machine: what the protocol and the rings do does not depend on
//! the pages. That the pages are huge is verified elsewhere, and on its own.
// clippy.toml's exemption of tests is for what `cfg(test)` marks, and helpers of an integration test are not marked.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hugeprobe::domain::size::{HugeLen, PageSize};
use hugeprobe::exchange::backend::{
    Backend, BackendError, End, FEATURES, Nobody, Options, PROTOCOL_FEATURES, Report, Traffic, Watch, Work,
};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::frame::{Content, Source, Tally, Tracker};
use hugeprobe::exchange::frontend::{Frontend, FrontendError, Job, Memory, Outcome, Pair, Peer, Waiting};
use hugeprobe::exchange::message::{Message, Payload, Request, VringState, feature, protocol};
use hugeprobe::exchange::ring::Layout;
use hugeprobe::exchange::table::{Pages, Table};
use hugeprobe::linux::map::Sharing;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

/// Long, for a machine that does much else; no test waits for it.
const LONG: Duration = Duration::from_secs(60);
const SEED: u64 = 0x5eed;

type Ended = (Result<End, BackendError>, Report);

fn options(work: Work) -> Options {
    Options { pages: Pages::Any, work, features: FEATURES, protocol_features: PROTOCOL_FEATURES }
}

fn start(options: Options) -> (Channel, JoinHandle<Ended>) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let backend = thread::spawn(move || {
        let mut watch = Nobody;
        let mut backend = Backend::new(Channel::new(theirs.into()), options, &mut watch);
        let end = backend.serve(Instant::now() + LONG);
        (end, backend.report())
    });
    (Channel::new(ours.into()), backend)
}

/// Files of 4 MiB, each in so many regions.
fn memory(files: u64, regions: u64) -> Memory {
    let len = HugeLen::new(PageSize::from_bytes(2 << 20).unwrap(), 2).unwrap();
    let mut memory = Memory::default();
    for _ in 0..files {
        let fd = memfd_create(c"exchange", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        ftruncate(&fd, 4 << 20).unwrap();
        memory.add(fd.as_fd(), len, Sharing::Shared, regions).unwrap();
    }
    memory
}

fn job(peer: Peer, frames: u64) -> Job {
    Job { seed: SEED, frames, length: 64, peer, window: 256, ..Job::default() }
}

/// A whole session with split rings: what the frontend and what the backend say.
fn session(options: Options, memory: &Memory, size: u16, job: &Job) -> (Outcome, [u32; 2], Report) {
    session_with(Layout::Split, options, memory, size, job)
}

fn session_with(
    layout: Layout,
    options: Options,
    memory: &Memory,
    size: u16,
    job: &Job,
) -> (Outcome, [u32; 2], Report) {
    let (channel, backend) = start(options);
    let mut frontend = Frontend::with_rings(layout, channel, LONG).unwrap();
    let (regions, fds) = memory.table(memory.regions());
    frontend.set_memory(&regions, &fds).unwrap();
    let mut areas = memory.areas(memory.regions());
    let mut pair = Pair::new(&mut areas, size, frontend.negotiated().features).unwrap();
    frontend.start(&pair).unwrap();
    let outcome = pair.run(job, frontend.channel(), Instant::now() + LONG).unwrap();
    let bases = frontend.stop(&pair).unwrap();
    drop(frontend);
    let (end, report) = backend.join().unwrap();
    assert!(matches!(end, Ok(End::Closed)), "{end:?}");
    assert_eq!((pair.layout(), Layout::of(report.features)), (layout, layout), "both sides used it");
    (outcome, bases, report)
}

#[test]
fn every_frame_comes_back_once_and_as_it_was() {
    for (files, regions, size, length, waiting, window) in [
        (1, 1, 256, 64, Waiting::Called, 256),
        (1, 2, 256, 60, Waiting::Looking, 256),
        (2, 1, 128, 1518, Waiting::Called, 128),
        (2, 4, 512, 333, Waiting::Called, 512),
        (1, 8, 2, 64, Waiting::Called, 2),
        (1, 1, 1, 64, Waiting::Called, 1),
    ] {
        let frames = 3000;
        let job = Job { length, window, waiting, ..job(Peer::Echoes, frames) };
        let (outcome, bases, report) = session(options(Work::Echo), &memory(files, regions), size, &job);
        assert!(outcome.finished && outcome.tally.is_whole(frames), "{outcome:?}");
        assert_eq!((outcome.sent, outcome.tally.bytes), (frames, frames * length as u64));
        assert_eq!((report.traffic.received, report.traffic.sent, report.tables), (frames, frames, 1));
        assert_eq!(bases, [3000, 3000]);
        assert_eq!(outcome.round_trips.len(), if window == 1 { 3000 } else { 0 });
    }
}

#[test]
fn every_frame_comes_back_through_packed_rings() {
    for (files, regions, size, length, waiting, window) in [
        (1, 1, 256, 64, Waiting::Called, 256),
        (2, 1, 128, 1518, Waiting::Called, 128),
        // A packed ring may have any size.
        (2, 4, 333, 333, Waiting::Looking, 256),
        (1, 8, 3, 64, Waiting::Called, 3),
        (1, 1, 1, 64, Waiting::Sleeping, 1),
    ] {
        let frames = 3000;
        let job = Job { length, window, waiting, ..job(Peer::Echoes, frames) };
        let memory = memory(files, regions);
        let (outcome, bases, report) = session_with(Layout::Packed, options(Work::Echo), &memory, size, &job);
        assert!(outcome.finished && outcome.tally.is_whole(frames), "{outcome:?}");
        assert_eq!((report.traffic.received, report.traffic.sent), (frames, frames));
        // The index, and the wrap counter, which changes with each round; both for the taken and the returned chains.
        let (rounds, index) = (3000 / u32::from(size), 3000 % u32::from(size));
        let position = if rounds % 2 == 0 { 0x8000 | index } else { index };
        assert_eq!(bases, [position << 16 | position; 2]);
    }
}

/// testpmd dropped all frames of a window once, because its own queue was not ready, and the frontend waited for ever.
#[test]
fn a_first_frame_that_the_backend_drops_is_sent_again() {
    let enable = |num| Message {
        needs_reply: num == 0,
        ..Message::request(Request::SetVringEnable, Payload::Vring(VringState { index: 1, num }))
    };
    for waiting in [Waiting::Called, Waiting::Looking] {
        let (channel, backend) = start(options(Work::Echo));
        let memory = memory(1, 1);
        let mut frontend = Frontend::new(channel, LONG).unwrap();
        let (regions, fds) = memory.table(memory.regions());
        frontend.set_memory(&regions, &fds).unwrap();
        let mut areas = memory.areas(memory.regions());
        let mut pair = Pair::new(&mut areas, 256, frontend.negotiated().features).unwrap();
        frontend.start(&pair).unwrap();
        // The backend discards what it takes from a vring that is disabled.
        frontend.channel().ask(&enable(0), &[], Instant::now() + LONG).unwrap();
        let second = Channel::new(frontend.channel().as_fd().try_clone_to_owned().unwrap());
        let later = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            second.send(&enable(1), &[], Instant::now() + LONG).unwrap();
        });
        let job = Job { waiting, first_again: true, ..job(Peer::Echoes, 1000) };
        let outcome = pair.run(&job, frontend.channel(), Instant::now() + LONG).unwrap();
        assert!(outcome.finished && outcome.tally.is_whole(1000) && outcome.sent == 1000, "{outcome:?}");
        later.join().unwrap();
        drop(frontend);
        let (_, report) = backend.join().unwrap();
        assert_eq!((report.traffic.discarded, report.traffic.sent), (1, 1000));
    }
}

#[test]
fn plain_frames_are_counted_and_not_read() {
    let frames = 3000;
    let plain = Job { content: Content::Plain, ..job(Peer::Echoes, frames) };
    for layout in [Layout::Split, Layout::Packed] {
        let (outcome, _, report) = session_with(layout, options(Work::Echo), &memory(1, 2), 256, &plain);
        let expected = Tally { unread: frames, bytes: 64 * frames, ..Tally::default() };
        assert!(outcome.finished && outcome.tally == expected, "{outcome:?}");
        assert_eq!((report.traffic.received, report.traffic.sent), (frames, frames));
    }
    // A backend that verifies them says that they are no frames of its run.
    let work = Work::Sink(Some(Tracker::new(SEED)));
    let job = Job { peer: Peer::Sinks, ..plain };
    let (_, _, report) = session(options(work), &memory(1, 1), 256, &job);
    assert_eq!(report.tally.map(|tally| (tally.intact, tally.altered)), Some((0, frames)));
}

#[test]
fn either_side_may_send_alone_through_packed_rings() {
    let work = Work::Sink(Some(Tracker::new(SEED)));
    let (outcome, _, report) =
        session_with(Layout::Packed, options(work), &memory(1, 1), 100, &job(Peer::Sinks, 5000));
    assert!(outcome.finished && outcome.sent == 5000);
    assert!(report.tally.unwrap().is_whole(5000), "{report:?}");

    let work = Work::Source { source: Source::new(SEED, 64), frames: 5000, returns: None };
    let (outcome, ..) =
        session_with(Layout::Packed, options(work), &memory(1, 1), 100, &job(Peer::Sends, 5000));
    assert!(outcome.finished && outcome.tally.is_whole(5000), "{outcome:?}");
}

#[test]
fn packed_rings_are_used_only_where_both_sides_want_them() {
    // Split rings, although the backend offers both: the default of QEMU and virtio_user too.
    let (_, _, report) = session(options(Work::Echo), &memory(1, 1), 64, &job(Peer::Echoes, 100));
    assert_eq!(Layout::of(report.features), Layout::Split);
    let split = Options { features: FEATURES & !feature::RING_PACKED, ..options(Work::Echo) };
    let (channel, backend) = start(split);
    let error = Frontend::with_rings(Layout::Packed, channel, LONG).unwrap_err();
    assert_eq!(error.to_string(), "the backend does not offer packed rings (VIRTIO_F_RING_PACKED)");
    drop(backend.join().unwrap());
}

#[test]
fn a_backend_may_have_few_features() {
    let wanted = feature::VERSION_1 | feature::MRG_RXBUF | feature::PROTOCOL_FEATURES;
    for (features, protocol_features) in [
        (0, 0),
        (feature::VERSION_1, 0),
        (feature::MRG_RXBUF, 0),
        (feature::PROTOCOL_FEATURES, 0),
        (FEATURES, protocol::REPLY_ACK),
        (FEATURES, protocol::MQ),
        (FEATURES, protocol::CONFIGURE_MEM_SLOTS),
    ] {
        let options = Options { features, protocol_features, ..options(Work::Echo) };
        let (outcome, _, report) = session(options, &memory(1, 2), 64, &job(Peer::Echoes, 500));
        assert!(
            outcome.finished && outcome.tally.is_whole(500),
            "{features:x} {protocol_features:x} {outcome:?}"
        );
        assert_eq!(
            (report.features, report.protocol_features),
            (features & wanted, protocol_features),
            "one pair of split rings is used, without indirect tables"
        );
    }
}

#[test]
fn either_side_may_send_alone() {
    let work = Work::Sink(Some(Tracker::new(SEED)));
    let (outcome, _, report) = session(options(work), &memory(1, 1), 256, &job(Peer::Sinks, 5000));
    assert!(outcome.finished && outcome.sent == 5000);
    assert!(report.tally.unwrap().is_whole(5000), "{report:?}");

    let work = Work::Source { source: Source::new(SEED, 64), frames: 5000, returns: None };
    let (outcome, _, report) = session(options(work), &memory(1, 1), 256, &job(Peer::Sends, 5000));
    assert!(outcome.finished && outcome.tally.is_whole(5000), "{outcome:?}");
    assert_eq!((report.traffic.sent, report.traffic.received), (5000, 0));
}

#[test]
fn a_backend_with_a_limit_takes_that_many_frames_and_no_more() {
    for (work, most) in [(Work::Sink(None), 1000), (Work::Echo, 1000), (Work::Sink(None), 0)] {
        let (theirs, ours) = UnixStream::pair().unwrap();
        let backend = thread::spawn(move || {
            let mut watch = Nobody;
            let mut backend = Backend::new(Channel::new(theirs.into()), options(work), &mut watch);
            backend.set_limit(most);
            let end = backend.serve(Instant::now() + LONG);
            (end, backend.report())
        });
        let memory = memory(1, 1);
        let mut frontend = Frontend::new(Channel::new(ours.into()), LONG).unwrap();
        let (regions, fds) = memory.table(1);
        frontend.set_memory(&regions, &fds).unwrap();
        let mut pair = Pair::new(&mut memory.areas(1), 256, frontend.negotiated().features).unwrap();
        frontend.start(&pair).unwrap();
        let soon = Instant::now() + Duration::from_secs(1);
        let outcome = pair.run(&job(Peer::Sinks, 2000), frontend.channel(), soon).unwrap();
        assert_eq!((outcome.sent, outcome.finished), (most, false));
        frontend.stop(&pair).unwrap();
        drop(frontend);
        let (end, report) = backend.join().unwrap();
        assert!(matches!(end, Ok(End::Closed)), "{end:?}");
        assert_eq!(report.traffic.received, most);
    }
}

#[test]
fn the_backend_s_frames_come_back_from_a_frontend_that_begins_when_it_likes() {
    let work =
        Work::Source { source: Source::new(SEED, 64), frames: 5000, returns: Some(Tracker::new(SEED)) };
    let (channel, backend) = start(options(work));
    let memory = memory(1, 2);
    let mut frontend = Frontend::new(channel, LONG).unwrap();
    let (regions, fds) = memory.table(2);
    frontend.set_memory(&regions, &fds).unwrap();
    let features = frontend.negotiated().features;
    // Rings that run and are given up again, as those of a port that is not started yet: what came to them is lost.
    // A knock is a frame each 20 ms, so a second is too short for 64 of them: a try that took longer, or was over before the
    // backend came to its first, shows nothing and is made again.
    let until = Instant::now() + LONG;
    let knocks = loop {
        let began = Instant::now();
        let early = Pair::new(&mut memory.areas(2), 64, features).unwrap();
        frontend.start(&early).unwrap();
        thread::sleep(Duration::from_millis(100));
        let bases = frontend.stop(&early).unwrap();
        if (bases[0] > 0 && began.elapsed() < Duration::from_secs(1)) || Instant::now() > until {
            break bases[0];
        }
    };
    assert!((1..64).contains(&knocks), "a knock now and then, and nothing else: {knocks}");
    let mut pair = Pair::new(&mut memory.areas(2), 64, features).unwrap();
    frontend.start(&pair).unwrap();
    let outcome = pair.run(&job(Peer::Wants, 5000), frontend.channel(), Instant::now() + LONG).unwrap();
    assert!(outcome.finished && outcome.tally.is_whole(5000), "{outcome:?}");
    frontend.stop(&pair).unwrap();
    drop(frontend);
    let (end, report) = backend.join().unwrap();
    assert!(matches!(end, Ok(End::Closed)), "{end:?}");
    assert!(report.tally.unwrap().is_whole(5000), "{report:?}");
    assert_eq!((report.traffic.sent, report.traffic.received), (5000, 5000), "knocks are not counted");
}

#[test]
fn frames_of_another_run_are_not_taken_for_intact() {
    let work = Work::Source { source: Source::new(SEED + 1, 64), frames: 100, returns: None };
    let (outcome, ..) = session(options(work), &memory(1, 1), 256, &job(Peer::Sends, 100));
    assert_eq!((outcome.tally.intact, outcome.tally.altered), (0, 100));
}

#[test]
fn memory_is_replaced_while_rings_run() {
    for layout in [Layout::Split, Layout::Packed] {
        memory_is_replaced(layout);
    }
}

fn memory_is_replaced(layout: Layout) {
    let (channel, backend) = start(options(Work::Echo));
    let memory = memory(3, 1);
    let mut frontend = Frontend::with_rings(layout, channel, LONG).unwrap();
    let set = |frontend: &mut Frontend, count| {
        let (regions, fds) = memory.table(count);
        frontend.set_memory(&regions, &fds).unwrap();
    };
    set(&mut frontend, 2);
    let mut pair = Pair::new(&mut memory.areas(2), 64, frontend.negotiated().features).unwrap();
    frontend.start(&pair).unwrap();
    // One more region, the same again, and back.
    for (round, count) in [(0, 3), (1, 3), (2, 2)] {
        let job = Job { seed: round, ..job(Peer::Echoes, 500) };
        let outcome = pair.run(&job, frontend.channel(), Instant::now() + LONG).unwrap();
        assert!(outcome.tally.is_whole(500), "{outcome:?}");
        set(&mut frontend, count);
    }
    // One by one: a table of all three has two that are there already.
    let (regions, fds) = memory.table(3);
    frontend.add_region(regions[2], fds[2]).unwrap();
    frontend.remove_region(regions[2]).unwrap();
    let outcome = pair.run(&job(Peer::Echoes, 500), frontend.channel(), Instant::now() + LONG).unwrap();
    assert!(outcome.tally.is_whole(500), "{outcome:?}");
    frontend.stop(&pair).unwrap();
    drop(frontend);
    let (end, report) = backend.join().unwrap();
    assert!(matches!(end, Ok(End::Closed)));
    assert_eq!((report.tables, report.traffic.received), (5, 2000));
}

#[test]
fn a_pair_that_was_stopped_starts_again() {
    let (channel, backend) = start(options(Work::Echo));
    let memory = memory(1, 2);
    let mut frontend = Frontend::new(channel, LONG).unwrap();
    let (regions, fds) = memory.table(2);
    frontend.set_memory(&regions, &fds).unwrap();
    for round in 0..3 {
        let mut pair = Pair::new(&mut memory.areas(2), 64, frontend.negotiated().features).unwrap();
        frontend.start(&pair).unwrap();
        let job = Job { seed: round, ..job(Peer::Echoes, 200) };
        assert!(pair.run(&job, frontend.channel(), Instant::now() + LONG).unwrap().tally.is_whole(200));
        assert_eq!(frontend.stop(&pair).unwrap(), [200, 200]);
    }
    drop(frontend);
    assert_eq!(backend.join().unwrap().1.traffic.received, 600);
}

#[test]
fn small_pages_are_refused_where_huge_ones_are_asked_for() {
    for protocol_features in [PROTOCOL_FEATURES, 0] {
        let options = Options { pages: Pages::Huge, protocol_features, ..options(Work::Echo) };
        let (channel, backend) = start(options);
        let mut frontend = Frontend::new(channel, LONG).unwrap();
        let memory = memory(1, 1);
        let (regions, fds) = memory.table(1);
        let error = frontend.set_memory(&regions, &fds).unwrap_err();
        // Without acknowledgements all that is seen is that it hangs up.
        let is_as_expected = match error {
            FrontendError::Refused { request, answer: 1 } => {
                request == Request::SetMemTable && protocol_features != 0
            }
            FrontendError::HungUp(request) => request == Request::SetMemTable && protocol_features == 0,
            _ => false,
        };
        assert!(is_as_expected, "{error}");
        let (end, _) = backend.join().unwrap();
        assert!(end.unwrap_err().to_string().contains("not on hugetlbfs"));
    }
}

#[test]
fn somebody_who_looks_on_may_refuse_a_table() {
    struct Picky;
    impl Watch for Picky {
        fn table(&mut self, table: &Table, _: &Traffic) -> Result<(), String> {
            if table.regions().len() == 1 { Err("one region is too few".to_owned()) } else { Ok(()) }
        }
    }
    let (theirs, ours) = UnixStream::pair().unwrap();
    let backend = thread::spawn(move || {
        let mut watch = Picky;
        let mut backend = Backend::new(Channel::new(OwnedFd::from(theirs)), options(Work::Echo), &mut watch);
        backend.serve(Instant::now() + LONG).unwrap_err().to_string()
    });
    let mut frontend = Frontend::new(Channel::new(ours.into()), LONG).unwrap();
    let memory = memory(1, 1);
    let (regions, fds) = memory.table(1);
    assert!(matches!(frontend.set_memory(&regions, &fds), Err(FrontendError::Refused { .. })));
    assert_eq!(backend.join().unwrap(), "SET_MEM_TABLE: one region is too few");
}

#[test]
fn too_little_memory_is_said_before_anything_is_sent() {
    let memory = memory(1, 1);
    let error = Pair::new(&mut memory.areas(1), 4096, FEATURES).unwrap_err().to_string();
    assert_eq!(error, "too little memory for a pair of queues of 4096 descriptors and their buffers");
    let split = FEATURES & !feature::RING_PACKED;
    assert!(Pair::new(&mut memory.areas(1), 3, split).unwrap_err().to_string().contains("a vring of 3"));
    assert!(Pair::new(&mut [], 8, FEATURES).is_err());
}
