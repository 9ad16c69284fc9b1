//! The facts about this machine, which `linux` reads and the inspections judge. Data only.

mod directories;

use serde::Serialize;

pub use self::directories::{Directory, DirectoryKind, FreeSpace, HugeMount, RuntimeDirectory, WriteAttempt};
use super::cgroup::HugetlbCgroup;
pub use super::holders::{Holder, Holders, LeakedFile, LeakedSegment};
use super::limit_conflict::LimitConflicts;
use super::memory_cgroup::MemoryCgroup;
use super::peer::PathKind;
use super::reading::Reading;
use super::role_cgroups::RoleCgroups;
use super::size::PageSize;

/// All facts that were read, before any page is taken.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Inventory {
    /// The machine and its kernel.
    pub host: Host,
    /// The pools, one per page size that the kernel offers, smallest first. Absent if the kernel has no hugetlb
    /// support.
    pub pools: Reading<Vec<Pool>>,
    /// Whether sysfs lists no pool, and the pool is the one of the default size in `/proc/meminfo`.
    pub pools_hidden: bool,
    /// The online NUMA nodes, sorted by number.
    pub nodes: Reading<Vec<NumaNode>>,
    /// The pages that the boot command line requests.
    pub boot: Reading<BootRequest>,
    /// The size that the kernel uses by default (`Hugepagesize` of `/proc/meminfo`).
    pub default_size: Reading<PageSize>,
    /// Whether the CPU supports 1 GiB pages (`pdpe1gb`). Absent on CPUs other than x86.
    pub cpu_1gi: Reading<bool>,
    /// Bytes of memory that the kernel no longer uses because it is faulty (`HardwareCorrupted`).
    pub hardware_corrupted_bytes: Reading<u64>,
    /// The hugetlbfs mounts of this mount namespace, in mount order.
    pub mounts: Reading<Vec<HugeMount>>,
    /// The directory that `--dir` names; `None` without `--dir`.
    pub directory: Option<Directory>,
    /// The runtime directory of DPDK; `None` in a captured tree.
    pub runtime_directory: Option<RuntimeDirectory>,
    /// The CPUs of this process that sysfs lists.
    pub cpus_in_sysfs: CpusInSysfs,
    /// The hugetlb cgroup of this process. Absent if the kernel does not have the controller or has it disabled.
    pub cgroup: Reading<HugetlbCgroup>,
    /// The cgroups that get no page of the sizes in use because the limit of a parent is 0. Absent if the kernel does not
    /// have the hugetlb controller or has it disabled.
    pub limit_conflicts: Reading<LimitConflicts>,
    /// The memory cgroup of this process. Absent: it is in none.
    pub memory_cgroup: Reading<MemoryCgroup>,
    /// How much ordinary memory could be charged, in bytes, where limits of this process may be hidden from it. `Known(None)`:
    /// as much as the workload needs, its files included. Absent: it was not tried.
    pub memory_tried: Reading<Option<u64>>,
    /// How much private memory a process could map, in bytes, where the kernel does not overcommit: not more than the workload
    /// needs. Absent: it was not tried.
    pub private_memory_tried: Reading<u64>,
    /// Whether huge pages count against the limits of memory cgroups. Absent: there is no list of mounts.
    pub huge_pages_count_as_memory: Reading<bool>,
    /// The cgroups of `--frontend-cgroup` and `--backend-cgroup`.
    pub role_cgroups: RoleCgroups,
    /// The resource limits of this process.
    pub limits: Limits,
    /// The privileges of this process.
    pub privileges: Privileges,
    /// What is at the path of `--peer`; `None` without it, and with `--peer-listen`.
    pub peer: Option<PathKind>,
    /// The owners of the pages in use; `None` if they were not looked up.
    pub holders: Option<Holders>,
}

/// The machine and its kernel.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Host {
    /// The host name (`/proc/sys/kernel/hostname`).
    pub name: String,
    /// The kernel release (`/proc/sys/kernel/osrelease`).
    pub kernel: String,
    /// The boot id (`/proc/sys/kernel/random/boot_id`). A verdict applies to one boot only.
    pub boot_id: Reading<String>,
}

