//! HP403 to HP406, HP408, HP410, HP412, HP414 and HP415: how testpmd and QEMU would behave under the limits of this process.
//!
//! Every number here was measured. docs/reference/workloads.md describes how, and what the workload does below each
//! number.

mod addresses;
mod commit;
mod cpus;
mod descriptors;
mod memory;
mod memory_table;
mod ordinary_memory;

pub use self::commit::PrivateMemoryToTry;
use self::memory::Memory;
use super::super::catalogue::{HP403, HP406, HP408, HP415};
use super::super::check::{Because, CheckId, Finding, Outcome};
use super::super::footprint;
use super::super::inventory::{Inventory, Limit, NumaNode};
use super::super::reading::Reading;
use super::super::request::{Program, Request, Workload};
use super::super::size::human_bytes;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Address space that DPDK reserves for each pair of page size and NUMA node, and the maximum in total.
const DPDK_RESERVED_PER_TYPE: u64 = 64 * GIB;
const DPDK_RESERVED_AT_MOST: u64 = 512 * GIB;
/// The maximum pages and bytes of one memseg list (RTE_MAX_MEMSEG_PER_LIST, RTE_MAX_MEM_MB_PER_LIST in DPDK's
/// config/rte_config.h).
///
/// DPDK divides the address space for a page size into these lists: four for 2Mi, two for 1Gi. With `--huge-dir` each
/// list has a file that stays open.
const DPDK_PAGES_PER_LIST: u64 = 8192;
const DPDK_BYTES_PER_LIST: u64 = 32 * GIB;
/// The most CPUs that Linux can be built for (CONFIG_NR_CPUS of x86 and arm64).
const MOST_CPUS: u64 = 8192;

/// Bit numbers in CapEff (`include/uapi/linux/capability.h`).
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_NICE: u32 = 23;

/// Returns the findings of HP403 to HP406, HP408, HP410, HP412, HP414 and HP415, one each.
pub(super) fn inspect(inventory: &Inventory, request: &Request) -> Vec<Finding> {
    let limits = &inventory.limits;
    let judge = Judge::new(inventory, request);
    vec![
        judge.memlock(&limits.memlock),
        judge.nofile(&limits.nofile),
        judge.addresses(&limits.address_space, &limits.data),
        judge.file_size(&limits.file_size),
        judge.capabilities(),
        judge.ordinary_memory(),
        judge.memory_table(),
        judge.cpus_in_sysfs(),
        judge.cpu_time(&limits.cpu_time),
    ]
}

/// Returns how many bytes of ordinary memory to try for HP410; `None` if every memory limit of this process is known.
#[must_use]
pub fn memory_to_try(inventory: &Inventory, request: &Request) -> Option<u64> {
    Judge::new(inventory, request).memory_to_try()
}

/// Returns how much private memory to try for HP405; `None` if the kernel overcommits.
#[must_use]
pub fn private_memory_to_try(inventory: &Inventory, request: &Request) -> Option<PrivateMemoryToTry> {
    Judge::new(inventory, request).private_memory_to_try()
}

struct Judge<'a> {
    inventory: &'a Inventory,
    request: &'a Request,
    memory: Memory,
}

/// Why a limit does not pass.
struct Short {
    outcome: Outcome,
    summary: String,
    expected: String,
    remedy: String,
}

impl<'a> Judge<'a> {
    fn new(inventory: &'a Inventory, request: &'a Request) -> Self {
        Self { inventory, request, memory: Memory::of(inventory, request) }
    }
}

