//! Reads the directories of a cgroup and of its ancestors, and parses the number in a limit file.

use crate::root::HostRoot;
use hugeprobe_domain::cgroup::CgroupVersion;
use hugeprobe_domain::digits::parse_digits;
use hugeprobe_domain::reading::Reading;

/// Lists each of `directories`, which are those of a cgroup and its ancestors in upward order.
///
/// Returns what `read` makes of each directory and of the names in it, or of the reason why it cannot be listed. The
/// second value says whether the last directory is the root of the whole hierarchy, above which there are no limits.
pub(super) fn read_each<T>(
    root: &HostRoot,
    version: CgroupVersion,
    directories: impl Iterator<Item = String>,
    read: impl Fn(&str, Result<&[String], String>) -> T,
) -> (Vec<T>, bool) {
    let mut complete = false;
    let read_one = |directory: String| {
        let names = match root.names(&directory) {
            Reading::Known(names) => Ok(names),
            Reading::Absent => Err(format!("the cgroup {directory} does not exist")),
            Reading::Unreadable(why) | Reading::Malformed(why) => Err(why),
        };
        complete = names.as_ref().is_ok_and(|names| is_root(version, names));
        read(&directory, names.as_deref().map_err(Clone::clone))
    };
    let levels = directories.map(read_one).collect();
    (levels, complete)
}

/// Parses the bytes in a limit file; `Some(None)` means no limit. The counter counts in units of `unit` bytes.
///
/// `max` means no limit. A number that a cgroup cannot reach also means no limit: the maximum of the counter, either
/// exact or rounded down to the unit (6.18 shows 9223372036854771712 for a new cgroup of v2).
///
/// Source: `PAGE_COUNTER_MAX` in `include/linux/page_counter.h`, `hugetlb_cgroup_read_u64_max()` in
/// `mm/hugetlb_cgroup.c`.
#[must_use]
pub fn parse_limit(text: &str, unit: u64) -> Option<Option<u64>> {
    if text == "max" {
        return Some(None);
    }
    const MOST: u64 = i64::MAX.unsigned_abs();
    let limit: u64 = parse_digits(text)?;
    let end = MOST - MOST % unit.max(1);
    Some((limit < end).then_some(limit))
}

/// Returns whether the cgroup with these files is the root of the hierarchy.
///
/// On v1, only the root has `release_agent`. On v2, every cgroup except the root has `cgroup.events`. A mount whose
/// root is `/` proves nothing: in a cgroup namespace, the cgroup of every container is `/`.
///
/// Source: `CFTYPE_ONLY_ON_ROOT` and `CFTYPE_NOT_ON_ROOT` in `kernel/cgroup/cgroup-v1.c` and `cgroup.c`; seen on 6.18.
pub(super) fn is_root(version: CgroupVersion, names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|other| other == name);
    match version {
        CgroupVersion::V1 => has("release_agent"),
        CgroupVersion::V2 => has("cgroup.controllers") && !has("cgroup.events"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use hugeprobe_domain::size::PageSize;

    #[test]
    fn no_limit_has_several_forms() {
        let (small, large): (PageSize, PageSize) = ("2Mi".parse().unwrap(), "1Gi".parse().unwrap());
        for (text, size, limit) in [
            ("max", small, Some(None)),
            ("9223372036854771712", small, Some(None)),
            ("9223372036854771712", large, Some(None)),
            ("9223372036852678656", small, Some(None)),
            ("9223372035781033984", large, Some(None)),
            ("18446744073709551615", small, Some(None)),
            ("9223372036850581504", small, Some(Some(9_223_372_036_850_581_504))),
            ("0", small, Some(Some(0))),
            ("8388608", small, Some(Some(8 << 20))),
            ("", small, None),
            ("MAX", small, None),
            ("-1", small, None),
            ("+1", small, None),
            ("8M", small, None),
            ("18446744073709551616", small, None),
        ] {
            assert_eq!(parse_limit(text, size.bytes()), limit, "{text} of {size}");
        }
    }

    #[test]
    fn a_memory_limit_is_max_or_a_number() {
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
            assert_eq!(parse_limit(text, 64 << 10), limit, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", unit: u64) {
            let _ = parse_limit(&text, unit);
        }

        #[test]
        fn a_limit_that_fits_any_machine_is_kept(pages in 0_u64..(1 << 20), shift in 13_u32..=40) {
            let bytes = pages << shift;
            prop_assert_eq!(parse_limit(&bytes.to_string(), 1 << shift), Some(Some(bytes)));
        }
    }
}
