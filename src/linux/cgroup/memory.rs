//! The memory cgroup, if cgroup v2 is mounted with `memory_hugetlb_accounting`.

use super::level::is_root;
use super::location;
use super::membership::{MEMBERSHIPS, parse_memberships};
use crate::domain::cgroup::CgroupVersion;
use crate::domain::memory_cgroup::{MemoryCgroup, MemoryLevel};
use crate::domain::reading::Reading;
use crate::linux::mountinfo::{self, MountTable, options, parse_mountinfo};
use crate::linux::root::HostRoot;

/// The mount option of cgroup v2 that makes huge pages count against `memory.max`. It applies to the whole hierarchy,
/// so each of its mounts shows it. Source: `cgroup_show_options()` in `kernel/cgroup/cgroup.c`.
const ACCOUNTING: &str = "memory_hugetlb_accounting";

/// Returns the memory cgroup of this process; `Absent` if, as far as can be seen, huge pages do not count against
/// `memory.max`.
#[must_use]
pub fn read_memory(root: &HostRoot) -> Reading<MemoryCgroup> {
    with_accounting(root, |table| {
        let text = match root.table(MEMBERSHIPS) {
            Reading::Known(text) => text,
            Reading::Absent => return Reading::Unreadable(format!("{MEMBERSHIPS} does not exist")),
            Reading::Unreadable(why) | Reading::Malformed(why) => return Reading::Unreadable(why),
        };
        let memberships = match parse_memberships(&text) {
            Ok(memberships) => memberships,
            Err(why) => return Reading::Malformed(why),
        };
        let Some(own) = memberships.iter().find(|membership| membership.is_v2()) else {
            return Reading::Absent;
        };
        match location::find(root, table, CgroupVersion::V2, own.path) {
            Ok(location) => read_levels(root, own.path.to_owned(), location.directories()),
            Err(why) => Reading::Unreadable(why),
        }
    })
}

/// Returns the memory cgroup of the v2 cgroup in the first of `directories`. The others are its ancestors, in upward
/// order.
pub(super) fn read_directories(
    root: &HostRoot,
    path: String,
    directories: impl Iterator<Item = String>,
) -> Reading<MemoryCgroup> {
    with_accounting(root, |_| read_levels(root, path, directories))
}

fn with_accounting(
    root: &HostRoot,
    read: impl FnOnce(&MountTable<'_>) -> Reading<MemoryCgroup>,
) -> Reading<MemoryCgroup> {
    let text = match mountinfo::read(root) {
        Reading::Known(text) => text,
        // Without /proc, the hugetlb cgroup is unknown too, and HP401 reports that.
        Reading::Absent => return Reading::Absent,
        Reading::Unreadable(why) | Reading::Malformed(why) => return Reading::Unreadable(why),
    };
    let table = match parse_mountinfo(&text) {
        Ok(table) => table,
        Err(why) => return Reading::Malformed(why),
    };
    let is_accounting = table.iter().any(|mount| {
        mount.filesystem == "cgroup2" && options(mount.super_options).any(|option| option == ACCOUNTING)
    });
    if is_accounting { read(&table) } else { Reading::Absent }
}

fn read_levels(
    root: &HostRoot,
    path: String,
    directories: impl Iterator<Item = String>,
) -> Reading<MemoryCgroup> {
    let mut complete = false;
    let mut levels = Vec::new();
    for directory in directories {
        let names = root.names(&directory);
        complete = names.known().is_some_and(|names| is_root(CgroupVersion::V2, names));
        levels.push(read_level(root, directory, &names));
    }
    Reading::Known(MemoryCgroup { path, levels, complete })
}

fn read_level(root: &HostRoot, directory: String, names: &Reading<Vec<String>>) -> MemoryLevel {
    let names = match names {
        Reading::Known(names) => names,
        Reading::Absent => {
            let limit = Reading::Unreadable(format!("the cgroup {directory} does not exist"));
            return MemoryLevel { directory, limit, ..MemoryLevel::default() };
        }
        Reading::Unreadable(why) | Reading::Malformed(why) => {
            return MemoryLevel {
                directory,
                limit: Reading::Unreadable(why.clone()),
                ..MemoryLevel::default()
            };
        }
    };
    if !names.iter().any(|name| name == "memory.max") {
        // The root has no memory.max, and neither does a cgroup for which the controller is not enabled. Its ancestors
        // are charged.
        return MemoryLevel { directory, limit: Reading::Known(None), ..MemoryLevel::default() };
    }
    let stat = root.table(format!("{directory}/memory.stat"));
    let sum = |names: &[&str]| -> Reading<u64> { stat.clone().and_then(|text| sum_of(&text, names)) };
    MemoryLevel {
        limit: root.parsed(format!("{directory}/memory.max"), parse_max),
        usage: root.number(format!("{directory}/memory.current")),
        cache: sum(&["active_file", "inactive_file", "slab_reclaimable"]),
        swappable: sum(&["anon", "shmem"]),
        directory,
    }
}

/// Parses `max`, which is returned as `Some(None)`, or a number of bytes.
fn parse_max(text: &str) -> Option<Option<u64>> {
    if text == "max" {
        return Some(None);
    }
    if text.starts_with('+') { None } else { text.parse().ok().map(Some) }
}

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
    fn a_limit_is_max_or_a_number() {
        for (text, limit) in [
            ("max", Some(None)),
            ("0", Some(Some(0))),
            ("67108864", Some(Some(64 << 20))),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("64M", None),
        ] {
            assert_eq!(parse_max(text), limit, "{text}");
        }
    }

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

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_max(&text);
            let _ = sum_of(&text, &["anon", "shmem"]);
        }
    }
}
