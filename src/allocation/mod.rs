//! Takes real pages, step by step, and tells how it went: HP5xx, `--need`, and what is measured.
//!
//! Runs in a worker process of its own. Every step is announced before it is tried, because a page that cannot be had
//! may kill whoever touches it; the parent then knows what did. The rule for each page: map it (that reserves), then
//! MADV_POPULATE_WRITE, then write. Whatever is held is given back on every way out, a kill included.
//!
//! `sequence` is the heart; `trial` decides what a step that others may have disturbed amounts to.

mod backing;
mod evidence;
mod explain;
mod measure;
mod meter;
mod need;
mod nodes;
mod numa;
mod placement;
mod sequence;
mod stage;
mod syscalls;
mod sysv;
mod trial;

use std::io;
use std::path::PathBuf;

use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

use crate::domain::part::Telling;
use crate::domain::plan::Role;
use crate::domain::request::{PageCount, Workload};
use crate::domain::size::PageSize;
use crate::linux::root::HostRoot;
use backing::Backing;

/// What one worker is to do. Travels to it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Which work.
    pub role: Role,
    /// The page size; `None` for [`Role::Syscalls`] alone.
    #[serde(default)]
    pub size: Option<PageSize>,
    /// How many pages a step may hold: one or two. Of no matter to need and measure, which say what they take.
    #[serde(default)]
    pub pages: u64,
    /// `--need`: what is held at once for HP509, all of `size`. For HP407, everything that is needed: whether a NUMA node
    /// is named matters to a system call.
    #[serde(default)]
    pub need: Vec<PageCount>,
    /// `--frontend-need` and `--backend-need`: the same, held at that time too, each in its role's cgroup.
    #[serde(default)]
    pub need_of_roles: Vec<RoleNeed>,
    /// `--dir`: where the hugetlbfs worker and need make their files.
    #[serde(default)]
    pub directory: Option<String>,
    /// Whose system calls matter, for HP407.
    #[serde(default)]
    pub workload: Workload,
    /// Where the counters are read, in tests; the machine itself if `None`.
    #[serde(default)]
    pub root: Option<PathBuf>,
}

/// What one role of a pair needs, beside the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleNeed {
    /// The directory of the cgroup that pays for it; `None` for where this process is.
    pub cgroup: Option<String>,
    /// All of the task's size.
    pub need: Vec<PageCount>,
}

/// Does the work of `task` and tells every finding of its role, each once.
///
/// # Errors
///
/// Whoever listens is gone, or the task is none (a length that no machine has, no size). Nothing is held any more.
pub fn run(task: &Task, tell: &mut dyn Telling) -> io::Result<()> {
    // Beyond RLIMIT_FSIZE ftruncate raises a signal that kills; blocked, it answers EFBIG, which can be told.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    signals.thread_block()?;

    let size = task.size.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("the {} worker needs a page size", task.role))
    });
    match task.role {
        Role::Anonymous => sequence::run(task, size?, Backing::Anonymous, tell),
        Role::Memfd => sequence::run(task, size?, Backing::Memfd, tell),
        Role::Hugetlbfs => sequence::run(task, size?, Backing::hugetlbfs(task.directory.as_deref()), tell),
        Role::Placement => placement::run(task, size?, tell),
        Role::SysV => sysv::run(task, size?, tell),
        Role::Need => need::run(task, size?, tell),
        Role::Syscalls => syscalls::run(task, tell),
        Role::Measure => measure::run(task, size?, tell),
        Role::Frontend(_) | Role::Backend(_) | Role::Peer => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("the {} role is not an allocation worker's", task.role),
        )),
    }
}

impl Task {
    /// The tree that counters are read from.
    fn root(&self) -> HostRoot {
        self.root.as_ref().map_or_else(HostRoot::default, HostRoot::new)
    }
}
