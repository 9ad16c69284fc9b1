//! The hugetlb cgroup limits that apply to this process, on cgroup v1, v2, or both at once.
//!
//! `/proc/self/cgroup` shows which hierarchy has the controller: if no v1 hierarchy lists it, it is on v2. mountinfo
//! shows where that hierarchy is mounted. Every directory from this process's cgroup up to the highest visible one is
//! read, because each may have a limit.

mod group;
mod level;
mod location;
mod membership;
mod memory;

use hugeprobe_domain::cgroup::{CgroupVersion, HugetlbCgroup};
use hugeprobe_domain::reading::Reading;

pub use group::{Group, GroupError, parse_refusals};
pub use level::parse_limit;
use membership::{CONTROLLERS, MEMBERSHIPS};
pub use membership::{Membership, parse_controllers, parse_memberships};
pub use memory::{read_memory, read_memory_limit};

use super::mountinfo::{self, MOUNTINFO, parse_mountinfo};
use super::root::HostRoot;

const HUGETLB: &str = "hugetlb";
const STATUS: &str = "/proc/self/status";

/// Returns the hugetlb cgroup of this process.
///
/// `Absent` if no limit can apply, because the kernel has no hugetlb controller, because the controller is disabled, or
/// because no hierarchy was ever mounted.
#[must_use]
pub fn read(root: &HostRoot) -> Reading<HugetlbCgroup> {
    match root.table(MEMBERSHIPS) {
        Reading::Known(text) => match parse_memberships(&text) {
            Ok(memberships) => read_for(root, &memberships),
            Err(why) => Reading::Malformed(why),
        },
        // A kernel without cgroups has neither of these two files. If /proc is not mounted, status is missing too.
        Reading::Absent
            if root.table(CONTROLLERS) == Reading::Absent && root.table(STATUS).known().is_some() =>
        {
            Reading::Absent
        }
        Reading::Absent => Reading::Unreadable(format!("{MEMBERSHIPS} does not exist")),
        Reading::Unreadable(why) | Reading::Malformed(why) => Reading::Unreadable(why),
    }
}

fn read_for(root: &HostRoot, memberships: &[Membership<'_>]) -> Reading<HugetlbCgroup> {
    if let Some(membership) = memberships.iter().find(|membership| membership.has_controller(HUGETLB)) {
        return read_groups(root, CgroupVersion::V1, membership.path);
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
        (_, Some(membership)) => read_groups(root, CgroupVersion::V2, membership.path),
        // No hierarchy was ever mounted, so there can be no limit.
        (Some(_), None) if controllers.iter().all(|controller| controller.hierarchy == 0) => Reading::Absent,
        (_, None) => Reading::Malformed(format!("{MEMBERSHIPS} names no group for the hugetlb controller")),
    }
}

fn read_groups(root: &HostRoot, version: CgroupVersion, path: &str) -> Reading<HugetlbCgroup> {
    let text = match mountinfo::read(root) {
        Reading::Known(text) => text,
        // The cgroup is known, but its directory is not. This must not be reported as "no limit".
        Reading::Absent => return Reading::Unreadable(format!("{MOUNTINFO} does not exist")),
        Reading::Unreadable(why) | Reading::Malformed(why) => return Reading::Unreadable(why),
    };
    let table = match parse_mountinfo(&text) {
        Ok(table) => table,
        Err(why) => return Reading::Malformed(why),
    };
    let location = match location::find(root, &table, version, HUGETLB, path) {
        Ok(location) => location,
        Err(why) => return Reading::Unreadable(why),
    };
    let groups: Vec<_> =
        location.directories().map(|directory| level::read_group(root, version, directory)).collect();
    let complete = groups.last().is_some_and(|top| top.is_root);
    let levels = groups.into_iter().map(|group| group.level).collect();
    Reading::Known(HugetlbCgroup { version, path: path.to_owned(), levels, complete })
}
