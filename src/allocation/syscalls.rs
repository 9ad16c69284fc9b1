//! HP407: checks whether the system calls that the workload makes are allowed.
//!
//! Each call is made in a harmless way and announced beforehand, because a seccomp profile may respond with SIGSYS.
//! What a refusal means was measured with testpmd (DPDK 22.11, libnuma 2.0.16) and QEMU 7.2, under filters that forbid
//! one call each. Calls that the workload makes and can do without are made too, because a profile may kill for them. A
//! call that it does not make is not made: a profile that kills the process for it would end this worker, although the
//! workload works.

use std::io;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::{Map, Value};

use super::AllocationTask;
use hugeprobe_domain::catalogue::HP407;
use hugeprobe_domain::check::{Because, Finding, Outcome};
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::request::Workload;
use hugeprobe_linux::errno::named;
use hugeprobe_linux::map::{Mapping, memory_policy, reset_memory_policy};
use hugeprobe_linux::seccomp::{self, SystemCall};

/// A call that may matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    GetMempolicy,
    SetMempolicy,
    Mbind,
    MemfdCreate,
    Madvise,
    /// A call whose arguments a seccomp profile does not look at.
    Plain(SystemCall, Use),
}

/// Which program makes a plain call, and when it cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// DPDK makes it, and does without if it is refused.
    Made,
    /// QEMU makes it, and does without if it is refused.
    QemuMade,
    /// QEMU cannot do without.
    Qemu,
    /// DPDK cannot do without, here and in the cases below.
    Always,
    /// With `--huge-dir`, where DPDK keeps files for secondary processes.
    WithDirectory,
    /// With `--huge-dir`, or where a hugetlbfs is mounted.
    WithMount,
    /// With `--single-file-segments`.
    SingleFile,
}

/// The calls in the order in which they are tried. Those that a profile decides by their arguments are made with the arguments
/// of the workload.
const CALLS: &[Call] = &[
    Call::GetMempolicy,
    Call::SetMempolicy,
    Call::Mbind,
    Call::MemfdCreate,
    Call::Madvise,
    Call::Plain(seccomp::ACCEPT, Use::Always),
    Call::Plain(seccomp::BIND, Use::Always),
    Call::Plain(seccomp::CONNECT, Use::Always),
    Call::Plain(seccomp::EPOLL_CREATE, Use::Always),
    Call::Plain(seccomp::EPOLL_CTL, Use::Always),
    Call::Plain(seccomp::EVENTFD2, Use::Always),
    Call::Plain(seccomp::FALLOCATE, Use::SingleFile),
    Call::Plain(seccomp::FCNTL, Use::WithDirectory),
    Call::Plain(seccomp::FLOCK, Use::WithMount),
    Call::Plain(seccomp::FTRUNCATE, Use::WithDirectory),
    Call::Plain(seccomp::GETDENTS64, Use::Always),
    Call::Plain(seccomp::LISTEN, Use::Always),
    Call::Plain(seccomp::MKDIR, Use::WithDirectory),
    Call::Plain(seccomp::PIPE2, Use::Always),
    Call::Plain(seccomp::POLL, Use::Always),
    Call::Plain(seccomp::READLINK, Use::Always),
    Call::Plain(seccomp::RECVFROM, Use::Always),
    Call::Plain(seccomp::RECVMSG, Use::Always),
    Call::Plain(seccomp::SCHED_SETAFFINITY, Use::Always),
    Call::Plain(seccomp::SENDMSG, Use::Always),
    Call::Plain(seccomp::SOCKET, Use::Always),
    Call::Plain(seccomp::TIMERFD_CREATE, Use::Always),
    Call::Plain(seccomp::CLOCK_NANOSLEEP, Use::Made),
    Call::Plain(seccomp::EPOLL_WAIT, Use::Made),
    #[cfg(target_arch = "x86_64")]
    Call::Plain(seccomp::IOPL, Use::Made),
    Call::Plain(seccomp::LSEEK, Use::Made),
    Call::Plain(seccomp::MLOCKALL, Use::Made),
    Call::Plain(seccomp::SYSINFO, Use::Made),
    Call::Plain(seccomp::CONNECT, Use::Qemu),
    Call::Plain(seccomp::GETPEERNAME, Use::Qemu),
    Call::Plain(seccomp::GETSOCKNAME, Use::Qemu),
    Call::Plain(seccomp::RECVMSG, Use::Qemu),
    Call::Plain(seccomp::SENDMSG, Use::Qemu),
    Call::Plain(seccomp::SOCKET, Use::Qemu),
    Call::Plain(seccomp::SOCKETPAIR, Use::Qemu),
    Call::Plain(seccomp::CLOCK_NANOSLEEP, Use::QemuMade),
    Call::Plain(seccomp::EVENTFD2, Use::Qemu),
    Call::Plain(seccomp::FCHDIR, Use::QemuMade),
    Call::Plain(seccomp::FSTATFS, Use::QemuMade),
    Call::Plain(seccomp::IO_URING_SETUP, Use::QemuMade),
    Call::Plain(seccomp::LSEEK, Use::QemuMade),
    Call::Plain(seccomp::PPOLL, Use::QemuMade),
    Call::Plain(seccomp::SECCOMP, Use::QemuMade),
    Call::Plain(seccomp::SETSOCKOPT, Use::QemuMade),
    Call::Plain(seccomp::SIGNALFD4, Use::QemuMade),
    Call::Plain(seccomp::STATFS, Use::QemuMade),
    Call::Plain(seccomp::SYSINFO, Use::QemuMade),
];

