//! Facts that are sound, and what can be wrong with them.

use hugeprobe::domain::cgroup::{
    CgroupLevel, CgroupLimit, CgroupVersion, HugetlbCgroup, HugetlbCounter, HugetlbCounterKind,
};
use hugeprobe::domain::check::Finding;
use hugeprobe::domain::inspect;
use hugeprobe::domain::inventory::{
    BootPool, BootRequest, Directory, DirectoryKind, Holders, HugeMount, Inventory, LeakedFile, Limit,
    Limits, NumaPool, Pool, Privileges, RuntimeDirectory, WriteAttempt,
};
use hugeprobe::domain::limit_conflict::{LimitConflict, LimitConflicts};
use hugeprobe::domain::memory_cgroup::{MemoryCgroup, MemoryLevel};
use hugeprobe::domain::reading::Reading::{self, Known};
use hugeprobe::domain::request::Request;
use hugeprobe::domain::reserve::Granted;
use hugeprobe::domain::size::PageSize;

/// The size that all is about.
pub(crate) const SIZE: PageSize = match PageSize::from_bytes(1 << 30) {
    Some(size) => size,
    None => panic!(),
};

/// The directory of `--dir`.
pub(crate) const DIR: &str = "/mnt/huge";

/// Alone of the capabilities: with CAP_IPC_LOCK no limit of locked memory counts.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Everything that the inspections judge.
pub(crate) struct Facts {
    pub(crate) inventory: Inventory,
    pub(crate) request: Request,
    pub(crate) granted: Vec<Granted>,
}

impl Facts {
    /// 16 pages of 1Gi on two NUMA nodes, all free and none limited; a mount that is used, and pages of `--reserve`.
    pub(crate) fn sound() -> Self {
        let node = |node| NumaPool { node, total: Known(8), free: Known(8), surplus: Known(0) };
        let pool = Pool {
            size: SIZE,
            total: Known(16),
            free: Known(16),
            reserved: Known(0),
            surplus: Known(0),
            overcommit: Known(0),
            mempolicy: Known(16),
            numa: vec![node(0), node(1)],
        };
        let mount = HugeMount {
            path: DIR.into(),
            size: Some(SIZE),
            limit_bytes: None,
            min_bytes: None,
            inodes: None,
            read_only: false,
            hidden_by: None,
            options: vec![],
            device: "0:53".into(),
        };
        let directory = Directory {
            path: DIR.into(),
            real_path: Some(DIR.into()),
            device: Some("0:53".into()),
            kind: hugetlbfs(None, None),
            listing: Reading::Known(()),
            writable: Known(WriteAttempt::Allowed),
        };
        let unlimited = || Known(Limit { soft: None, hard: None });
        let inventory = Inventory {
            pools: Known(vec![pool]),
            nodes: Reading::Absent,
            boot: Known(BootRequest::default()),
            default_size: Known(SIZE),
            cpu_1gi: Known(true),
            hardware_corrupted_bytes: Known(0),
            mounts: Known(vec![mount]),
            directory: Some(directory),
            limits: Limits {
                memlock: unlimited(),
                nofile: unlimited(),
                address_space: unlimited(),
                data: unlimited(),
                file_size: unlimited(),
                stack: unlimited(),
                cpu_time: unlimited(),
                inherited_files: Known(vec![]),
                swap_bytes: Known(1 << 30),
                overcommit: Known(0),
            },
            privileges: Privileges { capabilities: Known(CAP_SYS_ADMIN), ..Privileges::default() },
            ..Inventory::default()
        };
        let request = Request { directory: Some(DIR.into()), ..Request::default() };
        let asked = "1Gi=16".parse().unwrap();
        let granted = vec![Granted { asked, got: 16, pools: vec![], shortfall: vec![] }];
        Self { inventory, request, granted }
    }

