//! HP407: checks whether the system calls that the workload makes are allowed.
//!
//! Each call is made in a harmless way and announced beforehand, because a seccomp profile may respond with SIGSYS.
//! What a refusal means was measured with testpmd (DPDK 22.11, libnuma 2.0.16) and QEMU 7.2, under filters that forbid
//! one call each. A call that the workload does not need is not made: a profile that kills the process for it would end
//! this worker, although the workload works.

use std::fs::File;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, Flock, FlockArg, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::{Map, Value};

use super::AllocationTask;
use crate::domain::catalogue::HP407;
use crate::domain::check::{Because, Finding, Outcome};
use crate::domain::part::WorkerOutput;
use crate::domain::request::Program;
use crate::linux::errno::named;
use crate::linux::map::{Mapping, memory_policy, reset_memory_policy};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    GetMempolicy,
    SetMempolicy,
    Mbind,
    MemfdCreate,
    Madvise,
    Mlock,
    Flock,
    Fallocate,
    Listen,
}

const CALLS: [(Call, &str); 9] = [
    (Call::GetMempolicy, "get_mempolicy"),
    (Call::SetMempolicy, "set_mempolicy"),
    (Call::Mbind, "mbind"),
    (Call::MemfdCreate, "memfd_create"),
    (Call::Madvise, "madvise"),
    (Call::Mlock, "mlock"),
    (Call::Flock, "flock"),
    (Call::Fallocate, "fallocate"),
    (Call::Listen, "listen"),
];

