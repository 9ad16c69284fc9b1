//! The real peers: DPDK's testpmd at the other end, a million frames each way, none lost or altered.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use hugeprobe::domain::size::HugeLen;
use hugeprobe::exchange::backend::{Backend, End, FEATURES, Nobody, Options, PROTOCOL_FEATURES, Work};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::frame::{Source, Tracker};
use hugeprobe::exchange::frontend::{Frontend, Job, Memory, Pair, Peer, Waiting};
use hugeprobe::exchange::socket::{Listener, connect};
use hugeprobe::exchange::table::Pages;
use hugeprobe::linux::hugefile::{HugeFile, Place};
use hugeprobe::linux::map::Sharing;

use crate::Case;
use crate::context::testpmd::Testpmd;
use crate::context::{Machine, Missing, SMALL};

pub(crate) const CASES: &[Case] = &[
    ("peers: testpmd's vhost sends back a million frames of our frontend's", vhost),
    ("peers: testpmd's virtio_user sends back a million frames of our backend's", virtio_user),
    ("peers: so does one that sends frames of its own first", busy_virtio_user),
];

const FRAMES: u64 = 1_000_000;
/// A busy machine takes its time.
const LONG: Duration = Duration::from_secs(60);
const SEED: u64 = 0xfeed;

fn vhost(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let device = format!("net_vhost0,iface={},queues=1", path.display());
    let _testpmd = Testpmd::start(directory.path(), &device, &["--forward-mode=io"])?;
    let deadline = Instant::now() + LONG;
    let mut frontend = Frontend::new(Channel::new(connect(&path, deadline).unwrap()), LONG).unwrap();
    let mut memory = Memory::default();
    for _ in 0..2 {
        let file = HugeFile::new(Place::Memfd, HugeLen::new(SMALL, 1).unwrap()).unwrap();
        memory.add(file.as_fd(), file.len(), Sharing::Shared, 1).unwrap();
    }
    let (regions, fds) = memory.table(2);
    frontend.set_memory(&regions, &fds).unwrap();
    let mut pair = Pair::new(&mut memory.areas(2), 256, frontend.negotiated().features).unwrap();
    frontend.start(&pair).unwrap();
    for (seed, length, frames) in [(1, 64, FRAMES), (2, 1514, FRAMES / 10)] {
        let (peer, waiting) = (Peer::Echoes, Waiting::Called);
        let job = Job { seed, frames, length, peer, window: 256, waiting };
        let outcome = pair.run(&job, frontend.channel(), deadline).unwrap();
        assert!(outcome.finished && outcome.tally.is_whole(frames), "{outcome:?}");
    }
    assert_eq!(frontend.stop(&pair).unwrap(), [u32::try_from((FRAMES + FRAMES / 10) % 65536).unwrap(); 2]);
    Ok(())
}

fn virtio_user(machine: &Machine) -> Result<(), Missing> {
    send_to_virtio_user(machine, &["--forward-mode=io"])
}

/// Its burst comes first, and goes round and round with ours.
fn busy_virtio_user(machine: &Machine) -> Result<(), Missing> {
    send_to_virtio_user(machine, &["--forward-mode=io", "--tx-first"])
}

fn send_to_virtio_user(machine: &Machine, arguments: &[&str]) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = Listener::new(&path).unwrap();
    let device = format!("net_virtio_user0,path={},queues=1,queue_size=256", path.display());
    let mut testpmd = Some(Testpmd::start(directory.path(), &device, arguments)?);
    let deadline = Instant::now() + LONG;
    let channel = Channel::new(listener.accept(deadline).unwrap());
    let (source, returns) = (Source::new(SEED, 64), Some(Tracker::new(SEED)));
    let work = Work::Source { source, frames: FRAMES, returns };
    let (features, protocol_features) = (FEATURES, PROTOCOL_FEATURES);
    let options = Options { pages: Pages::Of(SMALL), work, features, protocol_features };
    let mut nobody = Nobody;
    let mut backend = Backend::new(channel, options, &mut nobody);
    // In slices, to see when the frames are all back.
    while !backend.report().tally.unwrap().is_whole(FRAMES) && Instant::now() < deadline {
        let end = backend.serve(Instant::now() + Duration::from_millis(100)).unwrap();
        assert_eq!(end, End::Deadline, "testpmd is gone: {:?}", backend.report());
    }
    let report = backend.report();
    assert!(report.tally.unwrap().is_whole(FRAMES), "{report:?}");
    // It sends its table again whenever its memory grows, which it does at the start.
    assert!(report.tables >= 2, "{report:?}");
    let ending = std::thread::spawn(move || drop(testpmd.take()));
    assert_eq!(backend.serve(Instant::now() + LONG).unwrap(), End::Closed);
    ending.join().unwrap();
    Ok(())
}
