//! The rows: each a fault, how it is made, and the checks one of which has to fail if the workload does.
//!
//! A new fault is a function that makes it in a [`Scene`], which takes it away again, and an entry here.

mod cgroups;
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

/// A fault, or the lack of one.
#[derive(Debug)]
pub(crate) struct Row {
    /// What is wrong, in a few words.
    pub(crate) fault: &'static str,
    /// The workloads that it is shown with.
    pub(crate) kinds: &'static [Kind],
    pub(crate) sizes: &'static [PageSize],
    /// The checks that find the cause: one of them fails where the workload does.
    pub(crate) causes: &'static [CheckId],
    /// Makes it.
    pub(crate) state: State,
}

impl Row {
    /// The workloads that are run with pages of `size`: with 1Gi, where nothing but the size differs, the first.
    pub(crate) fn kinds_with(&self, size: PageSize) -> &'static [Kind] {
        if size == LARGE && !self.causes.is_empty() { &self.kinds[..1] } else { self.kinds }
    }
}

/// Makes a fault in a scene.
pub(crate) type State = fn(&mut Scene) -> Result<(), Missing>;

const BOTH_SIZES: &[PageSize] = &[SMALL, LARGE];
const ALL: &[Kind] = &[Kind::TestpmdMemfd, Kind::TestpmdDir, Kind::QemuMemfd, Kind::QemuDir];
/// Where it is all the same to QEMU whether its memory has a path.
const THREE: &[Kind] = &[Kind::TestpmdMemfd, Kind::TestpmdDir, Kind::QemuMemfd];
const MEMFD: &[Kind] = &[Kind::TestpmdMemfd, Kind::QemuMemfd];
const DIR: &[Kind] = &[Kind::TestpmdDir, Kind::QemuDir];
const TESTPMD: &[Kind] = &[Kind::TestpmdMemfd, Kind::TestpmdDir];
const TESTPMD_MEMFD: &[Kind] = &[Kind::TestpmdMemfd];
const TESTPMD_DIR: &[Kind] = &[Kind::TestpmdDir];
const QEMU: &[Kind] = &[Kind::QemuMemfd, Kind::QemuDir];
const QEMU_LAZY: &[Kind] = &[Kind::QemuLazy];

/// Every row.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [healthy::ROWS, pools::ROWS, cgroups::ROWS, mounts::ROWS, limits::ROWS, ovs::ROWS].into_iter().flatten()
}

/// With pages of either size.
const fn row(fault: &'static str, kinds: &'static [Kind], causes: &'static [CheckId], state: State) -> Row {
    Row { fault, kinds, sizes: BOTH_SIZES, causes, state }
}

/// As it should be: the pages that are needed and no more, and a mount for whoever wants one.
fn healthy(scene: &mut Scene) -> Result<(), Missing> {
    scene.pool(scene.need())?;
    if scene.directory().is_some() {
        scene.mount("");
    }
    Ok(())
}

/// The size that the row is not about.
pub(crate) fn other(size: PageSize) -> PageSize {
    if size == SMALL { LARGE } else { SMALL }
}
