//! Our frontend with Open vSwitch: it connects to us, and switches frames between two of our frontends.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hugeprobe::domain::size::PageSize;
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::frontend::{Area, Frontend, FrontendError, Job, Memory, Outcome, Pair, Peer};
use hugeprobe::exchange::socket::Listener;

use super::{LONG, memory};
use crate::Case;
use crate::context::ovs::{Ovs, PAGES, SPARE};
use crate::context::program::check;
use crate::context::{LARGE, Machine, Missing, SMALL};

pub(super) const CASES: &[Case] = &[
    ("peers: what goes into one port of OVS comes out of the other, before and after its restart", small),
    ("peers: what goes into one port of OVS comes out of the other, from pages of 1Gi", large),
];

/// The frames of a round. They fit into a ring, so that they need not be received while they are sent.
const ROUND: u64 = 128;
const ROUNDS: u64 = 200;

fn small(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, PAGES + 4 + SPARE)?;
    let directory = tempfile::tempdir().unwrap();
    let mut ovs = Ovs::start(directory.path(), &["a", "b"])?;
    preflight(directory.path(), SMALL, &ovs);
    let listeners = ["a", "b"].map(|port| Listener::new(&directory.path().join(port)).unwrap());
    let memories = [memory(SMALL, 2), memory(SMALL, 2)];
    with_both(&listeners, &memories, |sides| {
        switch(sides);
        // Open vSwitch ends while frames are in flight, and both sides notice.
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(300));
                ovs.stop();
            });
            let endless = job(1, u64::MAX, Peer::Sinks);
            sides[0].run(&endless, LONG).unwrap_err();
            sides[1].run(&job(1, u64::MAX, Peer::Sends), LONG).unwrap_err();
        });
    });
    ovs.restart();
    with_both(&listeners, &memories, switch);
    Ok(())
}

fn large(machine: &Machine) -> Result<(), Missing> {
    let _pages = (machine.pages(SMALL, PAGES + SPARE)?, machine.pages(LARGE, 2)?);
    let directory = tempfile::tempdir().unwrap();
    let ovs = Ovs::start(directory.path(), &["a", "b"])?;
    preflight(directory.path(), LARGE, &ovs);
    let listeners = ["a", "b"].map(|port| Listener::new(&directory.path().join(port)).unwrap());
    with_both(&listeners, &[memory(LARGE, 1), memory(LARGE, 1)], switch);
    Ok(())
}

/// Asserts that `check --peer` reports about a port of OVS what the frames below show.
fn preflight(directory: &Path, size: PageSize, ovs: &Ovs) {
    let (size, path) = (size.to_string(), directory.join("a"));
    let socket = path.to_str().unwrap();
    let only = ["--only", "HP612", "--only", "HP613", "--only", "HP614", "--only", "HP615"];
    let arguments = ["--size", &size, "--peer", socket, "--peer-listen", "--peer-transmit", "64"];
    let run = check(&[&arguments[..], &only].concat());
    assert_eq!(run.code, Some(0), "{run:?}\n{}", ovs.log());
    assert_eq!(run.expect("HP612", "pass")["evidence"]["peer"]["command"], "ovs-vswitchd-dp");
    run.expect("HP615", "pass");
    assert!(!path.exists());
}

/// A frontend with its queues.
pub(super) struct Side<'m> {
    pub(super) frontend: Frontend,
    pub(super) pair: Pair<'m>,
}

impl Side<'_> {
    fn run(&mut self, job: &Job, time: Duration) -> Result<Outcome, String> {
        let deadline = Instant::now() + time;
        self.pair.run(job, self.frontend.channel(), deadline).map_err(|error| error.to_string())
    }
}

/// Passes frames between the ports `a` and `b`, which connect.
pub(super) fn forwards(directory: &Path) {
    let listeners = ["a", "b"].map(|port| Listener::new(&directory.join(port)).unwrap());
    with_both(&listeners, &[memory(SMALL, 2), memory(SMALL, 2)], switch);
}

/// Runs `act` with two sessions, each with a port of OVS that connects.
fn with_both(listeners: &[Listener; 2], memories: &[Memory; 2], act: impl FnOnce(&mut [Side<'_>; 2])) {
    let mut areas = [0, 1].map(|side| memories[side].areas(memories[side].regions()));
    let [first, second] = &mut areas;
    let accept = |port: usize| listeners[port].accept(Instant::now() + LONG).unwrap();
    let first = side(|| accept(0), &memories[0], first);
    act(&mut [first, side(|| accept(1), &memories[1], second)]);
}

/// Starts a session over a connection. While Open vSwitch finds out how many buffers fit into its memory, which it does
/// when another port gets its first session, it has no room for a session and refuses it.
pub(super) fn side<'m>(connect: impl Fn() -> OwnedFd, memory: &Memory, areas: &mut [Area<'m>]) -> Side<'m> {
    let until = Instant::now() + LONG;
    loop {
        match try_side(connect(), memory, areas) {
            Ok(side) => return side,
            Err(FrontendError::Refused { .. }) if Instant::now() < until => {
                areas.iter_mut().for_each(Area::clear);
                thread::sleep(Duration::from_millis(200));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn try_side<'m>(socket: OwnedFd, memory: &Memory, areas: &mut [Area<'m>]) -> Result<Side<'m>, FrontendError> {
    let mut frontend = Frontend::new(Channel::new(socket), LONG)?;
    let (regions, fds) = memory.table(memory.regions());
    frontend.set_memory(&regions, &fds)?;
    let pair = Pair::largest(areas, frontend.negotiated().features)?;
    frontend.start(&pair)?;
    Ok(Side { frontend, pair })
}

/// Sends many rounds of frames in each direction. All must arrive at the other side once and unchanged.
pub(super) fn switch(sides: &mut [Side<'_>; 2]) {
    for from in [0, 1] {
        let to = 1 - from;
        // A new port may not take part in the bridge's flooding yet.
        let until = Instant::now() + LONG;
        loop {
            assert!(Instant::now() < until, "nothing passes from {from} to {to}");
            assert!(sides[from].run(&job(7, 1, Peer::Sinks), LONG).unwrap().finished);
            if sides[to].run(&job(7, 1, Peer::Sends), Duration::from_millis(200)).unwrap().finished {
                break;
            }
        }
        for round in 0..ROUNDS {
            let seed = 100 + round;
            assert!(sides[from].run(&job(seed, ROUND, Peer::Sinks), LONG).unwrap().finished);
            let came = sides[to].run(&job(seed, ROUND, Peer::Sends), LONG).unwrap();
            assert!(came.finished && came.tally.is_whole(ROUND), "round {round}: {came:?}");
        }
    }
}

fn job(seed: u64, frames: u64, peer: Peer) -> Job {
    Job { seed, frames, length: 64, peer, ..Job::default() }
}
