//! What a workload takes beside its huge pages: threads, mappings, ordinary memory.
//!
//! Every number was measured. docs/reference/workloads.md says how, and what the workload does with less.

use super::inventory::Limit;
use super::reading::Reading;
use super::request::{Program, Request};

/// Threads of a testpmd with one worker lcore, the main thread included: with net_vhost, and with net_virtio_user, whose last
/// thread is optional.
const DPDK_BACKEND_THREADS: u64 = 6;
const DPDK_FRONTEND_THREADS: u64 = 4;
/// How many more a testpmd has without `--in-memory`: it answers secondary processes.
const DPDK_THREADS_MORE_WITH_DIR: u64 = 1;
/// Threads of QEMU with one virtual CPU.
const QEMU_THREADS: u64 = 4;
/// Threads of Open vSwitch with one PMD thread and vhost-user ports, apart from its handlers and revalidators.
const OVS_THREADS: u64 = 11;
/// The least number of handlers and revalidators together. Open vSwitch before 3.4 has one for each CPU that it may use
/// (`udpif_set_threads` in ofproto/ofproto-dpif-upcall.c).
const OVS_LEAST_UPCALL_THREADS: u64 = 2;

/// Mappings of a testpmd, apart from one for each page: most are those of its shared libraries.
const DPDK_MAPPINGS: u64 = 1070;
const OVS_MAPPINGS: u64 = 1094;

/// The stacks that count in the memory of a testpmd: one for each thread but the main thread, the optional one of the
/// frontend included.
const DPDK_BACKEND_STACKS: u64 = 5;
const DPDK_FRONTEND_STACKS: u64 = 4;
/// Threads of QEMU whose stacks count in its private memory.
const QEMU_STACKS: u64 = 2;

/// The stack of a thread if RLIMIT_STACK is not known: what Linux starts its first process with, in bytes.
const USUAL_STACK: u64 = 8 << 20;
/// The same without a limit, and the smallest (`__pthread_initialize_minimal_internal()` of glibc, `ARCH_STACK_DEFAULT_SIZE`
/// and `PTHREAD_STACK_MIN` of x86_64).
const STACK_WITHOUT_LIMIT: u64 = 2 << 20;
const LEAST_STACK: u64 = 16 << 10;

/// Ordinary memory of a testpmd in bytes: all of it if mlockall fails, and apart from the stacks of its threads if it succeeds and
/// allocates those.
const DPDK_MEMORY: u64 = 6 << 20;
const DPDK_MEMORY_LOCKED: u64 = 14 << 20;
/// Ordinary memory of QEMU with TCG in bytes.
const QEMU_MEMORY: u64 = 20 << 20;
/// Ordinary memory of Open vSwitch in bytes, apart from the stacks of its threads, which mlockall allocates.
const OVS_MEMORY: u64 = 28 << 20;
/// The program and its libraries in bytes. They count against the cgroup that reads them first, and mlockall keeps them there.
pub const LOCKED_FILES: u64 = 64 << 20;

/// Returns how many threads the workload has: of frontend and backend together if both are described, otherwise of the one
/// that has more. `None` if this depends on the number of CPUs that it may use, and `cpus` is `None`.
#[must_use]
pub fn threads(request: &Request, cpus: Option<u64>) -> Option<u64> {
    let more = more_threads(request);
    let [frontend, backend] = match request.workload.program() {
        Program::Dpdk => [DPDK_FRONTEND_THREADS + more, DPDK_BACKEND_THREADS + more],
        Program::Ovs => [DPDK_FRONTEND_THREADS, vswitch_threads(cpus?)],
        Program::Qemu => [QEMU_THREADS; 2],
    };
    let both = !request.frontend_need.is_empty() && !request.backend_need.is_empty();
    Some(if both { frontend.saturating_add(backend) } else { frontend.max(backend) })
}

/// Returns how many threads Open vSwitch has where it may use this number of CPUs.
#[must_use]
pub const fn vswitch_threads(cpus: u64) -> u64 {
    let upcalls = if cpus > OVS_LEAST_UPCALL_THREADS { cpus } else { OVS_LEAST_UPCALL_THREADS };
    OVS_THREADS.saturating_add(upcalls)
}

