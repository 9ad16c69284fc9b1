//! The memory cgroup of this process, and whether huge pages count against its limits.

use super::level::{parse_limit, read_each};
use super::location;
use super::membership::{MEMBERSHIPS, read_memberships};
use crate::init_namespaces::is_initial_cgroup;
use crate::mountinfo::{self, MountTable, options};
use crate::root::{HostRoot, THIS_PROCESS};
use hugeprobe_domain::cgroup::CgroupVersion;
use hugeprobe_domain::memory_cgroup::{MemoryCgroup, MemoryLevel};
use hugeprobe_domain::reading::Reading;

const MEMORY: &str = "memory";

/// The mount option of cgroup v2 that makes huge pages count against `memory.max`. It applies to the whole hierarchy,
/// so each of its mounts shows it. Source: `cgroup_show_options()` in `kernel/cgroup/cgroup.c`.
const ACCOUNTING: &str = "memory_hugetlb_accounting";

/// Returns whether huge pages count against the memory limits of this process. Absent: there is no list of mounts.
///
/// The option has no effect while a v1 hierarchy has the memory controller (`mem_cgroup_hugetlb_try_charge()` in
/// `mm/memcontrol.c`).
#[must_use]
pub fn counts_huge_pages(root: &HostRoot) -> Reading<bool> {
    mountinfo::read(root, THIS_PROCESS, |table| Reading::Known(has_accounting(table) && !is_on_v1(root)))
}

/// Returns the memory cgroup of this process, of cgroup v1 or v2; `Absent` if it is in none.
#[must_use]
pub fn read_memory(root: &HostRoot) -> Reading<MemoryCgroup> {
    let found = mountinfo::read(root, THIS_PROCESS, |table| Reading::Known(read_own(root, table)));
    found.required("/proc/self/mountinfo").and_then(|cgroup| cgroup)
}

fn has_accounting(table: &MountTable<'_>) -> bool {
    table.iter().any(|mount| {
        mount.filesystem == "cgroup2" && options(mount.super_options).any(|option| option == ACCOUNTING)
    })
}

/// Returns whether a v1 hierarchy has the memory controller.
pub(super) fn is_on_v1(root: &HostRoot) -> bool {
    let memberships = read_memberships(root, MEMBERSHIPS);
    memberships.known().is_some_and(|all| all.iter().any(|membership| membership.has_controller(MEMORY)))
}

/// Returns the cgroup of this process: of v1 if a v1 hierarchy has the memory controller, otherwise of v2.
fn read_own(root: &HostRoot, table: &MountTable<'_>) -> Reading<MemoryCgroup> {
    read_memberships(root, MEMBERSHIPS).required(MEMBERSHIPS).and_then(|memberships| {
        let v1 = memberships.iter().find(|membership| membership.has_controller(MEMORY));
        let v2 = memberships.iter().find(|membership| membership.is_v2());
        let (version, own) = match (v1, v2) {
            (Some(own), _) => (CgroupVersion::V1, own),
            (None, Some(own)) => (CgroupVersion::V2, own),
            (None, None) => return Reading::Absent,
        };
        match location::find(root, table, version, MEMORY, &own.path) {
            Ok(location) => {
                Reading::Known(read_levels(root, version, own.path.clone(), location.directories()))
            }
            // The root of a hierarchy has no limit, also where it cannot be seen.
            Err(_) if own.path == "/" && is_initial_cgroup(root) == Reading::Known(true) => {
                Reading::Known(MemoryCgroup { path: own.path.clone(), levels: Vec::new(), complete: true })
            }
            Err(why) => Reading::Unreadable(why),
        }
    })
}

/// Reads the cgroup at the first of `directories`. The others are its ancestors, in upward order.
pub(super) fn read_levels(
    root: &HostRoot,
    version: CgroupVersion,
    path: String,
    directories: impl Iterator<Item = String>,
) -> MemoryCgroup {
    let (levels, complete) =
        read_each(root, version, directories, |directory, names| read_level(root, version, directory, names));
    MemoryCgroup { path, levels, complete }
}

/// The files of a group, by version. `memory.stat` of v1 counts the groups below in the lines that begin with `total_`.
///
/// Source: Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
struct Files {
    limit: &'static str,
    high: Option<&'static str>,
    usage: &'static str,
    cache: &'static [&'static str],
    swappable: &'static [&'static str],
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    high: None,
    usage: "memory.usage_in_bytes",
    cache: &["total_active_file", "total_inactive_file"],
    swappable: &["total_active_anon", "total_inactive_anon"],
};
const V2: Files = Files {
    limit: "memory.max",
    high: Some("memory.high"),
    usage: "memory.current",
    cache: &["active_file", "inactive_file", "slab_reclaimable"],
    swappable: &["anon", "shmem"],
};

