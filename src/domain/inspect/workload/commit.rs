//! HP405: whether the kernel lets the workload have its private memory where it does not overcommit
//! (`vm.overcommit_memory=2`).

use super::super::super::catalogue::HP405;
use super::super::super::check::{Because, Finding, Outcome};
use super::super::super::footprint;
use super::super::super::reading::Reading;
use super::super::super::request::Program;
use super::super::super::size::human_bytes;
use super::addresses::{DPDK_DATA, PrivateMemory};
use super::{DPDK_RESERVED_AT_MOST, Judge};

/// The value of `vm.overcommit_memory` with which all private memory counts (OVERCOMMIT_NEVER in the kernel's
/// include/uapi/linux/mman.h).
const NEVER: u64 = 2;

/// How much private memory to try, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateMemoryToTry {
    /// The workload starts with this, whatever is not known of it.
    pub sure: u64,
    /// The workload does not start with less.
    pub least: u64,
    /// The address space of a process of the workload, of which a part is reserved for other processes.
    pub addresses: u64,
}

impl Judge<'_> {
    /// Returns what to try; `None` if `vm.overcommit_memory` is known and not 2.
    pub(super) fn private_memory_to_try(&self) -> Option<PrivateMemoryToTry> {
        if self.inventory.limits.overcommit.get().is_some_and(|mode| mode != NEVER) {
            return None;
        }
        let PrivateMemory { least, sure, .. } = self.private_memory_of_all();
        let addresses = if self.request.workload.uses_dpdk() {
            self.reserved_addresses().unwrap_or(DPDK_RESERVED_AT_MOST)
        } else {
            self.memory.bytes
        };
        Some(PrivateMemoryToTry { sure, least, addresses })
    }

    /// Returns the private memory that the workload needs: of frontend and backend together if both are described.
    fn private_memory_of_all(&self) -> PrivateMemory {
        let one = self.private_memory();
        if self.described().count() < 2 {
            return one;
        }
        let frontend = match self.request.workload.program() {
            Program::Qemu => (one.least, one.sure),
            Program::Dpdk | Program::Ovs => {
                let testpmd = DPDK_DATA
                    .saturating_add(footprint::frontend_stacks(self.request).saturating_mul(self.stack()));
                (testpmd, testpmd)
            }
        };
        PrivateMemory {
            least: one.least.saturating_add(frontend.0),
            sure: one.sure.saturating_add(frontend.1),
            who: one.who,
        }
    }

    /// Returns the finding of HP405 about `vm.overcommit_memory`.
    pub(super) fn committed(&self) -> Finding {
        let PrivateMemory { least, sure, who } = self.private_memory_of_all();
        let pass = || Finding::pass(HP405, None, "the kernel overcommits memory");
        let not_tried = |why: String| {
            (Outcome::Unknown, format!("whether {who} gets its private memory was not tried"), why)
        };
        let (outcome, summary, seen) = match &self.inventory.private_memory_tried {
            Reading::Known(tried) if *tried >= sure => return pass(),
            Reading::Known(tried) => (
                if *tried >= least { Outcome::Unknown } else { Outcome::Fail },
                format!(
                    "the kernel refuses {} of private memory, which {who} needs",
                    human_bytes(least.max(*tried))
                ),
                "ENOMEM of mmap(2), with vm.overcommit_memory=2".to_owned(),
            ),
            Reading::Unreadable(why) | Reading::Malformed(why) => {
                (Outcome::Unknown, format!("private memory of {who} could not be tried"), why.clone())
            }
            // A captured tree: nothing can be tried there.
            Reading::Absent => match &self.inventory.limits.overcommit {
                Reading::Known(NEVER) => not_tried("a captured tree, with vm.overcommit_memory=2".to_owned()),
                Reading::Known(_) | Reading::Absent => return pass(),
                Reading::Unreadable(why) | Reading::Malformed(why) => not_tried(why.clone()),
            },
        };
        let expected = format!("room for {} below CommitLimit of /proc/meminfo", human_bytes(sure));
        let remedy = "sysctl -w vm.overcommit_memory=0, or raise vm.overcommit_ratio or vm.overcommit_kbytes";
        Finding::not_pass(HP405, None, outcome, summary, Because::new(expected, seen).remedy(remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::inventory::{Inventory, Limit, Limits};
    use super::super::super::super::request::{Request, Workload};
    use super::super::private_memory_to_try;
    use super::*;
    use Outcome::{Fail, Pass, Unknown};

    fn inventory(overcommit: Reading<u64>, tried: Reading<u64>) -> Inventory {
        let unlimited = || Reading::Known(Limit { soft: None, hard: None });
        let stack = Reading::Known(Limit { soft: Some(8 << 20), hard: None });
        let limits = Limits {
            cpu_time: unlimited(),
            address_space: unlimited(),
            data: unlimited(),
            stack,
            overcommit,
            ..Limits::default()
        };
        Inventory { limits, private_memory_tried: tried, ..Inventory::default() }
    }

    #[test]
    fn private_memory_is_judged_by_what_was_tried() {
        let qemu = Request { workload: Workload::Qemu, ..Request::default() };
        let of = |request: &Request| {
            private_memory_to_try(&inventory(Reading::Known(2), Reading::Absent), request).unwrap()
        };
        let (dpdk, tcg) = (of(&Request::default()), of(&qemu));
        assert!(dpdk.least == dpdk.sure && tcg.least < tcg.sure, "{dpdk:?} {tcg:?}");
        for (request, mode, tried, outcome) in [
            (Request::default(), Reading::Known(0), Reading::Absent, Pass),
            (Request::default(), Reading::Absent, Reading::Absent, Pass),
            (Request::default(), Reading::Known(2), Reading::Absent, Unknown),
            (Request::default(), Reading::Unreadable("EACCES".into()), Reading::Absent, Unknown),
            (Request::default(), Reading::Known(2), Reading::Unreadable("EPERM".into()), Unknown),
            (Request::default(), Reading::Known(2), Reading::Known(0), Fail),
            (Request::default(), Reading::Known(2), Reading::Known(dpdk.least), Pass),
            (qemu.clone(), Reading::Known(2), Reading::Known(0), Fail),
            (qemu.clone(), Reading::Known(2), Reading::Known(tcg.least), Unknown),
            (qemu, Reading::Known(2), Reading::Known(tcg.sure), Pass),
        ] {
            let inventory = inventory(mode, tried.clone());
            let finding = super::super::inspect(&inventory, &request).into_iter().find(|f| f.id == HP405);
            assert_eq!(finding.unwrap().outcome, outcome, "{tried:?}");
        }
    }

    #[test]
    fn it_is_tried_unless_the_kernel_overcommits() {
        for (mode, is_tried) in [(Some(0), false), (Some(1), false), (Some(2), true), (None, true)] {
            let mode = mode.map_or(Reading::Absent, Reading::Known);
            let to_try =
                private_memory_to_try(&inventory(mode.clone(), Reading::Absent), &Request::default());
            assert_eq!(to_try.is_some(), is_tried, "{mode:?}");
        }
    }

    #[test]
    fn two_processes_need_more_than_one() {
        let inventory = inventory(Reading::Known(2), Reading::Absent);
        let need = || vec!["2Mi=8".parse().unwrap()];
        let both = Request { frontend_need: need(), backend_need: need(), ..Request::default() };
        let least = |request: &Request| private_memory_to_try(&inventory, request).unwrap().least;
        assert_eq!(least(&both) - least(&Request::default()), DPDK_DATA + 4 * (8 << 20));
    }
}
