//! Each role against a peer that misbehaves: a table of scripts, and what the role makes of each.
//!
//! Every row has to end in the outcome stated, with no descriptor left open. They run one after
//! another: descriptors are counted.
// clippy.toml's exemption of tests is for what `cfg(test)` marks, and helpers of an integration test are not marked.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod backend;
mod daemons;
mod frontend;
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

/// How long a session takes that ends by its deadline.
const DEADLINE: Duration = Duration::from_millis(1500);
/// The deadline of all others, which no machine is so busy as to need: how they end is what they say.
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

/// How a session ends that ends by its deadline: the backend's; the frontend's, and the frontend's that stops its rings then
/// because no frame passes.
const AT_DEADLINE: [&str; 4] =
    ["Deadline", "sent nothing for", "0 of 0, [0, 0]", "the answer to GET_VRING_BASE is"];

/// How long a session may take that should end so.
fn time_of(expected: &str) -> Duration {
    if AT_DEADLINE.iter().any(|end| expected.starts_with(end)) { DEADLINE } else { LATEST }
}

/// Runs one row, which is told how long it may take, and looks at the descriptors. What is wrong with its outcome.
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