/// Returns how many mappings the process of the workload with more pages has; `None` if it maps its memory in one piece.
#[must_use]
pub fn mappings(request: &Request) -> Option<u64> {
    let pages = |role: &[_]| {
        let needs = request.need.iter().chain(role);
        needs.map(|need| need.pages).fold(0, u64::saturating_add)
    };
    let pages = pages(&request.frontend_need).max(pages(&request.backend_need));
    match request.workload.program() {
        Program::Dpdk => Some(DPDK_MAPPINGS.saturating_add(pages)),
        Program::Ovs => Some(OVS_MAPPINGS.saturating_add(pages)),
        Program::Qemu => None,
    }
}

/// Returns the stack that glibc gives to a thread, in bytes. `limit` is RLIMIT_STACK.
#[must_use]
pub fn stack_of_thread(limit: &Reading<Limit>) -> u64 {
    limit.get().map_or(USUAL_STACK, |limit| limit.soft.unwrap_or(STACK_WITHOUT_LIMIT).max(LEAST_STACK))
}

/// Returns how many stacks of threads are in the private memory of the process of the workload that has more of them. Open vSwitch
/// may use this number of CPUs. The stack of the main thread grows as it is used.
#[must_use]
pub fn stacks(request: &Request, cpus: u64) -> u64 {
    match request.workload.program() {
        Program::Dpdk => testpmd_stacks(request, DPDK_BACKEND_STACKS),
        Program::Ovs => vswitch_threads(cpus) - 1,
        Program::Qemu => QEMU_STACKS,
    }
}

/// Returns how many stacks of threads are in the private memory of a testpmd that is the frontend.
#[must_use]
pub const fn frontend_stacks(request: &Request) -> u64 {
    testpmd_stacks(request, DPDK_FRONTEND_STACKS)
}

const fn testpmd_stacks(request: &Request, with_memfd: u64) -> u64 {
    with_memfd + more_threads(request)
}

/// Returns how many threads more than with `--in-memory` a testpmd has.
const fn more_threads(request: &Request) -> u64 {
    if request.directory.is_some() { DPDK_THREADS_MORE_WITH_DIR } else { 0 }
}

/// Returns the least ordinary memory that the frontend or the backend of the workload starts with, in bytes. Open vSwitch is a
/// backend, and may use this number of CPUs. `locked` is the stack of a thread if mlockall succeeds, which testpmd calls, and
/// Open vSwitch if its packages start it.
#[must_use]
pub fn memory(request: &Request, is_frontend: bool, cpus: u64, locked: Option<u64>) -> u64 {
    let (base, stacks) = match (request.workload.program(), is_frontend) {
        (Program::Qemu, _) => return QEMU_MEMORY,
        (Program::Ovs, false) => (OVS_MEMORY, stacks(request, cpus)),
        _ if locked.is_none() => return DPDK_MEMORY,
        (Program::Dpdk | Program::Ovs, true) => (DPDK_MEMORY_LOCKED, frontend_stacks(request)),
        (Program::Dpdk, false) => (DPDK_MEMORY_LOCKED, stacks(request, cpus)),
    };
    base.saturating_add(stacks.saturating_mul(locked.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::super::request::Workload;
    use super::*;

    #[test]
    fn open_vswitch_has_threads_for_each_cpu() {
        let request = Request {
            workload: Workload::Ovs,
            frontend_need: vec!["2Mi=8".parse().unwrap()],
            backend_need: vec!["2Mi=32".parse().unwrap()],
            ..Request::default()
        };
        // 17 is the pids.max with which it and a testpmd worked on two CPUs.
        for (cpus, expected) in [(1, 17), (2, 17), (64, 79)] {
            assert_eq!(threads(&request, Some(cpus)), Some(expected));
        }
        assert_eq!(threads(&request, None), None);
        assert_eq!(threads(&Request { workload: Workload::Dpdk, ..request }, None), Some(10));
    }

    #[test]
    fn a_thread_has_the_stack_that_glibc_gives_it() {
        const M: u64 = 1 << 20;
        let limit = |soft| Reading::Known(Limit { soft, hard: None });
        for (limit, stack) in [
            (limit(Some(64 * M)), 64 * M),
            (limit(Some(0)), 16 << 10),
            (limit(None), 2 * M),
            (Reading::Absent, 8 * M),
        ] {
            assert_eq!(stack_of_thread(&limit), stack, "{limit:?}");
        }
        // As measured: backend and frontend with 8 MiB, 64 MiB and without a limit.
        for (stack, backend, frontend) in [(8, 54, 46), (64, 334, 270), (2, 24, 22)] {
            let request = Request::default();
            assert_eq!(memory(&request, false, 2, Some(stack * M)), backend * M);
            assert_eq!(memory(&request, true, 2, Some(stack * M)), frontend * M);
        }
    }
}
