//! Allocates real pages step by step: HP5xx, `--need`, and the measurements.
//!
//! This runs in a worker process. Each step is announced before it is attempted: touching a page that is not available
//! may kill the process, and the parent then knows which step caused it. The rule for each page is to map it (which
//! reserves it), then to populate it with MADV_POPULATE_WRITE, then to write to it. All pages are released however the
//! worker ends, even if it is killed.
//!
//! `sequence` implements HP501 to HP505; `attempts` judges each step.

mod attempts;
mod backing;
mod evidence;
mod explain;
mod locks;
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

use serde::{Deserialize, Serialize};

use backing::Backing;
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::plan::Role;
use hugeprobe_domain::request::{PageCount, Workload};
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::root::HostRoot;

/// The task of one worker. It is passed to the worker as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationTask {
    /// The role, which selects the work.
    pub role: Role,
    /// The page size; `None` only for [`Role::Syscalls`] and [`Role::Threads`].
    #[serde(default)]
    pub size: Option<PageSize>,
    /// The number of pages that a step may hold: one or two. The need and measure workers ignore it, because they
    /// determine the number themselves.
    #[serde(default)]
    pub pages: u64,
    /// `--need`. For HP509, the pages to hold at once, all of them of `size`. For HP407, everything that is needed,
    /// because it matters to a system call whether a NUMA node is named.
    #[serde(default)]
    pub need: Vec<PageCount>,
    /// `--frontend-need` and `--backend-need`: pages to hold at the same time, each in the cgroup of its role.
    #[serde(default)]
    pub need_of_roles: Vec<RoleNeed>,
    /// `--dir`: the directory in which the hugetlbfs and need workers create their files.
    #[serde(default)]
    pub directory: Option<String>,
    /// The workload whose system calls matter, for HP407.
    #[serde(default)]
    pub workload: Workload,
    /// The directories that DPDK locks when it starts, for HP306.
    #[serde(default)]
    pub locked: Vec<HugeDirectory>,
    /// The threads and mappings of the workload, for [`Role::Threads`].
    #[serde(default)]
    pub footprint: Option<Footprint>,
    /// The root directory below which the counters are read, in tests; `None` for the machine itself.
    #[serde(default)]
    pub root: Option<PathBuf>,
}

/// The directory of a hugetlbfs mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugeDirectory {
    /// Its page size.
    pub size: PageSize,
    /// Its path.
    pub path: String,
}

/// The threads and mappings of a workload, from `domain::footprint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Footprint {
    /// Threads of all its processes together.
    pub threads: u64,
    /// Mappings of the process that has most of them; `None` if it maps its memory in one piece.
    pub mappings: Option<u64>,
}

/// The pages that one role of a pair needs in addition to those that the other role needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleNeed {
    /// The directory of the cgroup that is charged; `None` for the cgroup of this process.
    pub cgroup: Option<String>,
    /// The pages, all of them of the task's size.
    pub need: Vec<PageCount>,
}

/// Does the work of `task` and reports each finding of its role once.
///
/// # Errors
///
/// The reader of `output` is gone, or the task is invalid (no size, or more pages than an address space holds). No page
/// is held any longer.
pub fn run(task: &AllocationTask, output: &mut dyn WorkerOutput) -> io::Result<()> {
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
        Role::Syscalls => {
            syscalls::run(task, output)?;
            if task.locked.is_empty() { Ok(()) } else { locks::run(task, output) }
        }
        Role::Threads => threads::run(task, output),
        Role::Measure => measure::run(task, size?, output),
        Role::Frontend(_) | Role::Backend(_) | Role::Peer => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("the {} role is not an allocation role", task.role),
        )),
    }
}

impl AllocationTask {
    /// Returns the tree from which the counters are read.
    fn root(&self) -> HostRoot {
        self.root.as_ref().map_or_else(HostRoot::default, HostRoot::new)
    }
}