/// What decides whether a call matters.
struct Asked {
    program: Program,
    has_directory: bool,
    /// Whether each page has a file of its own.
    file_per_page: bool,
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
        program: task.workload.program(),
        has_directory: task.directory.is_some(),
        file_per_page: task.workload.has_file_per_page(),
        on_node: task.need.iter().any(|need| need.node.is_some()),
    };
    let mut answers = Map::new();
    let mut matters: Vec<(Outcome, String)> = Vec::new();
    for (call, name) in CALLS {
        if !matters_to(call, &asked) {
            answers.insert(
                name.to_owned(),
                Value::String(format!("not tried: {} does not call it", task.workload)),
            );
            continue;
        }
        output.step(HP407, &format!("call {name}"))?;
        let answer = attempt(call, &memory);
        let text = match &answer {
            Ok(()) => "let through".to_owned(),
            Err(error) => named(error),
        };
        answers.insert(name.to_owned(), Value::String(text));
        if let Some(errno) = answer.err().and_then(|error| forbidden(&error))
            && let Some((outcome, then)) = meaning(call, errno, &asked)
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

/// Returns whether a refusal of the call can matter to the workload.
fn matters_to(call: Call, asked: &Asked) -> bool {
    [Errno::EPERM, Errno::ENOSYS].into_iter().any(|errno| meaning(call, errno, asked).is_some())
}

/// Listens on a socket without a name in the file system.
fn listen() -> io::Result<()> {
    let name = format!("hugeprobe-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name)?;
    UnixListener::bind_addr(&address).map(drop)
}

fn attempt(call: Call, memory: &Mapping) -> io::Result<()> {
    match call {
        Call::GetMempolicy => memory_policy().map(drop),
        Call::SetMempolicy => reset_memory_policy(),
        Call::Mbind => memory.bind(0),
        Call::MemfdCreate => Ok(memfd_create(c"hugeprobe", MFdFlags::MFD_CLOEXEC).map(drop)?),
        Call::Madvise => memory.keep_out_of_dumps(),
        Call::Mlock => memory.lock(),
        Call::Flock => Ok(Flock::lock(File::open("/dev/null")?, FlockArg::LockSharedNonblock)
            .map(drop)
            .map_err(|(_, errno)| errno)?),
        // The kernel refuses a pipe with ESPIPE, after seccomp has let the call through.
        Call::Fallocate => Ok(fallocate(io::pipe()?.1, FallocateFlags::empty(), 0, 1)?),
        Call::Listen => listen(),
    }
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
    match (call, asked.program) {
        // On ENOSYS, libnuma concludes that there is no NUMA support, and DPDK continues.
        (Call::GetMempolicy, Program::Dpdk) if errno != Errno::ENOSYS => Some((
            Outcome::Fail,
            "DPDK stops at start with \"Cannot init memory\" unless its libnuma is 2.0.19 or newer",
        )),
        (Call::SetMempolicy, Program::Dpdk) => Some((
            Outcome::Warn,
            "DPDK starts, and takes pages from the NUMA node on which it happens to run",
        )),
        (Call::Mbind, Program::Qemu) => Some((
            if asked.on_node { Outcome::Fail } else { Outcome::Warn },
            "QEMU stops with \"cannot bind memory to host NUMA nodes\" if host-nodes= is given",
        )),
        (Call::MemfdCreate, Program::Dpdk) if !has_directory => Some((
            Outcome::Fail,
            "DPDK with --in-memory, as OVS runs it, stops at start; with --huge-dir it does not need the call",
        )),
        (Call::MemfdCreate, Program::Qemu) if !has_directory => Some((
            Outcome::Fail,
            "QEMU cannot use memory-backend-memfd; memory-backend-file does not need the call",
        )),
        (Call::Flock, Program::Dpdk) => Some((
            Outcome::Fail,
            "DPDK stops at start with \"Cannot init memory\": it locks the files of its memory and of its configuration",
        )),
        (Call::Fallocate, Program::Dpdk) if !asked.file_per_page => Some((
            Outcome::Fail,
            "DPDK with --single-file-segments stops at start with \"Cannot allocate memory\"",
        )),
        (Call::Listen, Program::Dpdk) => {
            Some((Outcome::Fail, "net_vhost and Open vSwitch cannot listen on their sockets"))
        }
        (Call::Madvise, Program::Qemu) => {
            Some((Outcome::Fail, "QEMU with prealloc=on stops with \"preallocating memory failed\""))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_means_is_what_was_measured() {
        let outcome = |call, errno, program, has_directory| {
            meaning(call, errno, &Asked { program, has_directory, file_per_page: false, on_node: false })
                .map(|(outcome, _)| outcome)
        };
        let bound =
            Asked { program: Program::Qemu, has_directory: false, file_per_page: false, on_node: true };
        assert_eq!(
            meaning(Call::Mbind, Errno::EPERM, &bound).map(|(outcome, _)| outcome),
            Some(Outcome::Fail)
        );
        for (call, errno, program, dir, expected) in [
            (Call::GetMempolicy, Errno::EPERM, Program::Dpdk, false, Some(Outcome::Fail)),
            (Call::GetMempolicy, Errno::ENOSYS, Program::Dpdk, false, None),
            (Call::GetMempolicy, Errno::EPERM, Program::Qemu, false, None),
            (Call::SetMempolicy, Errno::EPERM, Program::Dpdk, false, Some(Outcome::Warn)),
            (Call::SetMempolicy, Errno::EPERM, Program::Qemu, false, None),
            (Call::Mbind, Errno::EPERM, Program::Dpdk, false, None),
            (Call::Mbind, Errno::EPERM, Program::Qemu, false, Some(Outcome::Warn)),
            (Call::MemfdCreate, Errno::EPERM, Program::Dpdk, false, Some(Outcome::Fail)),
            (Call::MemfdCreate, Errno::ENOSYS, Program::Dpdk, true, None),
            (Call::MemfdCreate, Errno::ENOSYS, Program::Qemu, false, Some(Outcome::Fail)),
            (Call::MemfdCreate, Errno::ENOSYS, Program::Qemu, true, None),
            (Call::Madvise, Errno::EPERM, Program::Dpdk, false, None),
            (Call::Madvise, Errno::EPERM, Program::Qemu, false, Some(Outcome::Fail)),
            (Call::Mlock, Errno::EPERM, Program::Dpdk, false, None),
        ] {
            assert_eq!(outcome(call, errno, program, dir), expected, "{call:?} {errno:?} {program:?} {dir}");
        }
    }

    #[test]
    fn only_calls_that_the_workload_needs_are_tried() {
        let tried = |program, has_directory| {
            let asked = Asked { program, has_directory, file_per_page: false, on_node: false };
            CALLS
                .into_iter()
                .filter(|(call, _)| matters_to(*call, &asked))
                .map(|(_, name)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            tried(Program::Dpdk, false),
            ["get_mempolicy", "set_mempolicy", "memfd_create", "flock", "fallocate", "listen"]
        );
        assert_eq!(
            tried(Program::Dpdk, true),
            ["get_mempolicy", "set_mempolicy", "flock", "fallocate", "listen"]
        );
        assert_eq!(tried(Program::Qemu, false), ["mbind", "memfd_create", "madvise"]);
        assert_eq!(tried(Program::Qemu, true), ["mbind", "madvise"]);
    }

    #[test]
    fn only_what_stands_before_the_kernel_forbids() {
        assert_eq!(forbidden(&Errno::EPERM.into()), Some(Errno::EPERM));
        assert_eq!(forbidden(&Errno::EINVAL.into()), None);
        assert_eq!(forbidden(&Errno::ENOMEM.into()), None);
    }
}
