//! Reads the inventory: all the facts that the inspections judge, before any page is taken.

use std::path::Path;

use crate::domain::catalogue::HP105;
use crate::domain::inventory::{Inventory, Pool};
use crate::domain::reading::Reading;
use crate::domain::request::Request;
use crate::domain::role_cgroups::{RoleCgroup, RoleCgroups};
use crate::linux::cgroup::{Group, GroupError};
use crate::linux::root::HostRoot;
use crate::linux::{boot, cgroup, cpu, directory, holders, host, limits, memory, mounts, pools, privileges};

/// Reads the inventory of the machine under `root`. It takes no page and changes nothing, apart from a temporary file
/// without a name in `--dir`.
#[must_use]
pub fn inventory(root: &HostRoot, request: &Request) -> Inventory {
    let pools = pools::read(root);
    let privileges = privileges::read(root);
    let in_use = pools.known().into_iter().flatten().any(has_pages_in_use);
    let holders = (in_use && request.reports(HP105)).then(|| holders::read(root, &privileges));
    Inventory {
        host: host::read(root),
        nodes: pools::nodes(root),
        boot: boot::read(root),
        cpu_1gi: cpu::has_1gi(root),
        hardware_corrupted_bytes: memory::hardware_corrupted(root),
        default_size: memory::default_size(root),
        directory: request.directory.as_deref().map(|path| directory::inspect_directory(Path::new(path))),
        cgroup: cgroup::read(root),
        memory_cgroup: cgroup::read_memory(root),
        memory_limit: cgroup::read_memory_limit(root),
        role_cgroups: RoleCgroups::default(),
        limits: limits::read(root),
        privileges,
        holders,
        mounts: mounts::read(root),
        pools,
    }
}

/// The cgroup of `--frontend-cgroup` or `--backend-cgroup` cannot be joined and read.
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

/// Returns whether processes may hold pages of this pool. A counter that cannot be read counts as yes.
fn has_pages_in_use(pool: &Pool) -> bool {
    match (&pool.total, &pool.free) {
        (Reading::Known(total), Reading::Known(free)) => total > free,
        _ => true,
    }
}
