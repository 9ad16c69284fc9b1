//! Reads the state of the machine on each tick. It maps no page. A tick reads about thirty small files. The privileged profile
//! also reads, less often, the processes and the cgroups of the host.

use std::time::{Duration, Instant};

use crate::reconcile::PodUse;
use hugeprobe_domain::inventory::{BootRequest, Holders, HugeMount, Inventory, Pool};
use hugeprobe_domain::limit_conflict::{LimitConflicts, PodCgroup};
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::cgroup::Membership;
use hugeprobe_linux::holders::SearchLimits;
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::{boot, cgroup, cpu, holders, host, meminfo, mounts, pools, privileges};

/// The minimum time between two searches for the owners of pages. A search reads every process of the host.
const SEARCH: Duration = Duration::from_secs(60);
/// The maximum duration of a search. The agent does nothing else meanwhile.
const SEARCH_TIME: Duration = Duration::from_secs(2);
/// The directory in /proc of the host's process 1, for a process that shares its PID namespace.
const HOST_PROCESS: &str = "/proc/1";
/// The time between two reads of the limits of all cgroups. On a node with 110 pods, that is some 2,000 small files.
const LIMITS: Duration = Duration::from_secs(60);

/// Reads the machine.
#[derive(Debug)]
pub struct Reader {
    root: HostRoot,
    /// Whether the profile is `privileged`, in which the agent sees the host's processes.
    privileged: bool,
    fixed: Option<Fixed>,
    search: Option<Search>,
    limits: Option<Limits>,
}

/// Facts that do not change while the machine runs.
#[derive(Debug, Clone)]
struct Fixed {
    boot: Reading<BootRequest>,
    cpu_1gi: Reading<bool>,
    default_size: Reading<PageSize>,
}

/// The result of a search for owners of pages.
#[derive(Debug)]
struct Search {
    at: Instant,
    /// The pools at the time of the search. The search is repeated early if they have changed.
    pools: Reading<Vec<Pool>>,
    holders: Holders,
    outside: Vec<(PageSize, u64)>,
}

/// The limits of all cgroups, as they were read last.
#[derive(Debug)]
struct Limits {
    at: Instant,
    /// The sizes whose limits were read.
    sizes: Vec<PageSize>,
    conflicts: Reading<LimitConflicts>,
}

// === impl Reader ===

impl Reader {
    /// Creates a reader for the files under `root`.
    #[must_use]
    pub const fn new(root: HostRoot, privileged: bool) -> Self {
        Self { root, privileged, fixed: None, search: None, limits: None }
    }

    /// Reads the current state of the machine.
    pub fn read(&mut self) -> Inventory {
        let root = &self.root;
        let fixed = self.fixed.get_or_insert_with(|| Fixed {
            boot: boot::read(root),
            cpu_1gi: cpu::has_1gi(root),
            default_size: meminfo::default_size(root),
        });
        let Fixed { boot, cpu_1gi, default_size } = fixed.clone();
        let pools = pools::read(root);
        let mounts = if self.privileged { host_mounts(root) } else { mounts::read(root) };
        let mut inventory = Inventory {
            host: host::read(root),
            nodes: pools::nodes(root),
            hardware_corrupted_bytes: meminfo::hardware_corrupted(root),
            boot,
            cpu_1gi,
            default_size,
            pools,
            mounts,
            huge_pages_count_as_memory: cgroup::counts_huge_pages(root),
            ..Inventory::default()
        };
        if self.privileged {
            inventory.limit_conflicts = self.limit_conflicts(&inventory.pools);
            inventory.holders = self.search(&inventory.pools).map(|search| search.holders.clone());
        }
        inventory
    }

    /// Returns the pages that processes outside pods held at the last search; `None` if there was no search.
    #[must_use]
    pub fn outside(&self) -> Option<PodUse> {
        self.search.as_ref().map(|search| PodUse::Outside(search.outside.clone()))
    }

