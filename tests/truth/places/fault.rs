//! A fault: a name, a value, and its effect on a scene.
//!
//! A place is written as the names and values of its faults: `pool=-1 nofile=24`. Most values are numbers of pages
//! relative to what the workload needs; [`pages`] parses them.

use std::fmt;

use hugeprobe::domain::check::CheckId;

use super::facts::Need;
use super::plan::Plan;
use crate::context::Missing;
use crate::scene::Scene;
use crate::workload::Kind;

/// All faults with one name.
pub(crate) struct Spec {
    /// The dimension of places to which it belongs.
    pub(crate) dimension: &'static str,
    pub(crate) name: &'static str,
    /// The workloads for which it is drawn.
    pub(crate) kinds: &'static [Kind],
    /// What the machine must have; elsewhere the fault is not drawn.
    pub(crate) needs: &'static [Need],
    /// Values with which the workload should work, if the place has no other fault.
    pub(crate) harmless: &'static [&'static str],
    /// Values with which the workload should fail.
    pub(crate) harmful: &'static [&'static str],
    /// The checks that may name the fault.
    pub(crate) causes: &'static [CheckId],
    /// Changes the planned pool, mount and cgroups.
    pub(crate) plan: fn(&mut Plan, &str),
    /// Changes the scene, once pool, mount and cgroups have been made.
    pub(crate) apply: fn(&mut Scene, &str) -> Result<(), Missing>,
}

/// A fault of a place.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) spec: &'static Spec,
    pub(crate) value: &'static str,
}

pub(super) const TESTPMD_MEMFD: &[Kind] = &[Kind::TestpmdMemfd];
pub(super) const TESTPMD_DIR: &[Kind] = &[Kind::TestpmdDir];
pub(super) const FEW_FILES: &[Kind] = &[Kind::TestpmdMemfd, Kind::TestpmdDir, Kind::QemuMemfd, Kind::QemuDir];
pub(super) const FILE_PER_PAGE: &[Kind] =
    &[Kind::TestpmdMemfdPages, Kind::TestpmdDirPages, Kind::TestpmdLegacy];
pub(super) const TESTPMD_PAGES: &[Kind] = &[Kind::TestpmdMemfdPages];
pub(super) const TESTPMD_DIR_PAGES: &[Kind] = &[Kind::TestpmdDirPages, Kind::TestpmdLegacy];
/// The testpmd pairs whose memory is a memfd, or on a hugetlbfs.
pub(super) const ANY_TESTPMD_MEMFD: &[Kind] = &[Kind::TestpmdMemfd, Kind::TestpmdMemfdPages];
pub(super) const ANY_TESTPMD_DIR: &[Kind] = &[Kind::TestpmdDir, Kind::TestpmdDirPages, Kind::TestpmdLegacy];
pub(super) const TESTPMD: &[Kind] = &[
    Kind::TestpmdMemfd,
    Kind::TestpmdDir,
    Kind::TestpmdMemfdPages,
    Kind::TestpmdDirPages,
    Kind::TestpmdLegacy,
];
pub(super) const LEGACY: &[Kind] = &[Kind::TestpmdLegacy];
pub(super) const NOT_LEGACY: &[Kind] =
    &[Kind::TestpmdMemfd, Kind::TestpmdDir, Kind::TestpmdMemfdPages, Kind::TestpmdDirPages];
pub(super) const SINGLE_FILE: &[Kind] = &[Kind::TestpmdMemfd, Kind::TestpmdDir];
pub(super) const OVS: &[Kind] = &[Kind::Ovs];
pub(super) const QEMU: &[Kind] = &[Kind::QemuMemfd, Kind::QemuDir];
pub(super) const MEMFD: &[Kind] =
    &[Kind::TestpmdMemfd, Kind::TestpmdMemfdPages, Kind::QemuMemfd, Kind::QemuLazy];
pub(super) const DIR: &[Kind] =
    &[Kind::TestpmdDir, Kind::TestpmdDirPages, Kind::TestpmdLegacy, Kind::QemuDir];
pub(super) const ALL: &[Kind] = &[
    Kind::TestpmdMemfd,
    Kind::TestpmdDir,
    Kind::TestpmdMemfdPages,
    Kind::TestpmdDirPages,
    Kind::TestpmdLegacy,
    Kind::QemuMemfd,
    Kind::QemuDir,
    Kind::Ovs,
    Kind::QemuLazy,
];
/// The workloads that touch all their pages at start. iPXE, the guest of the other one, touches a few.
pub(super) const TOUCHES_ALL: &[Kind] = &[
    Kind::TestpmdMemfd,
    Kind::TestpmdDir,
    Kind::TestpmdMemfdPages,
    Kind::TestpmdDirPages,
    Kind::TestpmdLegacy,
    Kind::QemuMemfd,
    Kind::QemuDir,
    Kind::Ovs,
];

/// Returns a fault that changes what the scene is made of: `plan` states the change.
pub(super) const fn planned(dimension: &'static str, name: &'static str, plan: fn(&mut Plan, &str)) -> Spec {
    Spec { plan, ..applied(dimension, name, |_, _| Ok(())) }
}

/// Returns a fault that is applied to a scene made as usual.
pub(super) const fn applied(
    dimension: &'static str,
    name: &'static str,
    apply: fn(&mut Scene, &str) -> Result<(), Missing>,
) -> Spec {
    Spec {
        dimension,
        name,
        kinds: ALL,
        needs: &[],
        harmless: &[],
        harmful: &[],
        causes: &[],
        plan: |_, _| (),
        apply,
    }
}

/// Parses a number of pages: `+1` and `-1` are relative to `need`, `half` is half of it, and any other number is
/// absolute.
pub(super) fn pages(need: u64, text: &str) -> u64 {
    if text == "half" {
        return need / 2;
    }
    let number = text.trim_start_matches(['+', '-']).parse().unwrap();
    match text.as_bytes()[0] {
        b'+' => need + number,
        b'-' => need.saturating_sub(number),
        _ => number,
    }
}

// === impl Spec ===

impl Spec {
    pub(super) const fn kinds(self, kinds: &'static [Kind]) -> Self {
        Self { kinds, ..self }
    }

    pub(super) const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    pub(super) const fn harmless(self, harmless: &'static [&'static str]) -> Self {
        Self { harmless, ..self }
    }

    pub(super) const fn harmful(self, harmful: &'static [&'static str]) -> Self {
        Self { harmful, ..self }
    }

    pub(super) const fn causes(self, causes: &'static [CheckId]) -> Self {
        Self { causes, ..self }
    }

    pub(super) const fn apply(self, apply: fn(&mut Scene, &str) -> Result<(), Missing>) -> Self {
        Self { apply, ..self }
    }
}

// === impl Fault ===

impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name && self.value == other.value
    }
}

impl Eq for Fault {}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.spec.name, self.value)
    }
}
