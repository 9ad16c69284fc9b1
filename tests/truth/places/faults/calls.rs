//! System calls that seccomp denies, with EPERM, with ENOSYS, or by killing the process.

use hugeprobe::domain::catalogue::{
    HP407, HP501, HP502, HP503, HP504, HP505, HP601, HP602, HP603, HP604, HP605, HP606, HP607, HP610, HP611,
};
use hugeprobe::domain::check::CheckId;

use super::super::fault::{
    ANY_TESTPMD_DIR, DIR, LEGACY, MEMFD, NOT_LEGACY, QEMU, SINGLE_FILE, Spec, TESTPMD, applied,
};
use crate::context::Missing;
use crate::scene::Scene;
use crate::workload::Kind;

/// The checks that name a denied call without which hugeprobe cannot work either.
const TRIED: &[CheckId] = &[
    HP407, HP501, HP502, HP503, HP504, HP505, HP601, HP602, HP603, HP604, HP605, HP606, HP607, HP610, HP611,
];

pub(super) const SPECS: &[Spec] = &[
    applied("seccomp", "deny-memfd", deny)
        .kinds(MEMFD)
        .harmful(&["memfd_create:EPERM", "memfd_create:ENOSYS", "memfd_create:kill"])
        .causes(TRIED),
    applied("seccomp", "deny-memfd-dir", deny)
        .kinds(DIR)
        .harmless(&["memfd_create:EPERM", "memfd_create:ENOSYS"])
        .causes(&[HP407]),
    applied("seccomp", "deny-policy", deny)
        .kinds(NOT_LEGACY)
        .harmless(&[
            "get_mempolicy:ENOSYS",
            "set_mempolicy:EPERM",
            "set_mempolicy:ENOSYS",
            "mbind:EPERM",
            "mbind:ENOSYS",
            "mbind:kill",
        ])
        .harmful(&["get_mempolicy:EPERM", "get_mempolicy:kill"])
        .causes(&[HP407]),
    applied("seccomp", "deny-policy-legacy", deny).kinds(LEGACY).harmless(&[
        "get_mempolicy:EPERM",
        "get_mempolicy:ENOSYS",
        "set_mempolicy:EPERM",
        "mbind:EPERM",
    ]),
    applied("seccomp", "deny-policy-qemu", deny)
        .kinds(QEMU)
        .harmless(&["get_mempolicy:EPERM", "set_mempolicy:EPERM", "get_mempolicy:ENOSYS"])
        .harmful(&["mbind:EPERM", "mbind:ENOSYS", "madvise:EPERM", "madvise:ENOSYS"])
        .causes(&[HP407]),
    applied("seccomp", "deny-optional", deny).harmless(&[
        "mlockall:EPERM",
        "mlockall:ENOSYS",
        "userfaultfd:EPERM",
        "userfaultfd:kill",
        "move_pages:EPERM",
        "move_pages:kill",
        "shmget:EPERM",
        "shmget:kill",
        "unshare:EPERM",
        "unshare:kill",
        "setns:kill",
        "mount:EPERM",
        "mount:kill",
        "fsopen:EPERM",
        "fsopen:kill",
        "bpf:EPERM",
        "bpf:kill",
        "perf_event_open:kill",
        "keyctl:kill",
        "ptrace:kill",
        "process_vm_readv:kill",
        "pidfd_open:kill",
        "pidfd_open:ENOSYS",
        "kcmp:kill",
        "clone3:ENOSYS",
        "statx:ENOSYS",
        "rseq:ENOSYS",
        "mincore:EPERM",
        "fspick:kill",
    ]),
    // Calls that a workload makes, and does without if they are refused with an error.
    applied("seccomp", "deny-made", deny)
        .kinds(TESTPMD)
        .harmless(&[
            "mlockall:EPERM",
            "iopl:EPERM",
            "sysinfo:EPERM",
            "clock_nanosleep:EPERM",
            "io_uring_setup:kill",
        ])
        .harmful(&["mlockall:kill", "iopl:kill", "sysinfo:kill", "clock_nanosleep:kill"])
        .causes(&[HP407]),
    applied("seccomp", "deny-made-qemu", deny)
        .kinds(QEMU)
        .harmless(&[
            "ppoll:EPERM",
            "setsockopt:EPERM",
            "fchdir:EPERM",
            "seccomp:EPERM",
            "sysinfo:EPERM",
            "clock_nanosleep:EPERM",
            "io_uring_setup:EPERM",
            "mlockall:kill",
            "iopl:kill",
        ])
        .harmful(&[
            "ppoll:kill",
            "setsockopt:kill",
            "fchdir:kill",
            "seccomp:kill",
            "sysinfo:kill",
            "clock_nanosleep:kill",
            "io_uring_setup:kill",
            "getsockname:EPERM",
            "getsockname:kill",
            "getpeername:EPERM",
            "getpeername:kill",
            "socket:EPERM",
            "socket:kill",
            "connect:EPERM",
            "connect:kill",
            "eventfd2:kill",
        ])
        .causes(&[HP407]),
    // Of those whose refusal ends after half a minute without a frame, connect stands for all.
    applied("seccomp", "deny-needed", deny)
        .kinds(TESTPMD)
        .harmful(&[
            "accept:kill",
            "bind:kill",
            "bind:EPERM",
            "connect:kill",
            "epoll_create:kill",
            "epoll_create:EPERM",
            "epoll_ctl:kill",
            "epoll_ctl:EPERM",
            "eventfd2:kill",
            "listen:kill",
            "listen:EPERM",
            "recvfrom:kill",
            "recvmsg:kill",
            "sched_setaffinity:kill",
            "sched_setaffinity:EPERM",
            "sendmsg:kill",
            "socket:kill",
            "socket:EPERM",
            "timerfd_create:kill",
            "timerfd_create:EPERM",
            "connect:EPERM",
            "getdents64:EPERM",
            "readlink:EPERM",
            "epoll_ctl:ENOSYS",
            "listen:ENOSYS",
            "socket:ENOSYS",
        ])
        .causes(TRIED),
    applied("seccomp", "deny-needed-dir", deny)
        .kinds(ANY_TESTPMD_DIR)
        .harmful(&["flock:EPERM", "flock:kill", "ftruncate:EPERM", "ftruncate:kill"])
        .causes(TRIED),
    applied("seccomp", "deny-flock-memfd", deny)
        .kinds(&[Kind::TestpmdMemfd])
        .harmless(&["flock:EPERM", "flock:kill"])
        // Where another fault mounts a hugetlbfs.
        .causes(TRIED),
    applied("seccomp", "deny-mkdir", deny)
        .kinds(ANY_TESTPMD_DIR)
        .harmful(&["mkdir:EPERM", "mkdir:ENOSYS", "mkdir:kill"])
        .causes(TRIED),
    applied("seccomp", "deny-fallocate", deny)
        .kinds(SINGLE_FILE)
        .harmful(&["fallocate:EPERM", "fallocate:ENOSYS", "fallocate:kill"])
        .causes(TRIED),
];

fn deny(scene: &mut Scene, call: &str) -> Result<(), Missing> {
    scene.place.add(format!("deny={call}"));
    Ok(())
}
