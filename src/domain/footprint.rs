//! What a workload takes beside its huge pages: threads, mappings, ordinary memory.
//!
//! Every number was measured; docs/reference/workloads.md says how, and what the workload does with less.

use super::request::{Request, Workload};

/// Threads of a testpmd with one worker lcore, the main thread among them.
const DPDK_THREADS: u64 = 6;
/// Threads of QEMU with one virtual CPU.
const QEMU_THREADS: u64 = 4;

/// Mappings of a testpmd beside one for each page.
const DPDK_MAPPINGS: u64 = 1100;

/// Ordinary memory of a testpmd, bytes.
const DPDK_MEMORY: u64 = 40 << 20;
/// Ordinary memory of QEMU with TCG, bytes.
const QEMU_MEMORY: u64 = 40 << 20;

/// How many threads the workload has, all of its processes together.
#[must_use]
pub fn threads(request: &Request) -> u64 {
    let of_one = match request.workload {
        Workload::Dpdk => DPDK_THREADS,
        Workload::Qemu => QEMU_THREADS,
    };
    of_one.saturating_mul(processes(request))
}

/// How many mappings the larger process of the workload has; `None` if it maps its memory in one piece.
#[must_use]
pub fn mappings(request: &Request) -> Option<u64> {
    let pages =
        |needs: &[_]| request.need.iter().chain(needs).map(|need| need.pages).fold(0, u64::saturating_add);
    let pages = pages(&request.frontend_need).max(pages(&request.backend_need));
    match request.workload {
        Workload::Dpdk => Some(DPDK_MAPPINGS.saturating_add(pages)),
        Workload::Qemu => None,
    }
}

/// The least ordinary memory that `processes` of the workload start with, bytes.
#[must_use]
pub const fn memory(workload: Workload, processes: u64) -> u64 {
    let of_one = match workload {
        Workload::Dpdk => DPDK_MEMORY,
        Workload::Qemu => QEMU_MEMORY,
    };
    of_one.saturating_mul(processes)
}

/// Processes of the workload that run in the place of this one: frontend and backend, if both are described.
#[must_use]
pub fn processes(request: &Request) -> u64 {
    if request.frontend_need.is_empty() || request.backend_need.is_empty() { 1 } else { 2 }
}