impl Judge<'_> {
    /// Returns the finding of HP403. It is never a failure, because testpmd continues without locked memory and huge
    /// pages are never swapped.
    fn memlock(&self, limit: &Reading<Limit>) -> Finding {
        if self.request.workload.program() == Program::Qemu {
            return Finding::pass(
                HP403,
                None,
                "QEMU does not lock memory by default (only with -overcommit mem-lock=on)",
            );
        }
        judge(HP403, limit, human_bytes, |limit| {
            let Some(soft) = limit.soft else { return Ok("no limit".to_owned()) };
            let shown = human_bytes(soft);
            if self.may_lock() == Some(true) {
                return Ok(format!("{shown}, but CAP_IPC_LOCK exempts this process"));
            }
            if self.inventory.limits.swap_bytes.get() == Some(0) {
                return Ok(format!("{shown}: mlockall fails, which does no harm without swap"));
            }
            let reserved = self.reserved_addresses().unwrap_or(DPDK_RESERVED_AT_MOST);
            if soft >= reserved {
                return Ok(shown);
            }
            let unknown = self.may_lock().is_none() || self.inventory.limits.swap_bytes.get().is_none();
            Err(Short {
                outcome: if unknown { Outcome::Unknown } else { Outcome::Warn },
                summary: format!("RLIMIT_MEMLOCK is {shown}: mlockall fails, and memory outside huge pages may be \
                                  swapped out"),
                expected: format!("{}, CAP_IPC_LOCK, or no swap", human_bytes(reserved)),
                remedy: "ulimit -l unlimited, LimitMEMLOCK=infinity in a systemd unit, CAP_IPC_LOCK, or swapoff -a".into(),
            })
        })
    }

    /// Returns the least and the most that the threads of the workload take together if each takes this number of bytes.
    fn for_each_stack(&self, bytes: u64) -> (u64, u64) {
        let (fewest, most) = self.cpus();
        let all = |cpus| footprint::stacks(self.request, cpus).saturating_mul(bytes);
        (all(fewest), all(most))
    }

    /// Returns the stack of a thread of the workload, in bytes.
    fn stack(&self) -> u64 {
        footprint::stack_of_thread(&self.inventory.limits.stack)
    }

    /// Returns the least and the most CPUs that the workload may use: one and the same number if it is known.
    fn cpus(&self) -> (u64, u64) {
        self.inventory.privileges.cpus.get().map_or((1, MOST_CPUS), |cpus| (cpus, cpus))
    }

    fn file_size(&self, limit: &Reading<Limit>) -> Finding {
        judge(HP406, limit, human_bytes, |limit| {
            let Some(soft) = limit.soft else { return Ok("no limit".to_owned()) };
            if self.request.workload == Workload::DpdkLegacyMem {
                return Ok(
                    "mmap gives the files of --legacy-mem their length, which is not limited".to_owned()
                );
            }
            let largest_page = self
                .inventory
                .pools
                .known()
                .and_then(|pools| pools.iter().map(|pool| pool.size.bytes()).max());
            let (least, known) = match self.request.workload.program() {
                Program::Qemu => (self.memory.largest_backend, true),
                // If its heap is too small, DPDK asks for a page of the largest size, on a memfd.
                Program::Dpdk | Program::Ovs if self.request.directory.is_none() => {
                    (self.memory.largest_file.max(largest_page.unwrap_or_default()), largest_page.is_some())
                }
                Program::Dpdk | Program::Ovs => (self.memory.largest_file, true),
            };
            if soft >= least && known {
                return Ok(human_bytes(soft));
            }
            Err(Short {
                outcome: if soft < least { Outcome::Fail } else { Outcome::Unknown },
                summary: format!(
                    "RLIMIT_FSIZE is {}; the workload creates a file of {}",
                    human_bytes(soft),
                    human_bytes(least)
                ),
                expected: format!(
                    "{} or more: beyond the limit, SIGXFSZ kills the process without a message",
                    human_bytes(least)
                ),
                remedy: "ulimit -f unlimited, LimitFSIZE=infinity in a systemd unit".into(),
            })
        })
    }

    /// Returns the finding of HP415. DPDK polls, so it uses up any limit while it waits for frames. A guest of QEMU may be idle.
    fn cpu_time(&self, limit: &Reading<Limit>) -> Finding {
        let seconds = |value: u64| format!("{value} s");
        judge(HP415, limit, seconds, |limit| {
            let Some(soft) = limit.soft else { return Ok("no limit".to_owned()) };
            let (outcome, uses) = if self.request.workload.uses_dpdk() {
                (Outcome::Fail, "a thread that polls uses a second of it each second")
            } else {
                (Outcome::Warn, "the guest uses it up")
            };
            Err(Short {
                outcome,
                summary: format!("RLIMIT_CPU is {soft} s: then SIGXCPU kills the workload; {uses}"),
                expected: "no limit".to_owned(),
                remedy: "ulimit -t unlimited, LimitCPU=infinity in a systemd unit".into(),
            })
        })
    }

    fn capabilities(&self) -> Finding {
        let name = |bit| self.has(bit).map(|has| if has { "has" } else { "lacks" });
        let (Some(lock), Some(nice)) = (name(CAP_IPC_LOCK), name(CAP_SYS_NICE)) else {
            let why = self.inventory.privileges.capabilities.why_unknown().unwrap_or_default();
            let because =
                Because::new("the capabilities of this process can be read", why).remedy("mount /proc");
            return Finding::not_pass(HP408, None, Outcome::Unknown, format!("not known: {why}"), because);
        };
        Finding::pass(HP408, None, format!("none is needed ({lock} CAP_IPC_LOCK, {nice} CAP_SYS_NICE)"))
    }

    /// Returns whether CAP_IPC_LOCK lets this process lock memory beyond the limit. The kernel asks for it in the initial user
    /// namespace (`can_do_mlock()` in `mm/mlock.c`).
    fn may_lock(&self) -> Option<bool> {
        match self.inventory.privileges.host_users {
            Reading::Known(false) => Some(false),
            _ => self.has(CAP_IPC_LOCK),
        }
    }

    fn has(&self, capability: u32) -> Option<bool> {
        self.inventory.privileges.capabilities.get().map(|set| set & (1 << capability) != 0)
    }

    /// Returns how many memseg lists DPDK has for the smallest page size in use. A directory has one page size. If the
    /// number of NUMA nodes is not known, one is assumed.
    fn lists_of_pages(&self) -> u64 {
        let bytes = self.memory.smallest_page.saturating_mul(DPDK_PAGES_PER_LIST).min(DPDK_BYTES_PER_LIST);
        DPDK_RESERVED_PER_TYPE.div_ceil(bytes.max(1)).saturating_mul(self.numa_nodes().unwrap_or(1))
    }

    /// Returns the number of NUMA nodes that DPDK knows, which are those with a CPU; 1 if the kernel has no nodes. The error
    /// says why it is not known.
    fn numa_nodes(&self) -> Result<u64, &str> {
        match &self.inventory.nodes {
            Reading::Known(nodes) => {
                let has_no_cpu = |node: &&NumaNode| node.cpus.known().is_some_and(Vec::is_empty);
                Ok(number(nodes.iter().filter(|node| !has_no_cpu(node)).count()))
            }
            Reading::Absent => Ok(1),
            nodes => Err(nodes.why_unknown().unwrap_or_default()),
        }
    }

    /// Returns the bytes of address space that DPDK reserves before it maps the first page.
    fn reserved_addresses(&self) -> Result<u64, &str> {
        let sizes = match &self.inventory.pools {
            _ if self.request.directory.is_some() => 1,
            Reading::Known(pools) => number(pools.len()),
            pools => return Err(pools.why_unknown().unwrap_or_default()),
        };
        let types = sizes.saturating_mul(self.numa_nodes()?);
        Ok(DPDK_RESERVED_PER_TYPE.saturating_mul(types).min(DPDK_RESERVED_AT_MOST))
    }
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX).max(1)
}

/// Returns the finding that `decide` makes from the limit, or `unknown` if the limit is not known. `show` formats a
/// value of the limit.
fn judge(
    id: CheckId,
    limit: &Reading<Limit>,
    show: impl Fn(u64) -> String,
    decide: impl FnOnce(Limit) -> Result<String, Short>,
) -> Finding {
    let Some(limit) = limit.get() else {
        let why = limit.why_unknown().unwrap_or_default();
        let because = Because::new("the limit can be read", why).remedy("mount /proc, or see getrlimit(2)");
        return Finding::not_pass(id, None, Outcome::Unknown, format!("not known: {why}"), because);
    };
    let finding = match decide(limit) {
        Ok(summary) => Finding::pass(id, None, summary),
        Err(Short { outcome, summary, expected, remedy }) => {
            let shown = |value: Option<u64>| value.map_or("no limit".to_owned(), &show);
            let seen = format!("soft {}, hard {}", shown(limit.soft), shown(limit.hard));
            Finding::not_pass(id, None, outcome, summary, Because { expected, seen, remedy })
        }
    };
    finding.with("limit", limit)
}

#[cfg(test)]
mod tests;