/// What decides whether a call matters.
struct Asked {
    workload: Workload,
    has_directory: bool,
    /// Whether DPDK locks the directory of a mount, see HP306.
    locks_mount: bool,
    /// Whether memory of a NUMA node is needed, as for QEMU's host-nodes=.
    on_node: bool,
}

/// Makes the calls and reports HP407.
///
/// # Errors
///
/// The reader of `output` is gone, or not even ordinary memory is available.
pub(super) fn run(task: &AllocationTask, output: &mut dyn WorkerOutput) -> io::Result<()> {
    let memory = Mapping::ordinary(4096)?;
    let asked = Asked {
        workload: task.workload,
        has_directory: task.directory.is_some(),
        locks_mount: !task.locked.is_empty(),
        on_node: task.need.iter().any(|need| need.node.is_some()),
    };
    let mut answers = Map::new();
    let mut matters: Vec<(Outcome, String)> = Vec::new();
    for call in CALLS.iter().filter(|call| matters_to(**call, &asked)) {
        let name = call.name();
        output.step(HP407, &format!("call {name}"))?;
        let refusal = attempt(*call, &memory);
        let text = refusal.map_or_else(|| "allowed".to_owned(), |errno| named(&errno.into()));
        answers.insert(name.to_owned(), Value::String(text));
        if let Some(errno) = refusal
            && let Some((outcome, then)) = meaning(*call, errno, &asked)
        {
            matters.push((outcome, format!("{name} returns {errno:?}: {then}")));
        }
    }
    let finding = match matters.iter().map(|(outcome, _)| *outcome).max() {
        None => {
            Finding::pass(HP407, None, format!("every system call that {} needs is allowed", task.workload))
        }
        Some(outcome) => {
            let seen: Vec<_> = matters.iter().map(|(_, text)| text.as_str()).collect();
            let names: Vec<_> = seen.iter().filter_map(|text| text.split(' ').next()).collect();
            let because = Because::new("the kernel answers each call, not seccomp", seen.join("; "));
            let summary = format!("seccomp forbids {}", names.join(", "));
            Finding::not_pass(HP407, None, outcome, summary, because)
        }
    };
    output.found(finding.with("answers", answers).with("workload", task.workload))
}

/// Returns whether a refusal of the call can matter to the workload: an error, or the death of the process.
fn matters_to(call: Call, asked: &Asked) -> bool {
    let is_made = match call {
        Call::Plain(_, Use::Made) => asked.workload.uses_dpdk(),
        // QEMU's libnuma asks for the policy at start.
        Call::GetMempolicy | Call::SetMempolicy | Call::Plain(_, Use::QemuMade) => {
            !asked.workload.uses_dpdk()
        }
        _ => false,
    };
    is_made || [Errno::EPERM, Errno::ENOSYS].into_iter().any(|errno| meaning(call, errno, asked).is_some())
}

