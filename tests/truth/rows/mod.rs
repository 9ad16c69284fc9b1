//! The rows. Each has a fault, the function that makes it, and the checks of which one must fail if the workload does.
//!
//! To add a fault, write a function that makes it in a [`Scene`], which undoes it, and add an entry here.

mod cgroups;
mod dpdk_test;
mod found;
mod healthy;
mod limits;
mod mounts;
mod ovs;
pub(crate) mod pools;

use hugeprobe::domain::check::CheckId;
use hugeprobe::domain::size::PageSize;

use crate::context::{LARGE, Missing, SMALL};
use crate::scene::Scene;
use crate::workload::Kind;

/// A fault, or the absence of one.
#[derive(Debug)]
pub(crate) struct Row {
    /// The fault, in a few words.
    pub(crate) fault: &'static str,
    /// The workloads with which it is tested.
    pub(crate) kinds: &'static [Kind],
    pub(crate) sizes: &'static [PageSize],
    /// The checks that find the cause. One of them must fail if the workload does.
    pub(crate) causes: &'static [CheckId],
    /// Makes the fault.
    pub(crate) state: State,
}

impl Row {
    /// Returns the workloads that are run with pages of `size`. With 1Gi, only the first one is, because nothing but
    /// the size differs.
    pub(crate) fn kinds_with(&self, size: PageSize) -> &'static [Kind] {
        if size == LARGE && !self.causes.is_empty() { &self.kinds[..1] } else { self.kinds }
    }
}

/// A function that makes a fault in a scene.
pub(crate) type State = fn(&mut Scene) -> Result<(), Missing>;

const BOTH_SIZES: &[PageSize] = &[SMALL, LARGE];
const ALL: &[Kind] = &[Kind::TestpmdMemfd, Kind::TestpmdDir, Kind::QemuMemfd, Kind::QemuDir];
/// The workloads of faults for which it makes no difference to QEMU whether its memory has a path.
const THREE: &[Kind] = &[Kind::TestpmdMemfd, Kind::TestpmdDir, Kind::QemuMemfd];
const MEMFD: &[Kind] = &[Kind::TestpmdMemfd, Kind::QemuMemfd];
const DIR: &[Kind] = &[Kind::TestpmdDir, Kind::QemuDir];
const TESTPMD: &[Kind] = &[Kind::TestpmdMemfd, Kind::TestpmdDir];
const TESTPMD_MEMFD: &[Kind] = &[Kind::TestpmdMemfd];
const TESTPMD_DIR: &[Kind] = &[Kind::TestpmdDir];
const QEMU: &[Kind] = &[Kind::QemuMemfd, Kind::QemuDir];
const QEMU_LAZY: &[Kind] = &[Kind::QemuLazy];

/// Returns every row.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [
        healthy::ROWS,
        pools::ROWS,
        cgroups::ROWS,
        mounts::ROWS,
        limits::ROWS,
        ovs::ROWS,
        dpdk_test::ROWS,
        found::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// Returns a row for both page sizes.
const fn row(fault: &'static str, kinds: &'static [Kind], causes: &'static [CheckId], state: State) -> Row {
    Row { fault, kinds, sizes: BOTH_SIZES, causes, state }
}

/// Makes a healthy scene: exactly the pages that are needed, and a mount if the workload uses one.
fn healthy(scene: &mut Scene) -> Result<(), Missing> {
    scene.pool(scene.need())?;
    if scene.directory().is_some() {
        scene.mount("");
    }
    Ok(())
}

/// Returns the other page size.
pub(crate) fn other(size: PageSize) -> PageSize {
    if size == SMALL { LARGE } else { SMALL }
}
