//! Limits of the process, and system calls that seccomp denies.

use hugeprobe::domain::catalogue::{HP404, HP405, HP406, HP407};

use super::{DIR, MEMFD, QEMU, Row, TESTPMD, TESTPMD_DIR, TESTPMD_MEMFD, THREE, healthy, row};
use crate::context::{Missing, SMALL};
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[
    row("RLIMIT_NOFILE is 24", TESTPMD_MEMFD, &[HP404], |scene| at(scene, &["nofile=24"])),
    row("RLIMIT_NOFILE is 25", TESTPMD_MEMFD, &[], |scene| at(scene, &["nofile=25"])),
    row("RLIMIT_NOFILE is 27, with three descriptors inherited", TESTPMD_MEMFD, &[HP404], |scene| {
        at(scene, &["nofile=27", "inherited=3"])
    }),
    row("RLIMIT_NOFILE is 28, with three descriptors inherited", TESTPMD_MEMFD, &[], |scene| {
        at(scene, &["nofile=28", "inherited=3"])
    }),
    row("RLIMIT_NOFILE is one less than --huge-dir takes", TESTPMD_DIR, &[HP404], |scene| {
        let limit = if scene.size == SMALL { "nofile=31" } else { "nofile=29" };
        at(scene, &[limit])
    }),
    row("RLIMIT_NOFILE is what --huge-dir takes", TESTPMD_DIR, &[], |scene| {
        let limit = if scene.size == SMALL { "nofile=32" } else { "nofile=30" };
        at(scene, &[limit])
    }),
    row("RLIMIT_NOFILE is 12, and may be raised to 64", TESTPMD, &[], |scene| at(scene, &["nofile=12:64"])),
    row("RLIMIT_NOFILE is 17, and may be raised to 64", QEMU, &[HP404], |scene| at(scene, &["nofile=17:64"])),
    row("RLIMIT_NOFILE is 18, and may be raised to 64", QEMU, &[], |scene| at(scene, &["nofile=18:64"])),
    row("RLIMIT_AS is 1 GiB", THREE, &[HP405], |scene| at(scene, &["as=1073741824"])),
    row("RLIMIT_AS is 1 TiB", THREE, &[], |scene| at(scene, &["as=1099511627776"])),
    row("RLIMIT_FSIZE is 1 MiB", THREE, &[HP406], |scene| at(scene, &["fsize=1048576"])),
    row("RLIMIT_FSIZE is 8 GiB", THREE, &[], |scene| at(scene, &["fsize=8589934592"])),
    row("RLIMIT_MEMLOCK is 0, without CAP_IPC_LOCK: mlockall fails", THREE, &[], |scene| {
        at(scene, &["memlock=0", "without=ipc_lock"])
    }),
    row("seccomp forbids get_mempolicy (EPERM)", THREE, &[HP407], |scene| {
        at(scene, &["deny=get_mempolicy:EPERM"])
    }),
    row("seccomp knows no get_mempolicy (ENOSYS)", TESTPMD, &[HP407], |scene| {
        at(scene, &["deny=get_mempolicy:ENOSYS"])
    }),
    row("seccomp forbids set_mempolicy", TESTPMD, &[HP407], |scene| at(scene, &["deny=set_mempolicy:EPERM"])),
    row("seccomp forbids mbind", THREE, &[HP407], |scene| at(scene, &["deny=mbind:EPERM"])),
    row("seccomp forbids madvise", THREE, &[HP407], |scene| at(scene, &["deny=madvise:EPERM"])),
    row("seccomp forbids mlockall", TESTPMD, &[HP407], |scene| at(scene, &["deny=mlockall:EPERM"])),
    row("seccomp forbids memfd_create", MEMFD, &[HP407], |scene| at(scene, &["deny=memfd_create:EPERM"])),
    row("seccomp forbids memfd_create, which a mount does not need", DIR, &[HP407], |scene| {
        at(scene, &["deny=memfd_create:EPERM"])
    }),
];

/// Makes a healthy scene, in a place with these limits.
fn at(scene: &mut Scene, words: &[&str]) -> Result<(), Missing> {
    for word in words {
        scene.place.add(*word);
    }
    healthy(scene)
}
