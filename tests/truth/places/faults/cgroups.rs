//! Limits of hugetlb cgroups at every level, relative to what the processes in the group need.

use hugeprobe::domain::catalogue::{HP401, HP402};

use super::super::fault::{Spec, TESTPMD, TOUCHES_ALL, planned};
use super::super::plan::Level;

/// A limit at one level.
macro_rules! limit {
    ($dimension:literal, $name:literal, $level:expr, $file:literal, $cause:expr) => {
        planned($dimension, $name, |plan, relative| plan.limit($level, $file, relative))
            .harmless(&["+0", "+0", "+1"])
            .harmful(&["-1", "-1", "half", "0"])
            .causes(&[$cause])
    };
}

pub(super) const SPECS: &[Spec] = &[
    // The hugetlb controller is on a v1 hierarchy. Other limits of the place are set there too.
    planned("cgroup v1", "v1.max", |plan, relative| {
        plan.on_v1 = true;
        plan.limit(Level::Both, "max", relative);
    })
    .kinds(TOUCHES_ALL)
    .harmless(&["+0", "+1"])
    .harmful(&["-1", "0"])
    .causes(&[HP401]),
    planned("cgroup v1", "v1.rsvd.max", |plan, relative| {
        plan.on_v1 = true;
        plan.limit(Level::Both, "rsvd.max", relative);
    })
    .harmless(&["+0", "+1"])
    .harmful(&["-1", "0"])
    .causes(&[HP402]),
    limit!("limit of the group", "max", Level::Both, "max", HP401).kinds(TOUCHES_ALL),
    limit!("limit of the group", "rsvd.max", Level::Both, "rsvd.max", HP402),
    limit!("limit of a group above", "above.max", Level::Above, "max", HP401).kinds(TOUCHES_ALL),
    limit!("limit of a group above", "above.rsvd.max", Level::Above, "rsvd.max", HP402),
    limit!("limit of a group above", "top.max", Level::Top, "max", HP401).kinds(TOUCHES_ALL),
    limit!("limit of a group above", "top.rsvd.max", Level::Top, "rsvd.max", HP402),
    limit!("limit of one side", "frontend.max", Level::Frontend, "max", HP401).kinds(TOUCHES_ALL),
    limit!("limit of one side", "frontend.rsvd.max", Level::Frontend, "rsvd.max", HP402),
    limit!("limit of one side", "backend.max", Level::Backend, "max", HP401).kinds(TESTPMD),
    limit!("limit of one side", "backend.rsvd.max", Level::Backend, "rsvd.max", HP402).kinds(TESTPMD),
    // A process in a sibling group holds 8 pages below a limit that both groups share.
    planned("sibling group", "sibling-8", |plan, relative| {
        plan.more += 8;
        plan.sibling = Some(8);
        plan.limit(Level::Above, "max", relative);
    })
    .kinds(TOUCHES_ALL)
    .harmless(&["+8", "+9"])
    .harmful(&["+7", "+0"])
    .causes(&[HP401]),
];
