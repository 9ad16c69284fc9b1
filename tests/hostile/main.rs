//! Each role with a peer that misbehaves: a table of scripts, and the outcome of the role for each of them.
//!
//! Every row must end with the outcome stated, and must leave no descriptor open. The rows run one after another,
//! because the tests count descriptors.
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
use std::time::Duration;

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

/// The outcomes of sessions that end by their deadline: that of the backend, that of the frontend, and that of a
/// frontend that stops its rings then because no frame arrives.
const AT_DEADLINE: [&str; 4] =
    ["Deadline", "sent nothing for", "0 of 0, [", "the answer to GET_VRING_BASE is"];

/// Returns the time limit of a session with the outcome `expected`.
fn time_of(expected: &str) -> Duration {
    if AT_DEADLINE.iter().any(|end| expected.starts_with(end)) { DEADLINE } else { LATEST }
}

/// Runs one row with its time limit and checks the number of open descriptors. Returns an error if the outcome is
/// wrong.
fn try_row(name: &str, expected: &str, run: impl FnOnce(Duration) -> String) -> Result<(), String> {
    let before = open_fds();
    let outcome = run(time_of(expected));
    if !outcome.contains(expected) {
        return Err(format!("{name}: '{outcome}' does not contain '{expected}'"));
    }
    assert_eq!(open_fds(), before, "{name}: descriptors left open");
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