/// Makes the call. Returns the error if seccomp or a security module refuses it.
fn attempt(call: Call, memory: &Mapping) -> Option<Errno> {
    let answer = match call {
        Call::GetMempolicy => memory_policy().map(drop),
        Call::SetMempolicy => reset_memory_policy(),
        Call::Mbind => memory.bind(0),
        Call::MemfdCreate => {
            memfd_create(c"hugeprobe", MFdFlags::MFD_CLOEXEC).map(drop).map_err(io::Error::from)
        }
        Call::Madvise => memory.keep_out_of_dumps(),
        Call::Plain(call, _) => return call.refusal(),
    };
    answer.err().and_then(|error| forbidden(&error))
}

/// Returns the error if it is one of seccomp or a security module. Others, such as EINVAL for a NUMA node that does not
/// exist, come from the kernel itself.
fn forbidden(error: &io::Error) -> Option<Errno> {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno @ (Errno::EPERM | Errno::ENOSYS | Errno::EACCES)) => Some(errno),
        _ => None,
    }
}

/// Returns what the workload does if the call is refused; `None` if the refusal does not matter.
fn meaning(call: Call, errno: Errno, asked: &Asked) -> Option<(Outcome, &'static str)> {
    let has_directory = asked.has_directory;
    match (call, asked.workload.uses_dpdk()) {
        // On ENOSYS, libnuma concludes that there is no NUMA support, and DPDK continues.
        (Call::GetMempolicy, true) if errno != Errno::ENOSYS && asked.workload == Workload::DpdkLegacyMem => {
            Some((Outcome::Warn, "DPDK starts, and does not bind its pages to a NUMA node"))
        }
        (Call::GetMempolicy, true) if errno != Errno::ENOSYS => Some((
            Outcome::Fail,
            "DPDK stops at start with \"Cannot init memory\" unless its libnuma is 2.0.19 or newer",
        )),
        (Call::SetMempolicy, true) => Some((
            Outcome::Warn,
            "DPDK starts, and takes pages from the NUMA node on which it happens to run",
        )),
        (Call::Mbind, false) => Some((
            if asked.on_node { Outcome::Fail } else { Outcome::Warn },
            "QEMU stops with \"cannot bind memory to host NUMA nodes\" if host-nodes= is given",
        )),
        (Call::MemfdCreate, true) if !has_directory => Some((
            Outcome::Fail,
            "DPDK with --in-memory, as OVS runs it, stops at start; with --huge-dir it does not need the call",
        )),
        (Call::MemfdCreate, false) if !has_directory => Some((
            Outcome::Fail,
            "QEMU cannot use memory-backend-memfd; memory-backend-file does not need the call",
        )),
        (Call::Plain(_, Use::Qemu), false) => {
            Some((Outcome::Fail, "QEMU stops at start, or waits for its backend without end"))
        }
        (Call::Plain(_, usage), true) => {
            let matters = match usage {
                Use::Made | Use::QemuMade | Use::Qemu => false,
                Use::Always => true,
                Use::WithDirectory => has_directory,
                Use::WithMount => has_directory || asked.locks_mount,
                Use::SingleFile => !asked.workload.has_file_per_page(),
            };
            matters.then_some((Outcome::Fail, "DPDK stops at start, or passes no frames"))
        }
        (Call::Madvise, false) => {
            Some((Outcome::Fail, "QEMU with prealloc=on stops with \"preallocating memory failed\""))
        }
        _ => None,
    }
}