    /// What the inspections make of it.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = inspect::all(&self.inventory, &self.request, &[SIZE]);
        findings.extend(inspect::reserve::inspect(&self.granted, &[]));
        findings
    }

    /// Its pool.
    pub(crate) fn pool(&mut self) -> &mut Pool {
        let Known(pools) = &mut self.inventory.pools else { panic!() };
        &mut pools[0]
    }

    /// Its mount.
    pub(crate) fn mount(&mut self) -> &mut HugeMount {
        let Known(mounts) = &mut self.inventory.mounts else { panic!() };
        &mut mounts[0]
    }

    /// What `--dir` names.
    pub(crate) fn directory(&mut self) -> &mut Directory {
        self.inventory.directory.as_mut().unwrap()
    }

    /// `--need`.
    pub(crate) fn need(&mut self, text: &str) {
        self.request.need = vec![text.parse().unwrap()];
    }

    /// Pages that the boot command line asked for.
    pub(crate) fn boots_with(&mut self, pages: u64) {
        let pools = vec![BootPool { size: Some(SIZE), pages, numa: vec![] }];
        self.inventory.boot = Known(BootRequest { pools, ..BootRequest::default() });
    }

    /// Pages of a file that nobody has open.
    pub(crate) fn leaks(&mut self, pages: u64) {
        let file = LeakedFile { path: format!("{DIR}/rtemap_0"), size: SIZE, pages, idle_seconds: Some(9) };
        self.inventory.holders = Some(Holders { leaked: vec![file], ..Holders::default() });
    }

    /// Limits of the cgroup, in bytes: of faults, and of reservations.
    pub(crate) fn limited(&mut self, fault: Option<u64>, reservation: Option<u64>) {
        let counter = |limit| HugetlbCounter { limit: Known(limit), usage: Known(0) };
        let limit = CgroupLimit { size: SIZE, fault: counter(fault), reservation: counter(reservation) };
        let level = CgroupLevel { directory: "/sys/fs/cgroup".into(), sizes: Known(vec![limit]) };
        let (version, path) = (CgroupVersion::V2, "/".into());
        self.inventory.cgroup = Known(HugetlbCgroup { version, path, levels: vec![level], complete: true });
    }

    /// Makes the runtime directory of DPDK one that cannot be created.
    pub(crate) fn no_runtime_directory(&mut self) {
        let path = "/var/run/dpdk/rte".to_owned();
        let refused = Some("access of /var/run: EROFS".to_owned());
        self.inventory.runtime_directory = Some(RuntimeDirectory { path, refused, space: None });
        self.inventory.privileges.host_pids = Reading::Known(true);
    }

    /// A pod whose hugetlb limit is 0, with a container that may use a page.
    pub(crate) fn limited_above(&mut self) {
        let conflict = LimitConflict {
            size: SIZE,
            version: CgroupVersion::V2,
            kind: HugetlbCounterKind::Fault,
            parent: "/sys/fs/cgroup/pod".into(),
            directory: "/sys/fs/cgroup/pod/container".into(),
            limit: SIZE.bytes(),
            usage: Known(0),
        };
        self.inventory.limit_conflicts = Known(LimitConflicts { found: vec![conflict], not_read: vec![] });
    }

    /// The memory limit of the cgroup, in bytes, of which nothing is used.
    pub(crate) fn memory_limited(&mut self, limit: u64) {
        let level = MemoryLevel {
            directory: "/sys/fs/cgroup".into(),
            file: "/sys/fs/cgroup/memory.max".into(),
            limit: Known(Some(limit)),
            high: Known(None),
            usage: Known(0),
            cache: Known(0),
            swappable: Known(0),
        };
        self.inventory.memory_cgroup =
            Known(MemoryCgroup { path: "/".into(), levels: vec![level], complete: true });
    }
}

/// hugetlbfs of the size; room in pages and in inodes, total and free.
pub(crate) fn hugetlbfs(pages: Option<(u64, u64)>, inodes: Option<(u64, u64)>) -> Reading<DirectoryKind> {
    Known(DirectoryKind::Hugetlbfs { size: SIZE, pages, inodes })
}

/// A limit that is enforced and cannot be raised.
pub(crate) fn limit(value: u64) -> Reading<Limit> {
    Known(Limit { soft: Some(value), hard: Some(value) })
}
