//! Faults that random places or the traces of the workloads showed, in the words of `places`: with pages of 2Mi only.

use hugeprobe::domain::catalogue::{HP101, HP307, HP404, HP405, HP407, HP409, HP410, HP412, HP414};
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
    row("the stacks of threads are 64 MiB, the memory limit is 512 MiB", TESTPMD_MEMFD, &[HP410], |scene| {
        placed(scene, "stack=67108864 memory=536870912")
    }),
    row("the stacks of threads are 64 MiB, RLIMIT_DATA is 256 MiB", TESTPMD_MEMFD, &[HP405], |scene| {
        placed(scene, "stack=67108864 data-memfd=268435456")
    }),
    row("RLIMIT_DATA is 55 MiB", TESTPMD_DIR, &[HP405], |scene| placed(scene, "data-dir=57671680")),
    row("the memory limit is 24 MiB and hidden", TESTPMD_MEMFD, &[HP410], |scene| {
        placed(scene, "memory=25165824 hidden=/sys/fs/cgroup")
    }),
    row("the memory limit is 200 MiB and hidden", TESTPMD_MEMFD, &[], |scene| {
        placed(scene, "memory=209715200 hidden=/sys/fs/cgroup")
    }),
    row("the memory limit is 128 MiB", TESTPMD, &[], |scene| placed(scene, "memory=134217728")),
    row("the memory limit is 16 MiB", QEMU_MEMFD, &[HP410], |scene| placed(scene, "memory-qemu=16777216")),
    row("the memory limit is 32 MiB", QEMU_MEMFD, &[], |scene| placed(scene, "memory-qemu=33554432")),
    row("/proc/meminfo is masked", TESTPMD, &[HP101], |scene| placed(scene, "masked-meminfo=/proc/meminfo")),
    row("/proc has subset=pid", TESTPMD_MEMFD, &[HP101], |scene| placed(scene, "proc-dpdk=subset=pid")),
    row("no CPU in /sys", TESTPMD_MEMFD, &[HP414], |scene| {
        placed(scene, "hidden-cpus=/sys/devices/system/cpu")
    }),
    row("/sys is hidden", QEMU_MEMFD, &[], |scene| placed(scene, "hidden-from-qemu=/sys")),
    row("/sys/kernel/mm/hugepages is hidden", TESTPMD, &[HP101], |scene| {
        placed(scene, "hidden-from-dpdk=/sys/kernel/mm/hugepages")
    }),
    row("no CPU in /sys", QEMU_MEMFD, &[], |scene| placed(scene, "hidden-cpus-qemu=/sys/devices/system/cpu")),
    row("/run is full", TESTPMD_DIR, &[HP307], |scene| placed(scene, "full-run=/run")),
    row("/run is full", TESTPMD_MEMFD, &[], |scene| placed(scene, "full-run-memory=/run")),
    row("the path of the runtime directory is too long for a socket", TESTPMD, &[HP307], |scene| {
        placed(scene, "long-run=100")
    }),
    row("the umask is 0177, and the user is root", TESTPMD, &[], |scene| placed(scene, "umask=0177")),
    row("the umask is 0177, and the user has no rights", TESTPMD_MEMFD, &[HP307], |scene| {
        placed(scene, "umask=0177 user=no-rights")
    }),
    row("every signal is blocked", TESTPMD_MEMFD, &[], |scene| placed(scene, "by=env+--block-signal")),
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