impl Call {
    /// Returns the name, as in `man 2`.
    const fn name(self) -> &'static str {
        match self {
            Self::GetMempolicy => "get_mempolicy",
            Self::SetMempolicy => "set_mempolicy",
            Self::Mbind => "mbind",
            Self::MemfdCreate => "memfd_create",
            Self::Madvise => "madvise",
            Self::Plain(call, _) => call.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_means_is_what_was_measured() {
        let outcome = |call, errno, workload, has_directory| {
            meaning(call, errno, &Asked { workload, has_directory, locks_mount: false, on_node: false })
                .map(|(outcome, _)| outcome)
        };
        let bound =
            Asked { workload: Workload::Qemu, has_directory: false, locks_mount: false, on_node: true };
        assert_eq!(
            meaning(Call::Mbind, Errno::EPERM, &bound).map(|(outcome, _)| outcome),
            Some(Outcome::Fail)
        );
        for (call, errno, workload, dir, expected) in [
            (Call::GetMempolicy, Errno::EPERM, Workload::Dpdk, false, Some(Outcome::Fail)),
            (Call::GetMempolicy, Errno::ENOSYS, Workload::Dpdk, false, None),
            (Call::GetMempolicy, Errno::EPERM, Workload::DpdkLegacyMem, true, Some(Outcome::Warn)),
            (Call::GetMempolicy, Errno::EPERM, Workload::Qemu, false, None),
            (Call::SetMempolicy, Errno::EPERM, Workload::Dpdk, false, Some(Outcome::Warn)),
            (Call::SetMempolicy, Errno::EPERM, Workload::Qemu, false, None),
            (Call::Mbind, Errno::EPERM, Workload::Dpdk, false, None),
            (Call::Mbind, Errno::EPERM, Workload::Qemu, false, Some(Outcome::Warn)),
            (Call::MemfdCreate, Errno::EPERM, Workload::Dpdk, false, Some(Outcome::Fail)),
            (Call::MemfdCreate, Errno::ENOSYS, Workload::Dpdk, true, None),
            (Call::MemfdCreate, Errno::ENOSYS, Workload::Qemu, false, Some(Outcome::Fail)),
            (Call::MemfdCreate, Errno::ENOSYS, Workload::Qemu, true, None),
            (Call::Madvise, Errno::EPERM, Workload::Dpdk, false, None),
            (Call::Madvise, Errno::EPERM, Workload::Qemu, false, Some(Outcome::Fail)),
            (Call::Plain(seccomp::MKDIR, Use::WithDirectory), Errno::EPERM, Workload::Dpdk, false, None),
            (
                Call::Plain(seccomp::MKDIR, Use::WithDirectory),
                Errno::ENOSYS,
                Workload::Dpdk,
                true,
                Some(Outcome::Fail),
            ),
            (Call::Plain(seccomp::LISTEN, Use::Always), Errno::EPERM, Workload::Qemu, false, None),
            (Call::Plain(seccomp::MLOCKALL, Use::Made), Errno::EPERM, Workload::Dpdk, false, None),
            (Call::Plain(seccomp::PPOLL, Use::QemuMade), Errno::EPERM, Workload::Qemu, false, None),
            (
                Call::Plain(seccomp::GETSOCKNAME, Use::Qemu),
                Errno::EPERM,
                Workload::Qemu,
                false,
                Some(Outcome::Fail),
            ),
            (Call::Plain(seccomp::GETSOCKNAME, Use::Qemu), Errno::EPERM, Workload::Dpdk, false, None),
        ] {
            assert_eq!(
                outcome(call, errno, workload, dir),
                expected,
                "{call:?} {errno:?} {workload:?} {dir}"
            );
        }
    }

    #[test]
    fn only_calls_that_the_workload_needs_are_tried() {
        let tried = |workload, has_directory| {
            let asked = Asked { workload, has_directory, locks_mount: false, on_node: false };
            let tried = CALLS.iter().filter(|call| matters_to(**call, &asked));
            tried.map(|call| call.name()).collect::<Vec<_>>()
        };
        let with = |calls: Vec<&str>, name| calls.contains(&name);
        assert!(with(tried(Workload::Dpdk, false), "memfd_create"));
        assert!(!with(tried(Workload::Dpdk, true), "memfd_create"));
        assert!(!with(tried(Workload::Dpdk, false), "mkdir"));
        assert!(with(tried(Workload::Dpdk, false), "fallocate"));
        assert!(!with(tried(Workload::DpdkFilePerPage, false), "fallocate"));
        assert!(!with(tried(Workload::Dpdk, false), "madvise"));
        assert!(with(tried(Workload::Dpdk, false), "mlockall"));
        assert!(!with(tried(Workload::Dpdk, false), "io_uring_setup"));
        assert!(with(tried(Workload::Qemu, false), "memfd_create"));
        assert!(!with(tried(Workload::Qemu, true), "memfd_create"));
        assert!(with(tried(Workload::Qemu, true), "io_uring_setup"));
        for other in ["mlockall", "mkdir", "iopl", "fallocate"] {
            assert!(!with(tried(Workload::Qemu, true), other), "{other}");
        }
    }

    #[test]
    fn only_what_stands_before_the_kernel_forbids() {
        assert_eq!(forbidden(&Errno::EPERM.into()), Some(Errno::EPERM));
        assert_eq!(forbidden(&Errno::EINVAL.into()), None);
        assert_eq!(forbidden(&Errno::ENOMEM.into()), None);
    }
}
