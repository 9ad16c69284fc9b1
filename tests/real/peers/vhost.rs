//! Our frontend with testpmd's net_vhost.

use std::path::Path;
use std::time::{Duration, Instant};

use hugeprobe::domain::size::PageSize;
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::frontend::{Frontend, Job, Outcome, Pair, Peer};
use hugeprobe::exchange::ring::Layout;
use hugeprobe::exchange::socket::connect;

use super::{LONG, memory};
use crate::Case;
use crate::context::testpmd::Testpmd;
use crate::context::{LARGE, Machine, Missing, SMALL};

pub(super) const CASES: &[Case] = &[
    ("peers: testpmd's vhost sends back a million frames of our frontend's", echoes),
    ("peers: testpmd's vhost sends back a million frames from pages of 1Gi", echoes_large),
    ("peers: testpmd's vhost sends back a million frames through packed rings", echoes_packed),
    ("peers: testpmd's vhost takes a million frames of our frontend's and sends none", takes),
    ("peers: testpmd's vhost floods our frontend, which takes none for its own", floods),
];

const FRAMES: u64 = 1_000_000;

fn echoes(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    echo(SMALL, 2)
}

fn echoes_large(machine: &Machine) -> Result<(), Missing> {
    let _pages = (machine.pages(SMALL, 16)?, machine.pages(LARGE, 2)?);
    // testpmd takes the other pages of 1Gi: of several sizes it uses the largest first.
    echo(LARGE, 1)
}

fn echoes_packed(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    // 1,100,000 frames are 4296 rounds of 256 and 224 more. After an even number of rounds, the wrap counter in bit 15
    // is 1. DPDK leaves the upper half 0.
    echo_through(Layout::Packed, SMALL, 2, 0x8000 | 224)
}

fn echo(size: PageSize, files: u64) -> Result<(), Missing> {
    let all = u32::try_from((FRAMES + FRAMES / 10) % 65536).unwrap();
    echo_through(Layout::Split, size, files, all)
}

fn echo_through(layout: Layout, size: PageSize, files: u64, base: u32) -> Result<(), Missing> {
    with_vhost_of(layout, size, files, "io", |pair, frontend, deadline| {
        for (seed, length, frames) in [(1, 64, FRAMES), (2, 1514, FRAMES / 10)] {
            let job = job(seed, length, frames, Peer::Echoes);
            let outcome = pair.run(&job, frontend.channel(), deadline).unwrap();
            assert!(outcome.finished && outcome.tally.is_whole(frames), "{outcome:?}");
        }
        assert_eq!(frontend.stop(pair).unwrap(), [base; 2]);
    })
}

fn takes(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    with_vhost(SMALL, 2, "rxonly", |pair, frontend, deadline| {
        let Outcome { sent, tally, finished, .. } =
            pair.run(&job(1, 64, FRAMES, Peer::Sinks), frontend.channel(), deadline).unwrap();
        assert!(finished);
        assert_eq!((sent, tally.ours() + tally.foreign), (FRAMES, 0));
        assert_eq!(frontend.stop(pair).unwrap(), [0, u32::try_from(FRAMES % 65536).unwrap()]);
    })
}

fn floods(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    with_vhost(SMALL, 2, "txonly", |pair, frontend, _| {
        // Runs until there are 100000 foreign frames, however long that takes. None of our frames arrives.
        let (mut foreign, until) = (0, Instant::now() + LONG);
        while foreign < 100_000 {
            assert!(Instant::now() < until, "{foreign} frames");
            let soon = Instant::now() + Duration::from_millis(500);
            let outcome = pair.run(&job(1, 64, 1, Peer::Sends), frontend.channel(), soon).unwrap();
            assert!(!outcome.finished && outcome.tally.ours() == 0, "{outcome:?}");
            foreign += outcome.tally.foreign;
        }
        frontend.stop(pair).unwrap();
    })
}

fn job(seed: u64, length: usize, frames: u64, peer: Peer) -> Job {
    Job { seed, frames, length, peer, window: 256, first_again: true, ..Job::default() }
}

/// Runs a session with split rings and a net_vhost that forwards in `mode`. `act` ends the session.
fn with_vhost(
    size: PageSize,
    files: u64,
    mode: &str,
    act: impl FnOnce(&mut Pair<'_>, &mut Frontend, Instant),
) -> Result<(), Missing> {
    with_vhost_of(Layout::Split, size, files, mode, act)
}

/// Does the same with rings of a layout.
fn with_vhost_of(
    layout: Layout,
    size: PageSize,
    files: u64,
    mode: &str,
    act: impl FnOnce(&mut Pair<'_>, &mut Frontend, Instant),
) -> Result<(), Missing> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _testpmd = start(directory.path(), &path, mode)?;
    let deadline = Instant::now() + LONG;
    let channel = Channel::new(connect(&path, deadline).unwrap());
    let mut frontend = Frontend::with_rings(layout, channel, LONG).unwrap();
    let memory = memory(size, files);
    let (regions, fds) = memory.table(memory.regions());
    frontend.set_memory(&regions, &fds).unwrap();
    let mut areas = memory.areas(memory.regions());
    let mut pair = Pair::new(&mut areas, 256, frontend.negotiated().features).unwrap();
    frontend.start(&pair).unwrap();
    act(&mut pair, &mut frontend, deadline);
    Ok(())
}

fn start(directory: &Path, path: &Path, mode: &str) -> Result<Testpmd, Missing> {
    Testpmd::start(
        directory,
        &format!("net_vhost0,iface={},queues=1", path.display()),
        &["--forward-mode", mode],
    )
}
