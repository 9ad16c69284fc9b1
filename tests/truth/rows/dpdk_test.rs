//! DPDK's own tests of its memory and rings, healthy and with one fault of each group.

use hugeprobe::domain::catalogue::{HP101, HP102, HP303, HP401, HP402, HP406, HP407, HP509};
use hugeprobe::domain::check::CheckId;

use super::cgroups::limited;
use super::pools::with_pages;
use super::{Row, SMALL, State, healthy};
use crate::context::child::How;
use crate::workload::Kind;

pub(super) const ROWS: &[Row] = &[
    dpdk_test("none", BOTH, &[], healthy),
    dpdk_test("the pool is empty", BOTH, &[HP101, HP102, HP509], |scene| with_pages(scene, 0)),
    dpdk_test("the pool is one page too small", BOTH, &[HP509], |scene| with_pages(scene, scene.need() - 1)),
    dpdk_test("another process has reserved one of the pages", BOTH, &[HP509], |scene| {
        healthy(scene)?;
        scene.hold(1, How::Reserved);
        Ok(())
    }),
    dpdk_test("the fault limit is one page below the need", BOTH, &[HP401], |scene| {
        limited(scene, "max", scene.need() - 1)
    }),
    dpdk_test("the fault limit is the need", BOTH, &[], |scene| limited(scene, "max", scene.need())),
    dpdk_test("the reservation limit is one page below the need", BOTH, &[HP402], |scene| {
        limited(scene, "rsvd.max", scene.need() - 1)
    }),
    dpdk_test("size= is one page too small", DIR, &[HP303], |scene| {
        scene.pool(scene.need())?;
        scene.mount(&format!("size={}", scene.bytes(scene.need() - 1)));
        Ok(())
    }),
    dpdk_test("RLIMIT_FSIZE is 1 MiB", BOTH, &[HP406], |scene| {
        scene.place.add("fsize=1048576");
        healthy(scene)
    }),
    dpdk_test("seccomp forbids get_mempolicy (EPERM)", BOTH, &[HP407], |scene| {
        scene.place.add("deny=get_mempolicy:EPERM");
        healthy(scene)
    }),
];

const BOTH: &[Kind] = &[Kind::DpdkTest, Kind::DpdkTestDir];
const DIR: &[Kind] = &[Kind::DpdkTestDir];

/// Returns a row for pages of 2Mi.
const fn dpdk_test(
    fault: &'static str,
    kinds: &'static [Kind],
    causes: &'static [CheckId],
    state: State,
) -> Row {
    Row { fault, kinds, sizes: &[SMALL], causes, state }
}
