//! The numbers of the system calls that a place may deny.

use nix::libc;

const NUMBERS: &[(&str, i64)] = &[
    ("bpf", libc::SYS_bpf),
    ("clone3", libc::SYS_clone3),
    ("eventfd2", libc::SYS_eventfd2),
    ("fallocate", libc::SYS_fallocate),
    ("flock", libc::SYS_flock),
    ("fsopen", libc::SYS_fsopen),
    ("fspick", libc::SYS_fspick),
    ("ftruncate", libc::SYS_ftruncate),
    ("get_mempolicy", libc::SYS_get_mempolicy),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("kcmp", libc::SYS_kcmp),
    ("keyctl", libc::SYS_keyctl),
    ("listen", libc::SYS_listen),
    ("madvise", libc::SYS_madvise),
    ("mbind", libc::SYS_mbind),
    ("memfd_create", libc::SYS_memfd_create),
    ("mincore", libc::SYS_mincore),
    ("mlockall", libc::SYS_mlockall),
    ("mount", libc::SYS_mount),
    ("move_pages", libc::SYS_move_pages),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("ptrace", libc::SYS_ptrace),
    ("recvmsg", libc::SYS_recvmsg),
    ("rseq", libc::SYS_rseq),
    ("sendmsg", libc::SYS_sendmsg),
    ("set_mempolicy", libc::SYS_set_mempolicy),
    ("setns", libc::SYS_setns),
    ("shmget", libc::SYS_shmget),
    ("statx", libc::SYS_statx),
    ("unshare", libc::SYS_unshare),
    ("userfaultfd", libc::SYS_userfaultfd),
];

pub(super) fn number(call: &str) -> i64 {
    NUMBERS.iter().find(|(name, _)| *name == call).unwrap_or_else(|| panic!("no number for {call}")).1
}
