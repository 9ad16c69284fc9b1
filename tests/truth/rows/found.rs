//! Faults that random places or the traces of the workloads showed, in the words of `places`: with pages of 2Mi only.

use hugeprobe::domain::catalogue::{HP101, HP404, HP407, HP409, HP410, HP412};
use hugeprobe::domain::check::CheckId;

use super::{Row, State, TESTPMD, TESTPMD_DIR, TESTPMD_MEMFD};
use crate::context::SMALL;
use crate::places::placed;
use crate::workload::Kind;

const FILE_PER_PAGE: &[Kind] = &[Kind::TestpmdMemfdPages, Kind::TestpmdDirPages, Kind::TestpmdLegacy];
const MEMFD_PAGES: &[Kind] = &[Kind::TestpmdMemfdPages];
const QEMU_MEMFD: &[Kind] = &[Kind::QemuMemfd];

pub(super) const ROWS: &[Row] = &[
    row("none, with a file for each page", FILE_PER_PAGE, &[], |scene| placed(scene, "")),
    row("the frontend has 16 files, a memory table takes 8", FILE_PER_PAGE, &[HP412], |scene| {
        placed(scene, "times-pages=2")
    }),
    row("RLIMIT_NOFILE is one less than a file for each page takes", MEMFD_PAGES, &[HP404], |scene| {
        placed(scene, "nofile-pages=38")
    }),
    row("RLIMIT_NOFILE is what a file for each page takes", MEMFD_PAGES, &[], |scene| {
        placed(scene, "nofile-pages=39")
    }),
    row("RLIMIT_NOFILE is 10, and may be raised to 64", TESTPMD_MEMFD, &[], |scene| {
        placed(scene, "nofile=10:64")
    }),
    row("RLIMIT_NOFILE is 9, and may be raised to 64", TESTPMD_MEMFD, &[HP404], |scene| {
        placed(scene, "nofile=9:64")
    }),
    row("pids.max is one less than the threads of both sides", TESTPMD_MEMFD, &[HP409], |scene| {
        placed(scene, "pids=9")
    }),
    row("pids.max is the threads of both sides", TESTPMD_MEMFD, &[], |scene| placed(scene, "pids=10")),
    row("pids.max is one less than the threads of both sides", TESTPMD_DIR, &[HP409], |scene| {
        placed(scene, "pids-dir=11")
    }),
    row("pids.max is the threads of both sides", TESTPMD_DIR, &[], |scene| placed(scene, "pids-dir=12")),
    row("the memory limit is 24 MiB", TESTPMD, &[HP410], |scene| placed(scene, "memory=25165824")),
    row("the memory limit is 128 MiB", TESTPMD, &[], |scene| placed(scene, "memory=134217728")),
    row("the memory limit is 16 MiB", QEMU_MEMFD, &[HP410], |scene| placed(scene, "memory-qemu=16777216")),
    row("the memory limit is 32 MiB", QEMU_MEMFD, &[], |scene| placed(scene, "memory-qemu=33554432")),
    row("/proc/meminfo is masked", TESTPMD, &[HP101], |scene| placed(scene, "masked-meminfo=/proc/meminfo")),
    row("seccomp kills for accept", TESTPMD, &[HP407], |scene| placed(scene, "deny-needed=accept:kill")),
    row("seccomp forbids epoll_ctl", TESTPMD, &[HP407], |scene| placed(scene, "deny-needed=epoll_ctl:EPERM")),
    row("seccomp forbids listen", TESTPMD, &[HP407], |scene| placed(scene, "deny-needed=listen:EPERM")),
    row("seccomp forbids timerfd_create", TESTPMD, &[HP407], |scene| {
        placed(scene, "deny-needed=timerfd_create:EPERM")
    }),
    row("seccomp forbids sched_setaffinity", TESTPMD, &[HP407], |scene| {
        placed(scene, "deny-needed=sched_setaffinity:EPERM")
    }),
    row("seccomp forbids fallocate", TESTPMD, &[HP407], |scene| {
        placed(scene, "deny-fallocate=fallocate:EPERM")
    }),
    row("seccomp forbids flock", TESTPMD_DIR, &[HP407], |scene| placed(scene, "deny-needed-dir=flock:EPERM")),
    row("seccomp forbids flock, and no hugetlbfs is mounted", TESTPMD_MEMFD, &[], |scene| {
        placed(scene, "deny-flock-memfd=flock:EPERM")
    }),
    row("seccomp kills for shmget, which vhost-user does not need", TESTPMD, &[], |scene| {
        placed(scene, "deny-optional=shmget:kill")
    }),
];

/// Returns a row for pages of 2Mi.
const fn row(fault: &'static str, kinds: &'static [Kind], causes: &'static [CheckId], state: State) -> Row {
    Row { fault, kinds, sizes: &[SMALL], causes, state }
}
