//! Reads the inventory: all facts that the inspections judge, before any page is allocated.

use std::path::Path;

use hugeprobe_domain::catalogue::{HP105, HP405, HP410, HP413};
use hugeprobe_domain::inspect::limits::{self, PrivateMemoryToTry};
use hugeprobe_domain::inventory::{Holders, Inventory, Limits, Pool};
use hugeprobe_domain::limit_conflict::LimitConflicts;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::request::{Request, Selector};
use hugeprobe_domain::role_cgroups::{RoleCgroup, RoleCgroups};
use hugeprobe_linux::cgroup::{Group, GroupError};
use hugeprobe_linux::directory::kind_of_path;
use hugeprobe_linux::errno::named;
use hugeprobe_linux::map;
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::{
    boot, cgroup, cpu, directory, holders, host, meminfo, mounts, pools, privileges, runtime_directory,
};

/// Reads the inventory of the machine under `root`, except for the owners of its pages. `limits` are those of this process
/// before it started others.
///
/// Allocates no page. The only change is a temporary file without a name in `--dir`.
#[must_use]
pub fn inventory(root: &HostRoot, request: &Request, limits: Limits) -> Inventory {
    let listed = pools::read(root);
    let hidden = if root.is_live() && listed.known().is_none_or(Vec::is_empty) && !listed.is_trouble() {
        meminfo::default_pool(root)
    } else {
        None
    };
    let pools_hidden = hidden.is_some();
    let pools = hidden.map_or(listed, |pool| Reading::Known(vec![pool]));
    let privileges = privileges::read(root);
    let inventory = Inventory {
        host: host::read(root),
        nodes: pools::nodes(root),
        boot: boot::read(root),
        cpu_1gi: cpu::has_1gi(root),
        hardware_corrupted_bytes: meminfo::hardware_corrupted(root),
        default_size: meminfo::default_size(root),
        directory: request.directory.as_deref().map(|path| directory::inspect_directory(Path::new(path))),
        runtime_directory: root.is_live().then(|| runtime_directory::inspect(request.directory.is_none())),
        cpus_in_sysfs: cpu::in_sysfs(root),
        cgroup: cgroup::read(root),
        limit_conflicts: limit_conflicts(root, request, &pools),
        memory_cgroup: cgroup::read_memory(root),
        memory_tried: Reading::Absent,
        private_memory_tried: Reading::Absent,
        huge_pages_count_as_memory: cgroup::counts_huge_pages(root),
        role_cgroups: RoleCgroups::default(),
        limits,
        peer: request
            .peer
            .as_ref()
            .filter(|peer| !peer.listen)
            .map(|peer| kind_of_path(Path::new(&peer.socket))),
        privileges,
        holders: None,
        pools_hidden,
        mounts: mounts::read(root),
        pools,
    };
    let private_memory_tried = private_memory_tried(root, request, &inventory);
    Inventory { private_memory_tried, ..inventory }
}

/// Tries how much private memory a process may have, for HP405, if the kernel does not overcommit.
fn private_memory_tried(root: &HostRoot, request: &Request, inventory: &Inventory) -> Reading<u64> {
    let live = root.is_live() && request.reports(HP405);
    let to_try = live.then(|| limits::private_memory_to_try(inventory, request)).flatten();
    let Some(PrivateMemoryToTry { sure, least, addresses }) = to_try else { return Reading::Absent };
    for bytes in [sure, least] {
        match map::can_commit(bytes, addresses) {
            Ok(true) => return Reading::Known(bytes),
            Ok(false) => {}
            Err(error) => return Reading::Unreadable(format!("mmap: {}", named(&error))),
        }
    }
    Reading::Known(0)
}

/// Reads the limits of all cgroups for the sizes that have pages, if HP413 is reported.
fn limit_conflicts(
    root: &HostRoot,
    request: &Request,
    pools: &Reading<Vec<Pool>>,
) -> Reading<LimitConflicts> {
    let sizes = pools::sizes_with_pages(pools);
    if sizes.is_empty() || !request.reports(HP413) {
        return Reading::Absent;
    }
    cgroup::read_conflicts(root, &sizes)
}

/// Tries how much ordinary memory this process may have, for HP410, if limits may be hidden from it.
pub fn memory_tried(root: &HostRoot, request: &Request, inventory: &Inventory) -> Reading<Option<u64>> {
    let live = root.is_live() && request.reports(HP410);
    let Some(bytes) = live.then(|| limits::memory_to_try(inventory, request)).flatten() else {
        return Reading::Absent;
    };
    match map::charge(bytes) {
        Ok(charged) => Reading::Known(charged),
        Err(error) => Reading::Unreadable(format!("madvise(MADV_COLLAPSE): {}", named(&error))),
    }
}

/// Reads the owners of the pages in use, for HP105. Returns `None` if no page is in use or HP105 is not reported.
///
/// The mappings of processes are read only if `short` is set, if `--only HP105` was given, or if files or segments may
/// have been left behind.
pub fn holders(root: &HostRoot, request: &Request, inventory: &Inventory, short: bool) -> Option<Holders> {
    let in_use = inventory.pools.known().into_iter().flatten().any(Pool::may_be_in_use);
    if !in_use || !request.reports(HP105) {
        return None;
    }
    let privileges = &inventory.privileges;
    Some(if short || request.only.contains(&Selector::One(HP105)) {
        holders::read(root, privileges)
    } else {
        holders::read_if_left_behind(root, privileges)
    })
}

/// The error if the cgroup of `--frontend-cgroup` or `--backend-cgroup` cannot be joined or read.
#[derive(Debug, thiserror::Error)]
#[error("{option} {source}")]
pub struct RoleCgroupError {
    /// The name of the option.
    option: &'static str,
    /// The error of the cgroup.
    source: GroupError,
}

/// Reads the cgroups of `--frontend-cgroup` and `--backend-cgroup`.
pub fn role_cgroups(request: &Request) -> Result<RoleCgroups, RoleCgroupError> {
    let open = |option, directory: &Option<String>| -> Result<Option<RoleCgroup>, RoleCgroupError> {
        let Some(directory) = directory else { return Ok(None) };
        let group = Group::open(Path::new(directory));
        let limits = |group: Group| RoleCgroup { hugetlb: group.limits(), memory: group.memory_limits() };
        group.map(|group| Some(limits(group))).map_err(|source| RoleCgroupError { option, source })
    };
    Ok(RoleCgroups {
        frontend: open("--frontend-cgroup", &request.frontend_cgroup)?,
        backend: open("--backend-cgroup", &request.backend_cgroup)?,
    })
}
