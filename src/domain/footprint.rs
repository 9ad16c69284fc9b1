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

/// Mappings of a testpmd, apart from one for each page: most are those of its shared libraries.
const DPDK_MAPPINGS: u64 = 1070;

/// Ordinary memory of a testpmd in bytes, if mlockall fails, and if it succeeds and allocates the stacks of all threads.
const DPDK_MEMORY: u64 = 6 << 20;
const DPDK_MEMORY_LOCKED: u64 = 50 << 20;
/// How much more it locks with `--huge-dir`.
const DPDK_MEMORY_MORE_WITH_DIR: u64 = 8 << 20;
/// Ordinary memory of QEMU with TCG in bytes.
const QEMU_MEMORY: u64 = 20 << 20;
/// The program and its libraries in bytes. They count against the cgroup that reads them first, and mlockall keeps them there.
pub const LOCKED_FILES: u64 = 64 << 20;

/// Returns how many threads the workload has: of frontend and backend together if both are described, otherwise of the one
/// that has more.
#[must_use]
pub fn threads(request: &Request) -> u64 {
    let [frontend, backend] = match request.workload.program() {
        Program::Dpdk => {
            let more = if request.directory.is_some() { DPDK_THREADS_MORE_WITH_DIR } else { 0 };
            [DPDK_FRONTEND_THREADS + more, DPDK_BACKEND_THREADS + more]
        }
        Program::Qemu => [QEMU_THREADS; 2],
    };
    let both = !request.frontend_need.is_empty() && !request.backend_need.is_empty();
    if both { frontend + backend } else { frontend.max(backend) }
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
        Program::Qemu => None,
    }
}

/// Returns the least ordinary memory that a process of the workload starts with, in bytes. `locked` says whether mlockall
/// succeeds, which testpmd calls.
#[must_use]
pub fn memory(request: &Request, locked: bool) -> u64 {
    let with_directory = if request.directory.is_some() { DPDK_MEMORY_MORE_WITH_DIR } else { 0 };
    match (request.workload.program(), locked) {
        (Program::Dpdk, false) => DPDK_MEMORY,
        (Program::Dpdk, true) => DPDK_MEMORY_LOCKED + with_directory,
        (Program::Qemu, _) => QEMU_MEMORY,
    }
}
