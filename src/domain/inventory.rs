//! What this machine has: the facts that `linux` reads and that the inspections judge. Data only.

use serde::Serialize;

use super::cgroup::HugetlbCgroup;
use super::memory_cgroup::MemoryCgroup;
use super::reading::Reading;
use super::role_cgroups::RoleCgroups;
use super::size::PageSize;

/// Everything that was read, before any page is taken.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Inventory {
    /// The machine itself.
    pub host: Host,
    /// One per size that the kernel offers, smallest first. Absent: a kernel without hugetlb.
    pub pools: Reading<Vec<Pool>>,
    /// The NUMA nodes that are online, by number.
    pub nodes: Reading<Vec<NumaNode>>,
    /// What the boot command line asked for.
    pub boot: Reading<BootRequest>,
    /// The size that the kernel takes where none is named (`Hugepagesize` of `/proc/meminfo`).
    pub default_size: Reading<PageSize>,
    /// Whether the CPU has 1 GiB pages (`pdpe1gb`). Absent on other CPUs than x86.
    pub cpu_1gi: Reading<bool>,
    /// Bytes of memory that the kernel has set aside as broken (`HardwareCorrupted`).
    pub hardware_corrupted_bytes: Reading<u64>,
    /// The hugetlbfs mounts of this mount namespace, in mount order.
    pub mounts: Reading<Vec<HugeMount>>,
    /// What `--dir` names; `None` without `--dir`.
    pub directory: Option<Directory>,
    /// The hugetlb cgroup of this process. Absent: the kernel has no such controller, or has it switched off.
    pub cgroup: Reading<HugetlbCgroup>,
    /// The memory cgroup of this process, where huge pages count against it. Absent: they do not.
    pub memory_cgroup: Reading<MemoryCgroup>,
    /// The memory cgroup of this process, whatever counts against it. Absent: it is in none.
    pub memory_limit: Reading<MemoryCgroup>,
    /// The cgroups of `--frontend-cgroup` and `--backend-cgroup`.
    pub role_cgroups: RoleCgroups,
    /// Resource limits of this process.
    pub limits: Limits,
    /// What this process may do.
    pub privileges: Privileges,
    /// The owners of the pages in use; `None` if they were not looked up, because none is in use.
    pub holders: Option<Holders>,
}

/// The machine.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Host {
    /// Its name (`/proc/sys/kernel/hostname`).
    pub name: String,
    /// The kernel's release (`/proc/sys/kernel/osrelease`).
    pub kernel: String,
    /// `/proc/sys/kernel/random/boot_id`: a verdict counts for one boot.
    pub boot_id: Reading<String>,
}

/// One size's pool. All counts are pages.
///
/// Source: Documentation/admin-guide/mm/hugetlbpage.rst; the files are under `/sys/kernel/mm/hugepages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// The page size.
    pub size: PageSize,
    /// `nr_hugepages`: persistent and surplus pages together.
    pub total: Reading<u64>,
    /// `free_hugepages`: not allocated; some of them may be reserved.
    pub free: Reading<u64>,
    /// `resv_hugepages`: promised to a mapping, not yet allocated. Kept per machine only, not per node.
    pub reserved: Reading<u64>,
    /// `surplus_hugepages`: beyond the persistent pool, given back to the kernel when freed.
    pub surplus: Reading<u64>,
    /// `nr_overcommit_hugepages`: how many surplus pages there may be.
    pub overcommit: Reading<u64>,
    /// `nr_hugepages_mempolicy`: the same pool, as it is set under a memory policy. Absent without NUMA support.
    pub mempolicy: Reading<u64>,
    /// The same per NUMA node; empty where the kernel has no nodes.
    pub numa: Vec<NumaPool>,
}

/// One size's pool on one NUMA node, in pages. The kernel keeps these three per node and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NumaPool {
    /// The NUMA node's number.
    pub node: u32,
    /// `nr_hugepages` of the node.
    pub total: Reading<u64>,
    /// `free_hugepages` of the node.
    pub free: Reading<u64>,
    /// `surplus_hugepages` of the node.
    pub surplus: Reading<u64>,
}

/// A NUMA node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NumaNode {
    /// Its number.
    pub node: u32,
    /// Its CPUs; empty for a node of memory alone.
    pub cpus: Reading<Vec<u32>>,
}

/// What the boot command line says about huge pages, as the kernel takes it.
///
/// Source: Documentation/admin-guide/kernel-parameters.txt, `hugepages=`, `hugepagesz=`, `default_hugepagesz=`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct BootRequest {
    /// One per size that was asked for, in the order of the command line.
    pub pools: Vec<BootPool>,
    /// `default_hugepagesz=`.
    pub default_size: Option<PageSize>,
    /// Parameters about huge pages that the kernel ignores (a size given twice) or that are no such thing, as they stand.
    pub not_understood: Vec<String>,
}

