//! No fault: as root, as a user without rights, and without capabilities.

use super::{ALL, DIR, MEMFD, QEMU_LAZY, Row, healthy, row};
use crate::place::NOBODY;
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[
    row("none", ALL, &[], healthy),
    row("none", QEMU_LAZY, &[], healthy),
    row("none, as a user without rights", MEMFD, &[], |scene| {
        nobody(scene);
        healthy(scene)
    }),
    row("none, as the user whom the mount belongs to", DIR, &[], |scene| {
        nobody(scene);
        scene.pool(scene.need())?;
        scene.mount(&format!("uid={NOBODY},gid={NOBODY}"));
        Ok(())
    }),
    row("none, as root without capabilities", ALL, &[], |scene| {
        scene.place.add("without=all");
        healthy(scene)
    }),
];

/// Makes both sides and hugeprobe run as the user `nobody`.
pub(super) fn nobody(scene: &mut Scene) {
    scene.place.add(format!("uid={NOBODY}"));
}
