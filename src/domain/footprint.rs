//! What a workload takes beside its huge pages: threads, mappings, ordinary memory.
//!
//! Every number was measured. docs/reference/workloads.md says how, and what the workload does with less.

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

/// Ordinary memory of a testpmd in bytes, if mlockall fails, and if it succeeds and allocates the stacks of all threads.
const DPDK_MEMORY: u64 = 6 << 20;
const DPDK_MEMORY_LOCKED: u64 = 50 << 20;
/// How much more it locks with `--huge-dir`.
const DPDK_MEMORY_MORE_WITH_DIR: u64 = 8 << 20;
/// Ordinary memory of QEMU with TCG in bytes.
const QEMU_MEMORY: u64 = 20 << 20;
/// Ordinary memory of Open vSwitch in bytes, apart from the stacks of its threads, which mlockall allocates.
const OVS_MEMORY: u64 = 28 << 20;
/// The stack of a thread of Open vSwitch, in bytes: the default RLIMIT_STACK.
pub const OVS_STACK: u64 = 8 << 20;
/// The program and its libraries in bytes. They count against the cgroup that reads them first, and mlockall keeps them there.
pub const LOCKED_FILES: u64 = 64 << 20;

/// Returns how many threads the workload has: of frontend and backend together if both are described, otherwise of the one
/// that has more. `None` if this depends on the number of CPUs that it may use, and `cpus` is `None`.
#[must_use]
pub fn threads(request: &Request, cpus: Option<u64>) -> Option<u64> {
    let more = if request.directory.is_some() { DPDK_THREADS_MORE_WITH_DIR } else { 0 };
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

/// Returns the least ordinary memory that a process of the workload starts with, in bytes. `locked` says whether mlockall
/// succeeds, which testpmd calls. Of Open vSwitch and its frontend, this is the frontend.
#[must_use]
pub fn memory(request: &Request, locked: bool) -> u64 {
    let with_directory = if request.directory.is_some() { DPDK_MEMORY_MORE_WITH_DIR } else { 0 };
    match (request.workload.program(), locked) {
        (Program::Dpdk | Program::Ovs, false) => DPDK_MEMORY,
        (Program::Dpdk | Program::Ovs, true) => DPDK_MEMORY_LOCKED + with_directory,
        (Program::Qemu, _) => QEMU_MEMORY,
    }
}

/// Returns the least ordinary memory that Open vSwitch starts with where it may use this number of CPUs, in bytes. `locked`
/// says whether mlockall succeeds, which it calls if its packages start it.
#[must_use]
pub const fn vswitch_memory(cpus: u64, locked: bool) -> u64 {
    // The stack of the main thread grows as it is used.
    let stacks = if locked { (vswitch_threads(cpus) - 1).saturating_mul(OVS_STACK) } else { 0 };
    OVS_MEMORY.saturating_add(stacks)
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
}