    /// Returns the cgroups of the host that get no page because the limit of a parent is 0. Pages need not be in use for
    /// that.
    fn limit_conflicts(&mut self, pools: &Reading<Vec<Pool>>) -> Reading<LimitConflicts> {
        let sizes = pools::sizes_with_pages(pools);
        if sizes.is_empty() {
            return Reading::Absent;
        }
        match &self.limits {
            Some(limits) if limits.at.elapsed() < LIMITS && limits.sizes == sizes => limits.conflicts.clone(),
            _ => {
                let conflicts = cgroup::read_conflicts_of_host(&self.root, &sizes);
                self.limits = Some(Limits { at: Instant::now(), sizes, conflicts: conflicts.clone() });
                conflicts
            }
        }
    }

    /// Returns the owners of the pages in use; `None` if no page is in use. The search is repeated when the pools have
    /// changed, and periodically.
    fn search(&mut self, pools: &Reading<Vec<Pool>>) -> Option<&Search> {
        if !pools.known().into_iter().flatten().any(is_in_use) {
            self.search = None;
            return None;
        }
        let stale = self.search.as_ref().is_none_or(|search| {
            let (age, changed) = (search.at.elapsed(), search.pools != *pools);
            age > SEARCH * 5 || (changed && age > SEARCH)
        });
        if stale {
            let privileges = privileges::read(&self.root);
            let limits = SearchLimits { time: SEARCH_TIME, ..SearchLimits::default() };
            let holders = holders::read_within(&self.root, &privileges, &limits);
            let outside = outside_pods(&self.root, &holders);
            self.search = Some(Search { at: Instant::now(), pools: pools.clone(), holders, outside });
        }
        self.search.as_ref()
    }
}

/// Returns whether pages of this pool are in use. Assumes so if a counter cannot be read.
fn is_in_use(pool: &Pool) -> bool {
    match (&pool.total, &pool.free) {
        (Reading::Known(total), Reading::Known(free)) => total > free,
        _ => true,
    }
}

/// Returns the host's mounts, or this container's mounts if the host's cannot be read.
fn host_mounts(root: &HostRoot) -> Reading<Vec<HugeMount>> {
    match mounts::read_of(root, HOST_PROCESS) {
        Reading::Absent | Reading::Unreadable(_) => mounts::read(root),
        reading => reading,
    }
}

/// Returns the pages of processes that do not belong to a pod.
///
/// A process whose cgroup is unknown is assumed to belong to a pod.
fn outside_pods(root: &HostRoot, holders: &Holders) -> Vec<(PageSize, u64)> {
    let mut outside: Vec<(PageSize, u64)> = Vec::new();
    for holder in &holders.processes {
        let memberships = cgroup::read_memberships(root, &format!("/proc/{}/cgroup", holder.pid));
        let is_of_pod = |membership: &Membership| is_of_pod(&membership.path);
        if memberships.known().is_none_or(|memberships| memberships.iter().any(is_of_pod)) {
            continue;
        }
        for &(size, pages) in &holder.pages {
            match outside.iter_mut().find(|(its, _)| *its == size) {
                // Processes that share a page each count it. The largest number is a safe lower bound.
                Some((_, most)) => *most = (*most).max(pages),
                None => outside.push((size, pages)),
            }
        }
    }
    outside
}

