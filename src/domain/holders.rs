//! The owners of pages: processes, files and SysV segments.

use serde::Serialize;

use super::size::PageSize;

/// The owners of pages that the privileges of this process allow it to see.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Holders {
    /// Processes that map huge pages or hold open files with huge pages, sorted by pid.
    pub processes: Vec<Holder>,
    /// Files on hugetlbfs that hold pages although no process has them open or mapped, sorted by path.
    pub leaked: Vec<LeakedFile>,
    /// SysV segments with huge pages to which no process is attached, sorted by id.
    pub segments: Vec<LeakedSegment>,
    /// Pages in use without a known owner, by size. Sizes without such pages are left out.
    ///
    /// Pages that are only reserved are not counted, because the kernel does not name their owner.
    pub untraced: Vec<(PageSize, u64)>,
    /// Why the list may be incomplete: the missing privileges, by name. Empty if everything was visible.
    pub blind_spots: Vec<String>,
    /// Whether the search was quick: it looked only for unused files and segments, found none, and did not read the
    /// mappings of processes.
    pub is_quick: bool,
}

/// A process that holds pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its pid, in this PID namespace.
    pub pid: u32,
    /// Its name (`Name` of `/proc/PID/status`).
    pub command: String,
    /// Pages of each size that are mapped or held through an open descriptor. A page that two processes share counts
    /// for both.
    pub pages: Vec<(PageSize, u64)>,
}

/// A file on hugetlbfs that has pages although no process has it open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeakedFile {
    /// Its path. Starts with `/proc/PID/root` if the mount exists only in another mount namespace.
    pub path: String,
    /// The page size of its file system.
    pub size: PageSize,
    /// Pages allocated to it (`st_blocks`).
    pub pages: u64,
    /// Seconds since it was last mapped, created or resized (the later of `st_atime` and `st_mtime`), at the time of
    /// the run. `None` if that time is in the future.
    pub idle_seconds: Option<u64>,
}

/// A SysV shared memory segment with huge pages and no process attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeakedSegment {
    /// Its id, as in `ipcrm -m`.
    pub id: i32,
    /// Its page size.
    pub size: PageSize,
    /// Pages allocated to it.
    pub pages: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// The pid of the process that created it.
    pub creator: u32,
}
