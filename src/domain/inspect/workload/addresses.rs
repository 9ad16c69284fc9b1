//! HP405: the address space and the private memory that the workload needs.

use super::super::super::catalogue::HP405;
use super::super::super::check::{Finding, Outcome};
use super::super::super::inventory::Limit;
use super::super::super::reading::Reading;
use super::super::super::request::Program;
use super::super::super::size::human_bytes;
use super::{DPDK_RESERVED_AT_MOST, GIB, Judge, MIB, Short, judge};

/// Address space that a DPDK backend needs in addition to the reserved space, to its peer's memory and to the stacks of its
/// threads.
const DPDK_ADDRESSES: u64 = 72 * MIB;
/// The same for Open vSwitch, apart from its threads; and for each thread beside its stack, most of it a heap.
const OVS_ADDRESSES: u64 = 128 * MIB;
const OVS_THREAD: u64 = 56 * MIB;
/// Additional address space for newer DPDK, which reserves everything in one piece, aligned to the largest page.
const DPDK_ADDRESSES_NEWER: u64 = GIB;
/// Address space that QEMU needs with TCG, in addition to the guest's memory and the stacks. TCG's code buffer is 1 GiB of it.
const QEMU_ADDRESSES: u64 = 1272 * MIB;

/// Private writable memory that a DPDK process, Open vSwitch and QEMU need at least to start, apart from the stacks of their
/// threads, as measured (docs/reference/workloads.md). `DATA_ENOUGH` is enough for many more threads.
pub(super) const DPDK_DATA: u64 = 13 * MIB;
const OVS_DATA: u64 = 31 * MIB;
const QEMU_DATA: u64 = 59 * MIB;
/// The same for QEMU with TCG, whose code buffer is 1 GiB of it. KVM has no such buffer.
const QEMU_DATA_TCG: u64 = 1050 * MIB;
const DATA_ENOUGH: u64 = 2 * GIB;

/// Private memory that can be written, which a process of the workload needs, in bytes.
pub(super) struct PrivateMemory {
    /// Below this, it does not start.
    pub(super) least: u64,
    /// With this, it starts, whatever is not known of it.
    pub(super) sure: u64,
    /// The program.
    pub(super) who: &'static str,
}

impl Judge<'_> {
    /// Returns the finding of HP405: the worst of the results for `RLIMIT_AS`, `RLIMIT_DATA` and `vm.overcommit_memory`.
    pub(super) fn addresses(&self, address_space: &Reading<Limit>, data: &Reading<Limit>) -> Finding {
        self.address_space(address_space).or_worse(self.data(data)).or_worse(self.committed())
    }

    fn data(&self, limit: &Reading<Limit>) -> Finding {
        judge(HP405, limit, human_bytes, |limit| {
            let Some(soft) = limit.soft else { return Ok("no limit".to_owned()) };
            let PrivateMemory { least, sure, who } = self.private_memory();
            if soft >= DATA_ENOUGH.max(sure) {
                return Ok(human_bytes(soft));
            }
            // The number of threads and buffers beyond the minimum depends on the workload's configuration.
            let (outcome, wanted) = match soft {
                _ if soft < least => (Outcome::Fail, least),
                _ if soft < sure => (Outcome::Unknown, sure),
                _ => (Outcome::Warn, DATA_ENOUGH),
            };
            Err(Short {
                outcome,
                summary: format!(
                    "RLIMIT_DATA is {}; {who} needs at least {} for stacks and buffers",
                    human_bytes(soft),
                    human_bytes(least)
                ),
                expected: format!("{} or more", human_bytes(wanted)),
                remedy: "ulimit -d unlimited, LimitDATA=infinity in a systemd unit".into(),
            })
        })
    }

    /// Returns the private memory that one process of the workload needs: the one that needs more.
    pub(super) fn private_memory(&self) -> PrivateMemory {
        let (least, sure, who) = match self.request.workload.program() {
            Program::Dpdk => (DPDK_DATA, DPDK_DATA, "DPDK"),
            Program::Ovs => (OVS_DATA, OVS_DATA, "Open vSwitch"),
            Program::Qemu => (QEMU_DATA, QEMU_DATA_TCG, "QEMU"),
        };
        let (of_fewest, of_most) = self.for_each_stack(self.stack());
        PrivateMemory { least: least.saturating_add(of_fewest), sure: sure.saturating_add(of_most), who }
    }

    fn address_space(&self, limit: &Reading<Limit>) -> Finding {
        judge(HP405, limit, human_bytes, |limit| {
            let Some(soft) = limit.soft else { return Ok("no limit".to_owned()) };
            let (beside, of_thread) = match self.request.workload.program() {
                Program::Dpdk => (DPDK_ADDRESSES, 0),
                Program::Ovs => (OVS_ADDRESSES, OVS_THREAD),
                Program::Qemu => (QEMU_ADDRESSES, 0),
            };
            let (of_fewest, of_most) = self.for_each_stack(self.stack().saturating_add(of_thread));
            let (beside, beside_sure) = (beside.saturating_add(of_fewest), beside.saturating_add(of_most));
            let (reserved, reserved_sure, newer) = if self.request.workload.uses_dpdk() {
                let reserved = self.reserved_addresses();
                let at_most = reserved.unwrap_or(DPDK_RESERVED_AT_MOST);
                (reserved.unwrap_or_default(), at_most, DPDK_ADDRESSES_NEWER)
            } else {
                (0, 0, 0)
            };
            let more = self.memory.bytes;
            let least = reserved.saturating_add(beside).saturating_add(more);
            let sure = reserved_sure.saturating_add(beside_sure).saturating_add(more);
            let newer = sure.saturating_add(newer);
            if soft >= newer {
                return Ok(human_bytes(soft));
            }
            let (outcome, wanted) = match soft {
                _ if soft < least => (Outcome::Fail, least),
                _ if soft < sure => (Outcome::Unknown, sure),
                _ => (Outcome::Warn, newer),
            };
            let what = match (self.request.workload.program(), outcome) {
                (Program::Qemu, _) => "for QEMU with TCG",
                (_, Outcome::Warn) => "for DPDK newer than 22.11",
                (Program::Ovs, _) => "for Open vSwitch",
                (Program::Dpdk, _) => "for DPDK",
            };
            Err(Short {
                outcome,
                summary: format!(
                    "RLIMIT_AS is {}; at least {} is needed",
                    human_bytes(soft),
                    human_bytes(wanted)
                ),
                expected: format!("{} or more {what}", human_bytes(wanted)),
                remedy: "ulimit -v unlimited, LimitAS=infinity in a systemd unit".into(),
            })
        })
    }
}
