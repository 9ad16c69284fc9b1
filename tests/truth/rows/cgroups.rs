//! Limits of hugetlb cgroups: on faults, on reservations, on a parent group, and on one side only.

use hugeprobe::domain::catalogue::{HP401, HP402, HP509};

use super::{ALL, QEMU_LAZY, Row, TESTPMD, TESTPMD_MEMFD, THREE, healthy, row};
use crate::context::{Missing, SMALL};
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[
    row("the fault limit is one page below the need", THREE, &[HP401], |scene| {
        limited(scene, "max", scene.need() - 1)
    }),
    row("the fault limit is the need", THREE, &[], |scene| limited(scene, "max", scene.need())),
    row("the reservation limit is one page below the need", THREE, &[HP402], |scene| {
        limited(scene, "rsvd.max", scene.need() - 1)
    }),
    row("the reservation limit is the need", THREE, &[], |scene| limited(scene, "rsvd.max", scene.need())),
    row("the fault limit of a group above is one page below the need", THREE, &[HP401], |scene| {
        above(scene, "max")
    }),
    row("the reservation limit of a group above is one page below the need", THREE, &[HP402], |scene| {
        above(scene, "rsvd.max")
    }),
    row(
        "the fault limit is enough for the frontend, not for the backend",
        TESTPMD,
        &[HP401, HP509],
        |scene| sides(scene, "max", [0, 1]),
    ),
    row("the fault limit is enough for the backend, not for the frontend", THREE, &[HP401, HP509], |scene| {
        sides(scene, "max", [1, 0])
    }),
    row(
        "the reservation limit is enough for the frontend, not for the backend",
        TESTPMD,
        &[HP402, HP509],
        |scene| sides(scene, "rsvd.max", [0, 1]),
    ),
    row("each side has a group whose fault limit is its own need", ALL, &[], |scene| {
        sides(scene, "max", [0, 0])
    }),
    row("each side has a group whose reservation limit is its own need", ALL, &[], |scene| {
        sides(scene, "rsvd.max", [0, 0])
    }),
    Row {
        fault: "the fault limit is one page, of a guest that takes pages as it touches them",
        kinds: QEMU_LAZY,
        sizes: &[SMALL],
        causes: &[HP401, HP509],
        state: |scene| limited(scene, "max", 1),
    },
    row("the limits of the cgroup cannot be seen", TESTPMD_MEMFD, &[], |scene| {
        limited(scene, "max", scene.need())?;
        // The place joins the group by its path before that path is hidden.
        scene.place.add("hide=/sys/fs/cgroup");
        Ok(())
    }),
];

/// Puts both sides into one group that may use `pages` pages.
pub(super) fn limited(scene: &mut Scene, what: &str, pages: u64) -> Result<(), Missing> {
    healthy(scene)?;
    let group = scene.cgroup("both")?;
    group.set(&scene.limit_file(what), scene.bytes(pages));
    scene.place.enter(group.path());
    scene.keep(group);
    Ok(())
}

/// Does the same with the limit on a parent of their group.
fn above(scene: &mut Scene, what: &str) -> Result<(), Missing> {
    healthy(scene)?;
    let group = scene.cgroup("above")?;
    let child = group.child("both");
    group.set(&scene.limit_file(what), scene.bytes(scene.need() - 1));
    scene.place.enter(child.path());
    scene.keep(group);
    scene.keep(child);
    Ok(())
}

/// Puts each side into a separate group, whose limit is the given number of pages below what the side takes: frontend,
/// backend.
fn sides(scene: &mut Scene, what: &str, lacks: [u64; 2]) -> Result<(), Missing> {
    healthy(scene)?;
    let own = scene.of_sides();
    for (name, (own, lacks)) in ["frontend", "backend"].into_iter().zip(own.into_iter().zip(lacks)) {
        let group = scene.cgroup(name)?;
        group.set(&scene.limit_file(what), scene.bytes(own - lacks));
        let side = if name == "frontend" { &mut scene.frontend } else { &mut scene.backend };
        side.place.enter(group.path());
        side.cgroup = Some(group.path().to_owned());
        scene.keep(group);
    }
    Ok(())
}
