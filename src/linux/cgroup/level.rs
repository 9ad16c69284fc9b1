//! Reads the limit files of one cgroup.

use crate::root::HostRoot;
use hugeprobe_domain::cgroup::{CgroupLevel, CgroupLimit, CgroupVersion, HugetlbCounter, HugetlbCounterKind};
use hugeprobe_domain::digits::parse_digits;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// The limits found in a cgroup's directory.
pub(super) struct Group {
    pub(super) level: CgroupLevel,
    /// Whether this is the root of the whole hierarchy, above which there are no limits.
    pub(super) is_root: bool,
}

/// Reads the cgroup at `directory`.
pub(super) fn read_group(root: &HostRoot, version: CgroupVersion, directory: String) -> Group {
    let names = match root.names(&directory) {
        Reading::Known(names) => names,
        Reading::Absent => {
            let sizes = Reading::Unreadable(format!("the cgroup {directory} does not exist"));
            return Group { level: CgroupLevel { directory, sizes }, is_root: false };
        }
        Reading::Unreadable(why) | Reading::Malformed(why) => {
            return Group {
                level: CgroupLevel { directory, sizes: Reading::Unreadable(why) },
                is_root: false,
            };
        }
    };
    let is_root = is_root(version, &names);
    let sizes = sizes_among(&names);
    let sizes = if sizes.is_empty() {
        without_files(root, version, &directory, is_root)
    } else {
        Reading::Known(sizes.into_iter().map(|size| read_limit(root, version, &directory, size)).collect())
    };
    Group { level: CgroupLevel { directory, sizes }, is_root }
}

/// Parses the number in a limit file for `size`; `Some(None)` means no limit.
///
/// On v2, `max` means no limit. On both versions, a number that a cgroup cannot reach also means no limit: the maximum
/// of the counter, either exact or rounded down to the page size (6.18 shows 9223372036854771712 for a new cgroup of
/// v2).
///
/// Source: `PAGE_COUNTER_MAX` in `include/linux/page_counter.h`, `hugetlb_cgroup_read_u64_max()` in
/// `mm/hugetlb_cgroup.c`.
#[must_use]
pub fn parse_limit(text: &str, size: PageSize) -> Option<Option<u64>> {
    if text == "max" {
        return Some(None);
    }
    let limit: u64 = parse_digits(text)?;
    let end = i64::MAX.unsigned_abs() / size.bytes() * size.bytes();
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

/// Returns the reading for a cgroup without hugetlb files.
fn without_files(
    root: &HostRoot,
    version: CgroupVersion,
    directory: &str,
    is_root: bool,
) -> Reading<Vec<CgroupLimit>> {
    let missing =
        || Reading::Malformed(format!("the cgroup {directory} has no hugetlb files, although it should"));
    match version {
        CgroupVersion::V1 => missing(),
        CgroupVersion::V2 if is_root => Reading::Known(Vec::new()),
        CgroupVersion::V2 => match root.value(format!("{directory}/cgroup.controllers")) {
            Reading::Known(names) if names.split_ascii_whitespace().any(|name| name == "hugetlb") => {
                missing()
            }
            Reading::Known(_) => Reading::Known(Vec::new()),
            Reading::Absent => {
                Reading::Malformed(format!("{directory} has no cgroup.controllers: it is not a cgroup"))
            }
            Reading::Unreadable(why) | Reading::Malformed(why) => Reading::Unreadable(why),
        },
    }
}

/// Returns the page sizes in file names such as `hugetlb.2MB.max`, smallest first.
fn sizes_among(names: &[String]) -> Vec<PageSize> {
    let size_of = |name: &String| name.strip_prefix("hugetlb.")?.split('.').next()?.parse().ok();
    let mut sizes: Vec<PageSize> = names.iter().filter_map(size_of).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn read_limit(root: &HostRoot, version: CgroupVersion, directory: &str, size: PageSize) -> CgroupLimit {
    let counter = |kind: HugetlbCounterKind| HugetlbCounter {
        limit: root.parsed(format!("{directory}/{}", version.limit_file(size, kind)), |text| {
            parse_limit(text, size)
        }),
        usage: root.number(format!("{directory}/{}", version.usage_file(size, kind))),
    };
    CgroupLimit {
        size,
        fault: counter(HugetlbCounterKind::Fault),
        reservation: counter(HugetlbCounterKind::Reservation),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            assert_eq!(parse_limit(text, size), limit, "{text} of {size}");
        }
    }

    #[test]
    fn sizes_are_taken_from_the_names() {
        let names = [
            "hugetlb.2MB.max",
            "hugetlb.1GB.current",
            "hugetlb.2MB.rsvd.max",
            "hugetlb.64KB.max",
            "hugetlb.x.max",
        ];
        let sizes = sizes_among(&names.map(str::to_owned));
        assert_eq!(sizes, ["64Ki", "2Mi", "1Gi"].map(|text| text.parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", shift in 13_u32..=40) {
            let _ = parse_limit(&text, PageSize::from_bytes(1 << shift).unwrap());
            let _ = sizes_among(&[text]);
        }

        #[test]
        fn a_limit_that_fits_any_machine_is_kept(pages in 0_u64..(1 << 20), shift in 13_u32..=40) {
            let size = PageSize::from_bytes(1 << shift).unwrap();
            let bytes = pages * size.bytes();
            prop_assert_eq!(parse_limit(&bytes.to_string(), size), Some(Some(bytes)));
        }
    }
}