/// The pool of one page size. All counts are in pages.
///
/// Source: Documentation/admin-guide/mm/hugetlbpage.rst; the files are in `/sys/kernel/mm/hugepages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// The page size.
    pub size: PageSize,
    /// `nr_hugepages`: persistent and surplus pages together.
    pub total: Reading<u64>,
    /// `free_hugepages`: pages that are not allocated. Some of them may be reserved.
    pub free: Reading<u64>,
    /// `resv_hugepages`: pages reserved for a mapping and not yet allocated. The kernel counts them per machine, not
    /// per node.
    pub reserved: Reading<u64>,
    /// `surplus_hugepages`: pages beyond the persistent pool. They go back to the kernel when they are freed.
    pub surplus: Reading<u64>,
    /// `nr_overcommit_hugepages`: the maximum number of surplus pages.
    pub overcommit: Reading<u64>,
    /// `nr_hugepages_mempolicy`: the same pool, as it is set under a memory policy. Absent without NUMA support.
    pub mempolicy: Reading<u64>,
    /// The pool on each NUMA node; empty if the kernel has no nodes.
    pub numa: Vec<NumaPool>,
}

/// The pool of one page size on one NUMA node, in pages. The kernel has only these three counters per node.
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
    /// The node's number.
    pub node: u32,
    /// The node's CPUs; empty for a node that has only memory.
    pub cpus: Reading<Vec<u32>>,
}

/// The huge page parameters of the boot command line, as the kernel interprets them.
///
/// Source: Documentation/admin-guide/kernel-parameters.txt, `hugepages=`, `hugepagesz=`, `default_hugepagesz=`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct BootRequest {
    /// The requested pages, one entry per page size, in the order of the command line.
    pub pools: Vec<BootPool>,
    /// `default_hugepagesz=`.
    pub default_size: Option<PageSize>,
    /// `hugetlb_cma=` reserves memory for gigantic pages: the kernel then allocates none of them at boot, whatever `hugepages=` says
    /// ("hugetlb_cma is enabled, skip boot time allocation" in `mm/hugetlb.c`).
    pub cma: bool,
    /// Parameters about huge pages that the kernel ignores (a size given twice) or that are no such thing, as they stand.
    pub not_understood: Vec<String>,
}

/// The pages of one size that are requested at boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootPool {
    /// The page size; `None` for a `hugepages=` before any size. It sets the pool of the kernel's default size,
    /// whatever else is requested for that size.
    pub size: Option<PageSize>,
    /// The total number of pages.
    pub pages: u64,
    /// The number of pages for each NUMA node, as in `hugepages=0:4,1:4`; empty if no node was named.
    pub numa: Vec<(u32, u64)>,
}

/// Whether sysfs lists a CPU that this process may use, in the two places where DPDK and Open vSwitch look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpusInSysfs {
    /// Whether `/sys/devices/system/cpu/cpuN/topology/core_id` exists. Absent: a captured tree does not contain it.
    pub with_core_id: Reading<bool>,
    /// Whether a NUMA node has a CPU. Absent if the kernel has no NUMA support.
    pub on_a_node: Reading<bool>,
}

/// A resource limit; `None` means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// The soft limit, which the kernel enforces.
    pub soft: Option<u64>,
    /// The hard limit, up to which the process may raise the soft limit.
    pub hard: Option<u64>,
}

/// The resource limits of this process (getrlimit(2)), in bytes unless a field says otherwise, and in descriptors for `nofile`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Limits {
    /// `RLIMIT_MEMLOCK`.
    pub memlock: Reading<Limit>,
    /// `RLIMIT_NOFILE`.
    pub nofile: Reading<Limit>,
    /// `RLIMIT_AS`.
    pub address_space: Reading<Limit>,
    /// `RLIMIT_DATA`: private writable memory, including the stacks of threads (`is_data_mapping()` in `mm/vma.h`).
    pub data: Reading<Limit>,
    /// `RLIMIT_FSIZE`.
    pub file_size: Reading<Limit>,
    /// `RLIMIT_CPU`, in seconds.
    pub cpu_time: Reading<Limit>,
    /// `RLIMIT_STACK`, which also decides how large the stack of each thread is.
    pub stack: Reading<Limit>,
    /// The numbers of the descriptors, other than 0, 1 and 2, that a program started from here inherits.
    pub inherited_files: Reading<Vec<u64>>,
    /// The machine's swap space in bytes (`SwapTotal`). Without swap, memory that is not locked is not swapped out
    /// either.
    pub swap_bytes: Reading<u64>,
    /// `vm.overcommit_memory`: 2 if private memory counts against CommitLimit although no page of it is used.
    pub overcommit: Reading<u64>,
}

