//! The memory cgroup, if cgroup v2 is mounted with `memory_hugetlb_accounting`.

use super::level::is_root;
use super::location;
use super::membership::{MEMBERSHIPS, parse_memberships};
use crate::mountinfo::{self, MOUNTINFO, MountTable, options, parse_mountinfo};
use crate::root::HostRoot;
use hugeprobe_domain::cgroup::CgroupVersion;
use hugeprobe_domain::memory_cgroup::{MemoryCgroup, MemoryLevel};
use hugeprobe_domain::reading::Reading;

const MEMORY: &str = "memory";

/// The mount option of cgroup v2 that makes huge pages count against `memory.max`. It applies to the whole hierarchy,
/// so each of its mounts shows it. Source: `cgroup_show_options()` in `kernel/cgroup/cgroup.c`.
const ACCOUNTING: &str = "memory_hugetlb_accounting";

/// Returns the memory cgroup of this process; `Absent` if, as far as can be seen, huge pages do not count against
/// `memory.max`.
#[must_use]
pub fn read_memory(root: &HostRoot) -> Reading<MemoryCgroup> {
    // Without /proc, the hugetlb cgroup is unknown too, and HP401 reports that.
    with_mounts(root, Reading::Absent, |table| {
        if has_accounting(table) { read_own(root, table, false) } else { Reading::Absent }
    })
}

/// Returns the memory cgroup of this process, of cgroup v1 or v2. Absent: the process is in none.
#[must_use]
pub fn read_memory_limit(root: &HostRoot) -> Reading<MemoryCgroup> {
    let without_mounts = Reading::Unreadable(format!("{MOUNTINFO} does not exist"));
    with_mounts(root, without_mounts, |table| read_own(root, table, true))
}

/// Returns the memory cgroup of the v2 cgroup in the first of `directories`, if huge pages count against `memory.max`. The
/// others are its ancestors, in upward order.
pub(super) fn read_directories(
    root: &HostRoot,
    path: String,
    directories: impl Iterator<Item = String>,
) -> Reading<MemoryCgroup> {
    with_mounts(root, Reading::Absent, |table| {
        if !has_accounting(table) {
            return Reading::Absent;
        }
        read_levels(root, CgroupVersion::V2, path, directories)
    })
}

/// Returns what `read` makes of the mounts, and `without` if there is no list of them.
fn with_mounts(
    root: &HostRoot,
    without: Reading<MemoryCgroup>,
    read: impl FnOnce(&MountTable<'_>) -> Reading<MemoryCgroup>,
) -> Reading<MemoryCgroup> {
    let text = match mountinfo::read(root) {
        Reading::Known(text) => text,
        Reading::Absent => return without,
        Reading::Unreadable(why) | Reading::Malformed(why) => return Reading::Unreadable(why),
    };
    match parse_mountinfo(&text) {
        Ok(table) => read(&table),
        Err(why) => Reading::Malformed(why),
    }
}

fn has_accounting(table: &MountTable<'_>) -> bool {
    table.iter().any(|mount| {
        mount.filesystem == "cgroup2" && options(mount.super_options).any(|option| option == ACCOUNTING)
    })
}

/// The group that `/proc/self/cgroup` names: of v2, or of v1 where its memory controller is used and `or_v1`.
fn read_own(root: &HostRoot, table: &MountTable<'_>, or_v1: bool) -> Reading<MemoryCgroup> {
    let text = match root.table(MEMBERSHIPS) {
        Reading::Known(text) => text,
        Reading::Absent => return Reading::Unreadable(format!("{MEMBERSHIPS} does not exist")),
        Reading::Unreadable(why) | Reading::Malformed(why) => return Reading::Unreadable(why),
    };
    let memberships = match parse_memberships(&text) {
        Ok(memberships) => memberships,
        Err(why) => return Reading::Malformed(why),
    };
    let v1 = memberships.iter().find(|membership| or_v1 && membership.has_controller(MEMORY));
    let v2 = memberships.iter().find(|membership| membership.is_v2());
    let (version, own) = match (v1, v2) {
        (Some(own), _) => (CgroupVersion::V1, own),
        (None, Some(own)) => (CgroupVersion::V2, own),
        (None, None) => return Reading::Absent,
    };
    match location::find(root, table, version, MEMORY, own.path) {
        Ok(location) => read_levels(root, version, own.path.to_owned(), location.directories()),
        Err(why) => Reading::Unreadable(why),
    }
}

fn read_levels(
    root: &HostRoot,
    version: CgroupVersion,
    path: String,
    directories: impl Iterator<Item = String>,
) -> Reading<MemoryCgroup> {
    let mut complete = false;
    let mut levels = Vec::new();
    for directory in directories {
        let names = root.names(&directory);
        complete = names.known().is_some_and(|names| is_root(version, names));
        levels.push(read_level(root, version, directory, &names));
    }
    Reading::Known(MemoryCgroup { path, levels, complete })
}

/// The files of a group, by version. `memory.stat` of v1 counts the groups below in the lines that begin with `total_`.
///
/// Source: Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
struct Files {
    limit: &'static str,
    usage: &'static str,
    cache: &'static [&'static str],
    swappable: &'static [&'static str],
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: &["total_active_file", "total_inactive_file"],
    swappable: &["total_active_anon", "total_inactive_anon"],
};
const V2: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    cache: &["active_file", "inactive_file", "slab_reclaimable"],
    swappable: &["anon", "shmem"],
};

fn read_level(
    root: &HostRoot,
    version: CgroupVersion,
    directory: String,
    names: &Reading<Vec<String>>,
) -> MemoryLevel {
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
    let files = match version {
        CgroupVersion::V1 => V1,
        CgroupVersion::V2 => V2,
    };
    if !names.iter().any(|name| name == files.limit) {
        // The root of v2 has no memory.max, and neither does a cgroup for which the controller is not enabled. Its
        // ancestors are charged.
        return MemoryLevel { directory, limit: Reading::Known(None), ..MemoryLevel::default() };
    }
    let stat = root.table(format!("{directory}/memory.stat"));
    let sum = |names: &[&str]| -> Reading<u64> { stat.clone().and_then(|text| sum_of(&text, names)) };
    let file = format!("{directory}/{}", files.limit);
    MemoryLevel {
        limit: root.parsed(&file, parse_max),
        file,
        usage: root.number(format!("{directory}/{}", files.usage)),
        cache: sum(files.cache),
        swappable: sum(files.swappable),
        directory,
    }
}

/// Numbers from this one on mean no limit. Cgroup v1 shows `PAGE_COUNTER_MAX` times the page size in place of `max`; the
/// largest base page of a kernel is 64 KiB. Source: `include/linux/page_counter.h`.
const NO_LIMIT: u64 = i64::MAX.unsigned_abs() & !0xffff;

/// Parses a number of bytes. `max`, and a number that no cgroup can reach, are returned as `Some(None)`.
fn parse_max(text: &str) -> Option<Option<u64>> {
    if text == "max" {
        return Some(None);
    }
    let limit: u64 = if text.starts_with('+') { None } else { text.parse().ok() }?;
    Some((limit < NO_LIMIT).then_some(limit))
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
            ("9223372036854771712", Some(None)),
            ("9223372036854710272", Some(None)),
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