/// Returns whether a cgroup belongs to a pod.
///
/// The kubelet places all pods below a cgroup `kubepods`, with either cgroup driver. On cgroup v2 a container has a
/// cgroup namespace, and the kernel shows it the cgroups of others relative to its own (cgroup_namespaces(7)), such as
/// `/../../podUID/ID`: without `kubepods`, if the driver is cgroupfs. A pod's cgroup is then recognised by its name
/// alone, `pod` and a uid (of a static pod: a digest).
fn is_of_pod(path: &str) -> bool {
    path.contains("kubepods") || PodCgroup::of(path).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hugeprobe_domain::inventory::Holder;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, HostRoot) {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = HostRoot::new(directory.path());
        (directory, root)
    }

    #[test]
    fn counters_are_read_anew_and_what_cannot_change_once() {
        let (directory, root) = tree(&[
            ("proc/cmdline", "hugepages=4\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4\n"),
        ]);
        let mut reader = Reader::new(root, false);
        let first = reader.read();
        std::fs::write(directory.path().join("proc/cmdline"), "hugepages=8\n").unwrap();
        let file = directory.path().join("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
        std::fs::write(file, "8\n").unwrap();
        let second = reader.read();
        assert_eq!(first.boot, second.boot);
        let total = |inventory: &Inventory| inventory.pools.known().unwrap()[0].total.get();
        assert_eq!((total(&first), total(&second)), (Some(4), Some(8)));
        assert_eq!(second.holders, None);
    }

    #[test]
    fn the_cgroups_of_the_host_are_read_with_the_privileged_profile_and_not_at_each_tick() {
        let mount = "2 1 0:9 / /sys/fs/cgroup rw - cgroup2 none rw\n";
        let pod = "proc/1/root/sys/fs/cgroup/pod4fb5ca06-9dd5-496f-ba80-53309ce5fc88";
        let limit = format!("{pod}/hugetlb.2MB.max");
        let (directory, root) = tree(&[
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/cgroups", "hugetlb\t0\t3\t1\n"),
            ("proc/1/mountinfo", mount),
            ("proc/1/root/sys/fs/cgroup/cgroup.controllers", "hugetlb\n"),
            (&limit, "0\n"),
            (&format!("{pod}/container/hugetlb.2MB.max"), "2097152\n"),
        ]);
        let mut privileged = Reader::new(root.clone(), true);
        let found = |inventory: Inventory| inventory.limit_conflicts.known().map(|all| all.found.len());
        assert_eq!(found(privileged.read()), Some(1));
        std::fs::write(directory.path().join(&limit), "2097152\n").unwrap();
        assert_eq!(found(privileged.read()), Some(1), "not read again so soon");
        privileged.limits.as_mut().unwrap().at -= LIMITS;
        assert_eq!(found(privileged.read()), Some(0));
        assert_eq!(found(Reader::new(root, false).read()), None);
    }

    #[test]
    fn an_empty_tree_is_a_machine_of_which_nothing_is_known() {
        let (_directory, root) = tree(&[]);
        let mut reader = Reader::new(root, true);
        assert_eq!(reader.read().pools, Reading::Absent);
        assert_eq!(reader.outside(), None);
    }

    #[test]
    fn holders_outside_pods_are_those_whose_cgroup_says_so() {
        let size: PageSize = "2Mi".parse().unwrap();
        let (_directory, root) = tree(&[
            ("proc/10/cgroup", "0::/kubepods.slice/kubepods-pod1.slice/cri-1.scope\n"),
            ("proc/11/cgroup", "4:hugetlb:/kubepods/pod2/3\n0::/\n"),
            ("proc/12/cgroup", "0::/system.slice/ovs.service\n"),
            ("proc/13/cgroup", "0::/user.slice\n"),
            // As a container with a cgroup namespace sees another pod, a static pod, and a process outside pods.
            ("proc/15/cgroup", "0::/../../../pod4fb5ca06-9dd5-496f-ba80-53309ce5fc88/45bad6\n"),
            ("proc/16/cgroup", "0::/../../burstable/pod5c9d0bb3a1f0e7d4c2b6a89f01234567/45bad6\n"),
            ("proc/17/cgroup", "0::/../../../../podman.service\n"),
        ]);
        let holder = |pid, pages| Holder { pid, command: "x".into(), pages: vec![(size, pages)] };
        let processes = vec![
            holder(10, 8),
            holder(11, 8),
            holder(12, 3),
            holder(13, 5),
            holder(14, 9),
            holder(15, 9),
            holder(16, 9),
            holder(17, 4),
        ];
        let holders = Holders { processes, ..Holders::default() };
        assert_eq!(outside_pods(&root, &holders), [(size, 5)]);
    }
}
