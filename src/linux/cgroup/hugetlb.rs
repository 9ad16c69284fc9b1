//! Reads the hugetlb limits of a cgroup and of its ancestors.

use super::level::{is_root, parse_limit, read_each};
use super::location;
use super::membership::{CONTROLLERS, MEMBERSHIPS, Membership, parse_controllers, read_memberships};
use crate::root::{HostRoot, THIS_PROCESS};
use crate::{mountinfo, status};
use hugeprobe_domain::cgroup::{
    CgroupLevel, CgroupLimit, CgroupVersion, HugetlbCgroup, HugetlbCounter, HugetlbCounterKind,
};
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// The name of the controller.
pub(super) const HUGETLB: &str = "hugetlb";

/// Returns the hugetlb cgroup of this process.
///
/// `Absent` if no limit can apply, because the kernel has no hugetlb controller, because the controller is disabled, or
/// because no hierarchy was ever mounted.
#[must_use]
pub fn read(root: &HostRoot) -> Reading<HugetlbCgroup> {
    hierarchy(root).and_then(|(version, path)| read_own(root, version, &path))
}

/// Returns the version of the hierarchy that has the controller, and the path of the cgroup of this process in it.
///
/// `Absent` as for [`read`].
pub(super) fn hierarchy(root: &HostRoot) -> Reading<(CgroupVersion, String)> {
    let memberships = read_memberships(root, MEMBERSHIPS);
    // A kernel without cgroups has neither of these two files. If /proc is not mounted, status is missing too.
    if memberships == Reading::Absent
        && root.table(CONTROLLERS) == Reading::Absent
        && status::read(root, THIS_PROCESS).known().is_some()
    {
        return Reading::Absent;
    }
    memberships.required(MEMBERSHIPS).and_then(|memberships| hierarchy_of(root, &memberships))
}

fn hierarchy_of(root: &HostRoot, memberships: &[Membership]) -> Reading<(CgroupVersion, String)> {
    let on = |version, membership: &Membership| Reading::Known((version, membership.path.clone()));
    if let Some(membership) = memberships.iter().find(|membership| membership.has_controller(HUGETLB)) {
        return on(CgroupVersion::V1, membership);
    }
    let v2 = memberships.iter().find(|membership| membership.is_v2());
    let text = root.table(CONTROLLERS);
    let controllers = match text.known().map(|text| parse_controllers(text)) {
        Some(Ok(controllers)) => controllers,
        Some(Err(why)) => return Reading::Malformed(why),
        None => Vec::new(),
    };
    let hugetlb = controllers.iter().find(|controller| controller.name == HUGETLB);
    match (hugetlb, v2) {
        (Some(controller), _) if !controller.enabled => Reading::Absent,
        (None, _) if !controllers.is_empty() => Reading::Absent,
        (Some(controller), _) if controller.hierarchy != 0 => Reading::Malformed(format!(
            "{CONTROLLERS} has the hugetlb controller on hierarchy {}, which {MEMBERSHIPS} does not list",
            controller.hierarchy
        )),
        (_, Some(membership)) => on(CgroupVersion::V2, membership),
        // No hierarchy was ever mounted, so there can be no limit.
        (Some(_), None) if controllers.iter().all(|controller| controller.hierarchy == 0) => Reading::Absent,
        (_, None) => Reading::Malformed(format!("{MEMBERSHIPS} names no group for the hugetlb controller")),
    }
}

/// Reads the cgroup of this process that has this path in its hierarchy.
fn read_own(root: &HostRoot, version: CgroupVersion, path: &str) -> Reading<HugetlbCgroup> {
    let found = mountinfo::read(root, THIS_PROCESS, |table| {
        match location::find(root, table, version, HUGETLB, path) {
            Ok(location) => {
                Reading::Known(read_levels(root, version, path.to_owned(), location.directories()))
            }
            Err(why) => Reading::Unreadable(why),
        }
    });
    // The cgroup is known, but its directory is not. This must not be reported as "no limit".
    found.required("/proc/self/mountinfo")
}

/// Reads the cgroup at the first of `directories`. The others are its ancestors, in upward order.
pub(super) fn read_levels(
    root: &HostRoot,
    version: CgroupVersion,
    path: String,
    directories: impl Iterator<Item = String>,
) -> HugetlbCgroup {
    let (levels, complete) = read_each(root, version, directories, |directory, names| CgroupLevel {
        directory: directory.to_owned(),
        sizes: match names {
            Ok(names) => read_sizes(root, version, directory, names),
            Err(why) => Reading::Unreadable(why),
        },
    });
    HugetlbCgroup { version, path, levels, complete }
}

/// Reads the limits of each page size in the cgroup at `directory`, which has files of these names.
fn read_sizes(
    root: &HostRoot,
    version: CgroupVersion,
    directory: &str,
    names: &[String],
) -> Reading<Vec<CgroupLimit>> {
    let sizes = sizes_among(names);
    if !sizes.is_empty() {
        let limit = |size| read_limit(root, version, directory, size);
        return Reading::Known(sizes.into_iter().map(limit).collect());
    }
    let missing =
        || Reading::Malformed(format!("the cgroup {directory} has no hugetlb files, although it should"));
    match version {
        CgroupVersion::V1 => missing(),
        CgroupVersion::V2 if is_root(version, names) => Reading::Known(Vec::new()),
        CgroupVersion::V2 => match root.value(format!("{directory}/cgroup.controllers")) {
            Reading::Known(names) if names.split_ascii_whitespace().any(|name| name == HUGETLB) => missing(),
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
            parse_limit(text, size.bytes())
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
        fn no_file_name_panics(text in "\\PC*") {
            let _ = sizes_among(&[text]);
        }
    }
}
