//! Faults of the hugetlbfs that the workload is configured to use.

use hugeprobe::domain::catalogue::{HP301, HP302, HP303, HP304, HP509};

use super::healthy::nobody;
use super::{DIR, Row, healthy, other, row};
use crate::context::Missing;
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[
    row("size= is one page too small", DIR, &[HP303], |scene| {
        mounted(scene, &format!("size={}", scene.bytes(scene.need() - 1)))
    }),
    row("size= is the need", DIR, &[], |scene| {
        mounted(scene, &format!("size={}", scene.bytes(scene.need())))
    }),
    row("nr_inodes= is used up", DIR, &[HP304], |scene| {
        mounted(scene, "nr_inodes=2")?;
        scene.sh("touch $DIR/last");
        Ok(())
    }),
    // The root directory uses the other inode. QEMU creates one file and works; each testpmd creates one.
    row("nr_inodes= leaves one inode", DIR, &[HP304], |scene| mounted(scene, "nr_inodes=2")),
    row("a hugetlbfs of the other page size", DIR, &[HP301], |scene| {
        scene.pool(scene.need())?;
        scene.mount_of(other(scene.size), "");
        Ok(())
    }),
    row("nothing is mounted there", DIR, &[HP301], |scene| scene.pool(scene.need())),
    row("there is no such directory", DIR, &[HP301], |scene| {
        std::fs::remove_dir(&scene.huge).unwrap();
        scene.pool(scene.need())
    }),
    row("a tmpfs is mounted there", DIR, &[HP301], |scene| {
        scene.pool(scene.need())?;
        scene.mount_as("mount -t tmpfs none");
        Ok(())
    }),
    row("mounted read-only", DIR, &[HP302], |scene| mounted(scene, "ro")),
    row("a second hugetlbfs of that size on top", DIR, &[], |scene| {
        mounted(scene, "")?;
        scene.mount("");
        Ok(())
    }),
    row("a hugetlbfs of the other size on top", DIR, &[HP301], |scene| {
        mounted(scene, "")?;
        scene.mount_of(other(scene.size), "");
        Ok(())
    }),
    row("a tmpfs on top", DIR, &[HP301], |scene| {
        mounted(scene, "")?;
        scene.mount_as("mount -t tmpfs none");
        Ok(())
    }),
    row("a tmpfs below", DIR, &[], |scene| {
        scene.mount_as("mount -t tmpfs none");
        healthy(scene)
    }),
    row("not writable by the user", DIR, &[HP302], |scene| {
        nobody(scene);
        healthy(scene)
    }),
    row("a path with a space in it", DIR, &[HP301, HP509], |scene| {
        scene.huge = scene.huge.join("of a workload");
        std::fs::create_dir(&scene.huge).unwrap();
        healthy(scene)
    }),
];

/// Makes a healthy scene, with these options of the mount.
fn mounted(scene: &mut Scene, options: &str) -> Result<(), Missing> {
    scene.pool(scene.need())?;
    scene.mount(options);
    Ok(())
}
