//! Faults of the hugetlbfs that the workload is configured to use, and of one that it only finds.

use hugeprobe::domain::catalogue::{HP301, HP302, HP303, HP304, HP306, HP307, HP407, HP509};

use super::healthy::nobody;
use super::{DIR, Row, SMALL, State, TESTPMD_MEMFD, healthy, other, row};
use crate::context::Missing;
use crate::places::placed;
use crate::scene::Scene;
use crate::workload::Kind;
use hugeprobe::domain::check::CheckId;

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
    Row {
        fault: "/run is read-only",
        kinds: &[Kind::TestpmdMemfd, Kind::TestpmdDir, Kind::Ovs],
        sizes: &[SMALL],
        causes: &[HP307],
        state: |scene| {
            scene.place.add("readonly=/run".to_owned());
            healthy(scene)
        },
    },
    Row {
        fault: "writable by the user and not readable",
        kinds: DIR,
        sizes: &[SMALL],
        causes: &[HP302],
        state: |scene| {
            nobody(scene);
            mounted(scene, "mode=0333")
        },
    },
    found("a hugetlbfs that the user may read, and that nothing uses", &[], |scene| {
        nobody(scene);
        mounted(scene, "")
    }),
    found("a hugetlbfs that the user may not read, and that nothing uses", &[HP306], |scene| {
        nobody(scene);
        mounted(scene, "mode=0711")
    }),
    found("one of the other size that the user may not read", &[HP306], |scene| {
        nobody(scene);
        scene.pool(scene.need())?;
        scene.mount_of(other(scene.size), "mode=0700");
        Ok(())
    }),
    found("a hugetlbfs that a tmpfs above it hides, and that nothing uses", &[HP306], |scene| {
        mounted_below(scene, "a")?;
        scene.sh("mount -t tmpfs none \"$(dirname \"$DIR\")\"");
        scene.at_last(&format!("umount '{}'", scene.huge.parent().unwrap().display()));
        Ok(())
    }),
    found("a hugetlbfs with a space in its path, that nothing uses", &[HP306], |scene| {
        mounted_below(scene, "of a workload")
    }),
    Row {
        fault: "seccomp forbids flock, and a hugetlbfs is mounted that nothing uses",
        kinds: TESTPMD_MEMFD,
        sizes: &[SMALL],
        causes: &[HP407],
        state: |scene| {
            mounted(scene, "")?;
            placed(scene, "deny-flock-memfd=flock:EPERM")
        },
    },
];

/// Returns a row about a hugetlbfs that the workload finds in /proc/mounts and has no need of.
const fn found(fault: &'static str, causes: &'static [CheckId], state: State) -> Row {
    Row { fault, kinds: &[Kind::TestpmdMemfd, Kind::QemuMemfd], sizes: &[SMALL], causes, state }
}

/// Makes a healthy scene with a hugetlbfs at this path below the directory of the row.
fn mounted_below(scene: &mut Scene, path: &str) -> Result<(), Missing> {
    scene.huge = scene.huge.join(path);
    std::fs::create_dir(&scene.huge).unwrap();
    mounted(scene, "")
}

/// Makes a healthy scene, with these options of the mount.
fn mounted(scene: &mut Scene, options: &str) -> Result<(), Missing> {
    scene.pool(scene.need())?;
    scene.mount(options);
    Ok(())
}