fn read_level(
    root: &HostRoot,
    version: CgroupVersion,
    directory: &str,
    names: Result<&[String], String>,
) -> MemoryLevel {
    let files = match version {
        CgroupVersion::V1 => V1,
        CgroupVersion::V2 => V2,
    };
    let without = |limit: Reading<Option<u64>>| MemoryLevel {
        directory: directory.to_owned(),
        high: limit.clone(),
        limit,
        ..MemoryLevel::default()
    };
    let names = match names {
        Ok(names) => names,
        Err(why) => return without(Reading::Unreadable(why)),
    };
    if !names.iter().any(|name| name == files.limit) {
        // The root of v2 has no memory.max, and neither does a cgroup for which the controller is not enabled. Its
        // ancestors are charged.
        return without(Reading::Known(None));
    }
    let stat = root.table(format!("{directory}/memory.stat"));
    let sum = |names: &[&str]| -> Reading<u64> { stat.clone().and_then(|text| sum_of(&text, names)) };
    let file = format!("{directory}/{}", files.limit);
    MemoryLevel {
        limit: root.parsed(&file, |text| parse_limit(text, LARGEST_BASE_PAGE)),
        high: files.high.map_or(Reading::Known(None), |name| {
            root.parsed(format!("{directory}/{name}"), |text| parse_limit(text, LARGEST_BASE_PAGE))
        }),
        file,
        usage: root.number(format!("{directory}/{}", files.usage)),
        cache: sum(files.cache),
        swappable: sum(files.swappable),
        directory: directory.to_owned(),
    }
}

/// The largest base page of a kernel, in bytes. Cgroup v1 shows `PAGE_COUNTER_MAX` times the base page in place of
/// `max`.
const LARGEST_BASE_PAGE: u64 = 64 << 10;

/// Returns the sum in bytes of these lines of `memory.stat`; `Malformed` if one of them is missing.
fn sum_of(text: &str, names: &[&str]) -> Reading<u64> {
    let value = |name: &&str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    };
    match names.iter().map(value).try_fold(0_u64, |sum, value| Some(sum.saturating_add(value?))) {
        Some(sum) => Reading::Known(sum),
        None => Reading::Malformed(format!("memory.stat has no {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_stat_is_read_by_whole_names() {
        let text =
            "anon 8192\nfile 12288\nactive_file 4096\ninactive_file 8192\nslab_reclaimable 100\nanon_thp 7\n";
        assert_eq!(
            sum_of(text, &["active_file", "inactive_file", "slab_reclaimable"]),
            Reading::Known(12388)
        );
        assert_eq!(sum_of(text, &["anon"]), Reading::Known(8192));
        assert!(matches!(sum_of(text, &["shmem"]), Reading::Malformed(_)));
    }

    #[test]
    fn huge_pages_count_only_if_the_option_is_set_and_the_controller_is_on_v2() {
        let with = "1 0 0:9 / /sys/fs/cgroup rw - cgroup2 none rw,memory_hugetlb_accounting\n";
        let without = "1 0 0:9 / /sys/fs/cgroup rw - cgroup2 none rw\n";
        for (mounts, memberships, counts) in [
            (Some(with), "0::/a\n", Reading::Known(true)),
            (Some(with), "4:memory:/a\n0::/\n", Reading::Known(false)),
            (Some(with), "4:hugetlb:/a\n0::/\n", Reading::Known(true)),
            (Some(without), "0::/a\n", Reading::Known(false)),
            (None, "0::/a\n", Reading::Absent),
            (Some(""), "0::/a\n", Reading::Malformed("/proc/self/mountinfo is empty".into())),
        ] {
            let tree = tempfile::tempdir().unwrap();
            let process = tree.path().join("proc/self");
            std::fs::create_dir_all(&process).unwrap();
            std::fs::write(process.join("cgroup"), memberships).unwrap();
            if let Some(mounts) = mounts {
                std::fs::write(process.join("mountinfo"), mounts).unwrap();
            }
            assert_eq!(counts_huge_pages(&HostRoot::new(tree.path())), counts, "{mounts:?} {memberships}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = sum_of(&text, &["anon", "shmem"]);
        }
    }
}