/// Pages of one size asked for at boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootPool {
    /// The size; `None` for `hugepages=` before any size: the kernel's default size, whatever else is asked for it.
    pub size: Option<PageSize>,
    /// How many, in total.
    pub pages: u64,
    /// How many per NUMA node, `hugepages=0:4,1:4`; empty if no node was named.
    pub numa: Vec<(u32, u64)>,
}

/// A hugetlbfs mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HugeMount {
    /// Where, with the escapes of mountinfo undone (bytes that are no UTF-8 are replaced).
    pub path: String,
    /// The page size among its options; `None` if it shows none.
    pub size: Option<PageSize>,
    /// `size=`, bytes.
    pub limit_bytes: Option<u64>,
    /// `min_size=`, bytes: taken from the pool for as long as the mount lives.
    pub min_bytes: Option<u64>,
    /// `nr_inodes=`.
    pub inodes: Option<u64>,
    /// Mounted read-only, by the mount or by the file system.
    pub read_only: bool,
    /// The path of a mount on the same path, or on a directory above, that hides this one. Not a bind mount that shows
    /// the same files.
    pub hidden_by: Option<String>,
    /// All options, as the kernel shows them: the mount's, then the file system's.
    pub options: Vec<String>,
    /// `major:minor`: the same for every bind mount of one file system.
    pub device: String,
}

/// What `--dir` names, as fstatfs(2) and the like saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directory {
    /// The path as given.
    pub path: String,
    /// The same without symbolic links; `None` if it leads nowhere.
    pub real_path: Option<String>,
    /// `major:minor` of its file system, as in [`HugeMount::device`].
    pub device: Option<String>,
    /// What it is.
    pub kind: Reading<DirectoryKind>,
    /// The result of creating a file there; the file is removed. Absent: not tried, because it is not hugetlbfs.
    pub writable: Reading<WriteAttempt>,
}

/// What is at the path of `--dir`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum DirectoryKind {
    /// hugetlbfs.
    Hugetlbfs {
        /// Its page size (`f_bsize`).
        size: PageSize,
        /// `f_blocks` and `f_bfree` in pages; `None` if the mount has no `size=`. A reservation counts as used.
        pages: Option<(u64, u64)>,
        /// `f_files` and `f_ffree`; `None` if the mount has no `nr_inodes=`, or neither `size=` nor `min_size=`: without
        /// them the kernel enforces `nr_inodes=` but does not report it (seen on 6.18).
        inodes: Option<(u64, u64)>,
    },
    /// Another file system; its name if it is well known, else its magic number in hex.
    Other(String),
    /// No directory at all; what there is instead, in words: `nothing`, `a regular file`.
    NotADirectory(String),
}

/// What became of an attempt to create a file. The texts name the call and what it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum WriteAttempt {
    /// It worked.
    Allowed,
    /// EROFS: the mount or its file system is read-only.
    ReadOnly(String),
    /// EACCES or EPERM: not for this uid and gid.
    Denied(String),
    /// ENOSPC: permitted, but `nr_inodes=` is used up.
    NoInode(String),
    /// One file can be created; a second one beside it was refused with ENOSPC.
    LastInode(String),
    /// Anything else, which says neither yes nor no.
    Failed(String),
}

/// A resource limit; `None` is infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// What is enforced.
    pub soft: Option<u64>,
    /// How far the process may raise it by itself.
    pub hard: Option<u64>,
}

/// Resource limits of this process (getrlimit(2)). Bytes, or descriptors for `nofile`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Limits {
    /// `RLIMIT_MEMLOCK`.
    pub memlock: Reading<Limit>,
    /// `RLIMIT_NOFILE`.
    pub nofile: Reading<Limit>,
    /// `RLIMIT_AS`.
    pub address_space: Reading<Limit>,
    /// `RLIMIT_DATA`: private memory that can be written, the stacks of threads among it (`is_data_mapping()` in `mm/vma.h`).
    pub data: Reading<Limit>,
    /// `RLIMIT_FSIZE`.
    pub file_size: Reading<Limit>,
    /// The descriptors beyond 0, 1 and 2 that a program that is started from here gets with it.
    pub inherited_files: Reading<Vec<u64>>,
    /// Bytes of swap space of the machine (`SwapTotal`): where there is none, memory that is not locked is not swapped.
    pub swap_bytes: Reading<u64>,
}

/// What this process may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Privileges {
    /// Effective uid.
    pub uid: u32,
    /// Effective gid.
    pub gid: u32,
    /// `CapEff` of `/proc/self/status`.
    pub capabilities: Reading<u64>,
    /// NUMA nodes that it may take memory from (`Mems_allowed_list`).
    pub mems: Reading<Vec<u32>>,
    /// Whether it sees the processes of the whole machine: the initial PID namespace.
    pub host_pids: Reading<bool>,
    /// Whether its capabilities are about the machine: the initial user namespace. Root of another one may not mount hugetlbfs.
    pub host_users: Reading<bool>,
}

