//! Each role with a peer that misbehaves: a table of scripts, and the outcome of the role for each of them.
//!
//! Every row must end with the outcome stated, within its time limit, and must leave no descriptor, socket or mapping
//! behind. The rows run one after another, because the tests count them.
// clippy.toml exempts tests, but only code marked by `cfg(test)`. The helpers of an integration test are not marked.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod backend;
mod daemons;
mod frontend;
mod packed;
mod peer;
mod script;
mod taken_away;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hugeprobe::exchange::message::MemoryRegion;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

/// The time limit of a session that is expected to end by its deadline.
const DEADLINE: Duration = Duration::from_millis(1500);
/// The time limit of all other sessions. No machine is so busy that it reaches the limit: tests compare how sessions
/// end.
const LATEST: Duration = Duration::from_secs(60);

const BYTES: u64 = 1 << 20;
const GUEST: u64 = 0x4000_0000;
const USER: u64 = 0x7000_0000_0000;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn one_at_a_time() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What this process holds. A row must not change it.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    sockets: usize,
    /// The mappings of files that a peer has passed.
    mappings: usize,
    /// The kB of huge pages that are mapped.
    huge: u64,
}

fn held() -> Held {
    let targets: Vec<_> =
        std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path()).collect();
    // The descriptor of the directory itself is closed by now.
    let is_socket = |path: &&std::path::PathBuf| {
        std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let huge = status.lines().find_map(|line| line.strip_prefix("HugetlbPages:"));
    Held {
        descriptors: targets.len(),
        sockets: targets.iter().filter(is_socket).count(),
        mappings: maps.lines().filter(|line| line.contains("/memfd:")).count(),
        huge: huge.map_or(0, |text| text.trim().trim_end_matches(" kB").parse().unwrap()),
    }
}

/// The outcomes of sessions that end by their deadline: that of the backend, that of the frontend, and that of a
/// frontend that stops its rings then because no frame arrives.
const AT_DEADLINE: [&str; 4] =
    ["Deadline", "sent nothing for", "0 of 0, [", "the answer to GET_VRING_BASE is"];

/// Returns the time limit of a session with the outcome `expected`.
fn time_of(expected: &str) -> Duration {
    if AT_DEADLINE.iter().any(|end| expected.starts_with(end)) { DEADLINE } else { LATEST }
}

/// Runs one row with its time limit and checks what it has left behind. Returns an error if the outcome is wrong.
fn try_row(name: &str, expected: &str, run: impl FnOnce(Duration) -> String) -> Result<(), String> {
    let (before, began, time) = (held(), Instant::now(), time_of(expected));
    let outcome = run(time);
    if !outcome.contains(expected) {
        return Err(format!("{name}: '{outcome}' does not contain '{expected}'"));
    }
    assert!(began.elapsed() < time + LATEST, "{name}: {:?}, and its time limit is {time:?}", began.elapsed());
    assert_eq!(held(), before, "{name}: left behind");
    Ok(())
}

fn row(name: &str, expected: &str, run: impl FnOnce(Duration) -> String) {
    try_row(name, expected, run).unwrap();
}

fn memfd(bytes: u64) -> OwnedFd {
    let fd = memfd_create(c"hostile", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    ftruncate(&fd, bytes.try_into().unwrap()).unwrap();
    fd
}

fn eventfd() -> OwnedFd {
    EventFd::from_flags(EfdFlags::EFD_CLOEXEC).unwrap().into()
}

fn region() -> MemoryRegion {
    MemoryRegion { guest: GUEST, bytes: BYTES, user: USER, offset: 0 }
}

fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}
