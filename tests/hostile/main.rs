//! Each role against a peer that misbehaves: a table of scripts, and what the role makes of each.
//!
//! Every row has to end within the deadline, in the outcome stated, with no descriptor left open. They run one after
//! another: descriptors are counted.
// clippy.toml's exemption of tests is for what `cfg(test)` marks, and helpers of an integration test are not marked.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod backend;
mod frontend;
mod script;
mod taken_away;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hugeprobe::exchange::message::MemoryRegion;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

/// How long a session may take, and how long it may take to notice that it took too long.
const DEADLINE: Duration = Duration::from_millis(1500);
const LATEST: Duration = Duration::from_secs(10);

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

/// Runs one row and looks at the clock and the descriptors.
fn row(name: &str, expected: &str, run: impl FnOnce(Instant) -> String) {
    let (before, began) = (open_fds(), Instant::now());
    let outcome = run(began + DEADLINE);
    assert!(outcome.contains(expected), "{name}: '{outcome}' does not contain '{expected}'");
    assert!(began.elapsed() < LATEST, "{name}: {:?}", began.elapsed());
    assert_eq!(open_fds(), before, "{name}: descriptors left open");
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