/// The privileges of this process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Privileges {
    /// The effective uid.
    pub uid: u32,
    /// The effective gid.
    pub gid: u32,
    /// Whether a seccomp filter judges its system calls, some of which may kill it; `None` if that is not known.
    pub is_filtered: Option<bool>,
    /// The effective capabilities (`CapEff` of `/proc/self/status`).
    pub capabilities: Reading<u64>,
    /// The number of CPUs that it may use, as sched_getaffinity(2) tells (`Cpus_allowed_list` in a captured tree).
    pub cpus: Reading<u64>,
    /// The NUMA nodes from which it may allocate memory (`Mems_allowed_list`).
    pub mems: Reading<Vec<u32>>,
    /// Whether it is in the initial PID namespace, where it sees all processes of the machine.
    pub host_pids: Reading<bool>,
    /// Whether it is in the initial user namespace, where its capabilities apply to the machine. Root of another user
    /// namespace may not mount hugetlbfs.
    pub host_users: Reading<bool>,
}

// === impl ===

impl Inventory {
    /// Returns a hugetlbfs of this page size that no other mount hides.
    #[must_use]
    pub fn visible_mount(&self, size: PageSize) -> Option<&HugeMount> {
        let mut mounts = self.mounts.known().into_iter().flatten();
        mounts.find(|mount| mount.size == Some(size) && mount.hidden_by.is_none())
    }

    /// Returns the pool of `size`; `None` if the pools are not known or the kernel does not offer the size.
    #[must_use]
    pub fn pool(&self, size: PageSize) -> Option<&Pool> {
        self.pools.known()?.iter().find(|pool| pool.size == size)
    }

    /// Returns the mount through which the directory of `--dir` is reached; `None` if the mounts are not known.
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

    /// Returns how many reserved pages of `size` only files in the directory of `--dir` can use.
    ///
    /// `min_size=` of its mount reserves them. At most as many count as the pool shows as reserved.
    #[must_use]
    pub fn kept_for_directory(&self, size: PageSize) -> u64 {
        let of_size = self.mount_of_directory().filter(|mount| mount.size == Some(size));
        let kept = of_size.and_then(|mount| mount.min_bytes).unwrap_or(0) / size.bytes();
        kept.min(self.pool(size).and_then(|pool| pool.reserved.get()).unwrap_or(0))
    }
}

impl BootRequest {
    /// Returns what was requested for `size`. `default` is the kernel's default size.
    #[must_use]
    pub fn asked(&self, size: PageSize, default: Option<PageSize>) -> Option<&BootPool> {
        let implicit = self.pools.iter().find(|pool| pool.size.is_none() && default == Some(size));
        implicit.or_else(|| self.pools.iter().find(|pool| pool.size == Some(size)))
    }

    /// Whether any size is named.
    #[must_use]
    pub fn names_a_size(&self) -> bool {
        self.default_size.is_some() || self.pools.iter().any(|pool| pool.size.is_some())
    }

    /// Whether some pages were asked for without a size: whose they are, the default size alone can tell.
    #[must_use]
    pub fn leaves_size_open(&self) -> bool {
        self.pools.iter().any(|pool| pool.size.is_none() && pool.pages > 0)
    }
}

impl Pool {
    /// Returns whether processes may hold pages of this pool. A counter that cannot be read counts as yes.
    #[must_use]
    pub fn may_be_in_use(&self) -> bool {
        self.total.get().zip(self.free.get()).is_none_or(|(total, free)| total > free)
    }

    /// Returns whether the pool has pages or may grow. A counter that cannot be read counts as yes.
    #[must_use]
    pub fn may_have_pages(&self) -> bool {
        self.total.get() != Some(0) || self.growable() != Some(0)
    }

    /// Returns the number of available pages: free minus reserved.
    #[must_use]
    pub fn available(&self) -> Option<u64> {
        Some(self.free.get()?.saturating_sub(self.reserved.get()?))
    }

    /// Returns the number of pages in the persistent pool: total minus surplus.
    #[must_use]
    pub fn persistent(&self) -> Option<u64> {
        Some(self.total.get()?.saturating_sub(self.surplus.get()?))
    }

    /// Returns how many more pages the kernel may add by itself: overcommit minus surplus.
    #[must_use]
    pub fn growable(&self) -> Option<u64> {
        Some(self.overcommit.get()?.saturating_sub(self.surplus.get()?))
    }
}

impl NumaPool {
    /// Returns the number of pages in the persistent pool on this node: total minus surplus.
    #[must_use]
    pub fn persistent(&self) -> Option<u64> {
        Some(self.total.get()?.saturating_sub(self.surplus.get()?))
    }
}
