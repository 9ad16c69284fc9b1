//! Takes real pages, step by step: HP5xx, `--need`, and what is measured.
//!
//! Runs in a worker process. Every step is announced before it is tried: a page that cannot be had may kill the process
//! that touches it, and the parent then knows which step it was. The rule for each page: map it (that reserves), then
//! MADV_POPULATE_WRITE, then write. Whatever is held is given back on every way out, a kill included.
//!
//! `sequence` has HP501 to HP505; `attempts` judges each step.

mod attempts;
mod backing;
mod evidence;
mod explain;
mod measure;
mod need;
mod nodes;
mod numa;
mod placement;
mod pool;
mod sequence;
mod syscalls;
mod sysv;
mod threads;

use std::io;
use std::path::PathBuf;

use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

use crate::domain::part::WorkerOutput;
use crate::domain::plan::Role;
use crate::domain::request::{PageCount, Workload};
use crate::domain::size::PageSize;
use crate::linux::root::HostRoot;
use backing::Backing;

/// What one worker is to do. Travels to it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationTask {
    /// Which work.
    pub role: Role,
    /// The page size; `None` for the roles that are about the machine.
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
    /// What the workload takes beside pages, for [`Role::Threads`].
    #[serde(default)]
    pub footprint: Option<Footprint>,
    /// Where the counters are read, in tests; the machine itself if `None`.
    #[serde(default)]
    pub root: Option<PathBuf>,
}

/// What a workload takes beside its pages: see `domain::footprint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Footprint {
    /// Threads of all its processes.
    pub threads: u64,
    /// Mappings of the process that has most; `None` if it maps its memory in one piece.
    pub mappings: Option<u64>,
}

/// What one role of a pair needs, beside the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleNeed {
    /// The directory of the cgroup that pays for it; `None` for where this process is.
    pub cgroup: Option<String>,
    /// All of the task's size.
    pub need: Vec<PageCount>,
}

/// Does the work of `task` and reports every finding of its role once.
///
/// # Errors
///
/// The reader of `output` is gone, or the task cannot be done (no size, or more pages than an address space holds). Nothing is held any more.
pub fn run(task: &AllocationTask, output: &mut dyn WorkerOutput) -> io::Result<()> {
    // Beyond RLIMIT_FSIZE ftruncate raises a signal that kills; blocked, it fails with EFBIG, which can be reported.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    signals.thread_block()?;

    let size = task.size.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("the {} worker needs a page size", task.role))
    });
    match task.role {
        Role::Anonymous => sequence::run(task, size?, Backing::Anonymous, output),
        Role::Memfd => sequence::run(task, size?, Backing::Memfd, output),
        Role::Hugetlbfs => sequence::run(task, size?, Backing::hugetlbfs(task.directory.as_deref()), output),
        Role::Placement => placement::run(task, size?, output),
        Role::SysV => sysv::run(task, size?, output),
        Role::Need => need::run(task, size?, output),
        Role::Syscalls => syscalls::run(task, output),
        Role::Threads => threads::run(task, output),
        Role::Measure => measure::run(task, size?, output),
        Role::Frontend(_) | Role::Backend(_) | Role::Peer => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("the {} role is not an allocation role", task.role),
        )),
    }
}

impl AllocationTask {
    /// The tree that counters are read from.
    fn root(&self) -> HostRoot {
        self.root.as_ref().map_or_else(HostRoot::default, HostRoot::new)
    }
}
