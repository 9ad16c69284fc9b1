//! Many sessions with one port, one after another: neither side loses a descriptor, a mapping or a page.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::frontend::{Frontend, Job, Pair};
use hugeprobe::exchange::socket::connect;

use super::ovs::{side, switch};
use super::{LONG, memory};
use crate::Case;
use crate::context::ovs::{Ovs, PAGES, SPARE};
use crate::context::pools::available;
use crate::context::testpmd::Testpmd;
use crate::context::{Machine, Missing, SMALL};

pub(super) const CASES: &[Case] = &[
    ("peers: many sessions with one port of testpmd lose nothing on either side", with_testpmd),
    ("peers: many sessions with one port of Open vSwitch lose nothing on either side", with_ovs),
];

const SESSIONS: u32 = 1000;
/// The sessions after which the figures are taken first. By then a peer has what it keeps for all later ones.
const FIRST: u32 = 10;
/// Pages of sessions, and of those that the peer has not closed yet.
const OWN: u64 = 16;

/// What both sides hold between two sessions.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    /// The descriptors and the mappings of the peer.
    peer: [usize; 2],
    /// The mappings of pages of this process by the peer.
    shared: usize,
    /// The descriptors and the mappings of this process.
    own: [usize; 2],
    /// The free pages of 2Mi.
    free: u64,
}

fn with_testpmd(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.small_pages_alone(16 + OWN)?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let device = format!("net_vhost0,iface={},queues=1", socket.display());
    let testpmd = Testpmd::start(directory.path(), &device, &["--forward-mode=io"])?;
    let pid = u32::try_from(testpmd.pid().as_raw()).unwrap();
    again_and_again("testpmd", pid, &socket, || {
        session(&socket, |frontend, pair| {
            let frames = 100_000;
            let job = Job { frames, window: 256, first_again: true, ..Job::default() };
            let outcome = pair.run(&job, frontend.channel(), Instant::now() + LONG).unwrap();
            assert!(outcome.finished && outcome.tally.is_whole(frames), "{outcome:?}");
        });
    });
    Ok(())
}

fn with_ovs(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.small_pages_alone(PAGES + SPARE + OWN)?;
    let directory = tempfile::tempdir().unwrap();
    let ovs = Ovs::start(directory.path(), &[])?;
    let ports = ["a", "b"].map(|port| directory.path().join(port));
    ["a", "b"].into_iter().for_each(|port| ovs.add_server(port));
    again_and_again("Open vSwitch", ovs.pid(), &ports[0], || {
        let memories = [memory(SMALL, 2), memory(SMALL, 2)];
        let [mut first, mut second] = [0, 1].map(|port: usize| memories[port].areas(2));
        let to = |port: usize| connect(&ports[port], Instant::now() + LONG).unwrap();
        let first = side(|| to(0), &memories[0], &mut first);
        switch(&mut [first, side(|| to(1), &memories[1], &mut second)]);
    });
    Ok(())
}

/// Runs the sessions, and compares what is held after the last one with what is held after the first few. The port
/// passes frames before and after.
fn again_and_again(name: &str, peer: u32, socket: &Path, pass_frames: impl Fn()) {
    // Open vSwitch takes its buffers when a port passes frames for the first time.
    pass_frames();
    (0..FIRST).for_each(|_| session(socket, |_, _| ()));
    let first = settled(peer, |_| true);
    let (before, begin) = (resident(peer), Instant::now());
    (FIRST..SESSIONS).for_each(|_| session(socket, |_, _| ()));
    let took = begin.elapsed().as_secs_f64();
    let last = settled(peer, |last| *last == first);
    println!(
        "{name}: {SESSIONS} sessions in {took:.1} s: {last:?}, resident {before} to {} kB",
        resident(peer)
    );
    assert_eq!(last, first, "{name}: after {FIRST} sessions (right), and after {SESSIONS} (left)");
    pass_frames();
}

/// Runs a session that starts both queues, acts, and stops them. Its pages are new ones.
fn session(socket: &Path, act: impl FnOnce(&mut Frontend, &mut Pair<'_>)) {
    let channel = Channel::new(connect(socket, Instant::now() + LONG).unwrap());
    let mut frontend = Frontend::new(channel, LONG).unwrap();
    let memory = memory(SMALL, 2);
    let (regions, fds) = memory.table(memory.regions());
    frontend.set_memory(&regions, &fds).unwrap();
    let mut areas = memory.areas(memory.regions());
    let mut pair = Pair::new(&mut areas, 256, frontend.negotiated().features).unwrap();
    frontend.start(&pair).unwrap();
    act(&mut frontend, &mut pair);
    frontend.stop(&pair).unwrap();
}

/// Returns what is held once the peer has closed its sessions and the figures are `enough`, or after a long time.
fn settled(peer: u32, enough: impl Fn(&Held) -> bool) -> Held {
    let until = Instant::now() + Duration::from_secs(10);
    let mut before = held(peer);
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = held(peer);
        if (now == before && now.shared == 0 && enough(&now)) || Instant::now() > until {
            return now;
        }
        before = now;
    }
}

fn held(peer: u32) -> Held {
    let peer = format!("/proc/{peer}");
    let descriptors = |process: &str| fs::read_dir(format!("{process}/fd")).unwrap().count();
    let maps = |process: &str| fs::read_to_string(format!("{process}/maps")).unwrap();
    let theirs = maps(&peer);
    Held {
        peer: [descriptors(&peer), theirs.lines().count()],
        shared: theirs.lines().filter(|line| line.contains("/memfd:hugeprobe")).count(),
        own: [descriptors("/proc/self"), maps("/proc/self").lines().count()],
        free: available(SMALL),
    }
}

/// Returns the resident memory of a process without huge pages, in kB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