/// Who holds pages, as far as the privileges reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Holders {
    /// Processes that map or hold open files with huge pages, by pid.
    pub processes: Vec<Holder>,
    /// Files on hugetlbfs that hold pages and that no process has open or mapped, by path.
    pub leaked: Vec<LeakedFile>,
    /// SysV segments with huge pages that no process is attached to, by id.
    pub segments: Vec<LeakedSegment>,
    /// Pages in use that nothing above accounts for; sizes without any are left out. Pages that are only reserved
    /// have no owner that the kernel names, and are not counted.
    pub untraced: Vec<(PageSize, u64)>,
    /// Why the answer may be incomplete: the missing right, by name. Empty: all was seen.
    pub blind_spots: Vec<String>,
}

/// A process that holds pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its pid, in this PID namespace.
    pub pid: u32,
    /// Its name (`Name` of `/proc/PID/status`).
    pub command: String,
    /// Pages of each size, mapped or held by an open descriptor. A page shared by two processes counts for both.
    pub pages: Vec<(PageSize, u64)>,
}

/// A file on hugetlbfs that has pages although no process has it open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeakedFile {
    /// Its path, through `/proc/PID/root` if it lies on a mount that only another mount namespace has.
    pub path: String,
    /// The page size of its file system.
    pub size: PageSize,
    /// Pages allocated to it (`st_blocks`).
    pub pages: u64,
    /// Seconds since it was last mapped, made or resized (the later of `st_atime` and `st_mtime`), at the time of the
    /// run; `None` if that lies in the future.
    pub idle_seconds: Option<u64>,
}

/// A SysV shared memory segment with huge pages and no process attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeakedSegment {
    /// Its id, for `ipcrm -m`.
    pub id: i32,
    /// Its page size.
    pub size: PageSize,
    /// Pages allocated to it.
    pub pages: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// The pid that made it.
    pub creator: u32,
}

// === impl ===

impl Inventory {
    /// The pool of `size`, if the pools are known and the kernel offers it.
    #[must_use]
    pub fn pool(&self, size: PageSize) -> Option<&Pool> {
        self.pools.known()?.iter().find(|pool| pool.size == size)
    }

    /// The mount that the directory of `--dir` is reached by; `None` if the mounts are not known.
    #[must_use]
    pub fn mount_of_directory(&self) -> Option<&HugeMount> {
        let directory = self.directory.as_ref()?;
        let real_path = directory.real_path.as_deref()?;
        let mounts = self.mounts.known()?.iter();
        mounts
            .filter(|mount| Some(&mount.device) == directory.device.as_ref() && mount.hidden_by.is_none())
            .filter(|mount| mount.is_above(real_path))
            .max_by_key(|mount| mount.path.len())
    }

    /// Reserved pages of `size` that only files in the directory of `--dir` can have (`min_size=` of its mount): what
    /// the mount keeps, as far as the pool still counts it as reserved.
    #[must_use]
    pub fn kept_for_directory(&self, size: PageSize) -> u64 {
        let of_size = self.mount_of_directory().filter(|mount| mount.size == Some(size));
        let kept = of_size.and_then(|mount| mount.min_bytes).unwrap_or(0) / size.bytes();
        kept.min(self.pool(size).and_then(|pool| pool.reserved.get()).unwrap_or(0))
    }
}

impl HugeMount {
    /// Whether `path`, absolute and without links, is its path or below it.
    #[must_use]
    pub fn is_above(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&self.path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.path == "/")
    }
}

impl BootRequest {
    /// What was requested for `size`, where `default` is the kernel's default size.
    #[must_use]
    pub fn asked(&self, size: PageSize, default: Option<PageSize>) -> Option<&BootPool> {
        let implicit = self.pools.iter().find(|pool| pool.size.is_none() && default == Some(size));
        implicit.or_else(|| self.pools.iter().find(|pool| pool.size == Some(size)))
    }

    /// Whether some pages were asked for without a size: whose they are, the default size alone can tell.
    #[must_use]
    pub fn leaves_size_open(&self) -> bool {
        self.pools.iter().any(|pool| pool.size.is_none() && pool.pages > 0)
    }
}

impl Pool {
    /// Available pages: free minus reserved.
    #[must_use]
    pub fn available(&self) -> Option<u64> {
        Some(self.free.get()?.saturating_sub(self.reserved.get()?))
    }

    /// Pages of the persistent pool: total less surplus.
    #[must_use]
    pub fn persistent(&self) -> Option<u64> {
        Some(self.total.get()?.saturating_sub(self.surplus.get()?))
    }

    /// How many more pages the kernel may add by itself: overcommit less surplus.
    #[must_use]
    pub fn growable(&self) -> Option<u64> {
        Some(self.overcommit.get()?.saturating_sub(self.surplus.get()?))
    }
}

impl NumaPool {
    /// Pages of the persistent pool on this node.
    #[must_use]
    pub fn persistent(&self) -> Option<u64> {
        Some(self.total.get()?.saturating_sub(self.surplus.get()?))
    }
}
