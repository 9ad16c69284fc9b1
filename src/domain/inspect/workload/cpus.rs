//! HP414: whether DPDK and Open vSwitch find the CPUs that they may use.

use super::super::super::catalogue::HP414;
use super::super::super::check::{Because, Finding, Outcome};
use super::super::super::reading::Reading;
use super::super::super::request::Program;
use super::super::about::untold;
use super::Judge;

impl Judge<'_> {
    pub(super) fn cpus_in_sysfs(&self) -> Finding {
        let program = self.request.workload.program();
        let found = &self.inventory.cpus_in_sysfs;
        let core_id = Place {
            who: "DPDK",
            expected: "/sys/devices/system/cpu/cpuN/topology/core_id of a CPU that this process may use",
            found: &found.with_core_id,
        };
        let node = Place {
            who: "Open vSwitch",
            expected: "a CPU of a NUMA node in /sys/devices/system/node",
            found: &found.on_a_node,
        };
        match program {
            Program::Qemu => Finding::pass(HP414, None, "QEMU does not look for CPUs in /sys"),
            Program::Dpdk => core_id.judge(),
            Program::Ovs => match (core_id.judge(), &found.on_a_node) {
                // Without NUMA support, Open vSwitch takes the CPUs of /sys/devices/system/cpu.
                (of_dpdk, Reading::Absent) => of_dpdk,
                (of_dpdk, _) if of_dpdk.outcome != Outcome::Pass => of_dpdk,
                (_, _) => node.judge(),
            },
        }
    }
}

/// A place in which a program looks for its CPUs.
struct Place<'a> {
    who: &'a str,
    expected: &'a str,
    found: &'a Reading<bool>,
}

impl Place<'_> {
    fn judge(&self) -> Finding {
        match self.found {
            Reading::Known(true) => Finding::pass(HP414, None, format!("{} finds its CPUs", self.who)),
            Reading::Known(false) => Finding::not_pass(
                HP414,
                None,
                Outcome::Fail,
                format!("{} finds no CPU in /sys", self.who),
                Because::new(self.expected, "none is there"),
            ),
            Reading::Absent => Finding::skip(HP414, None, "a captured tree does not show the CPUs"),
            Reading::Unreadable(why) | Reading::Malformed(why) => untold(HP414, None, why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::inventory::{CpusInSysfs, Inventory};
    use super::super::super::super::request::{Request, Workload};
    use super::*;
    use crate::inspect::workload;
    use Outcome::{Fail, Pass, Skip, Unknown};

    #[test]
    fn dpdk_looks_in_one_place_and_open_vswitch_in_two() {
        let unreadable = || Reading::Unreadable("EACCES".to_owned());
        for (with_core_id, on_a_node, dpdk, ovs) in [
            (Reading::Known(true), Reading::Known(true), Pass, Pass),
            (Reading::Known(true), Reading::Absent, Pass, Pass),
            (Reading::Known(true), Reading::Known(false), Pass, Fail),
            (Reading::Known(true), unreadable(), Pass, Unknown),
            (Reading::Known(false), Reading::Known(true), Fail, Fail),
            (unreadable(), Reading::Known(true), Unknown, Unknown),
            (Reading::Absent, Reading::Known(true), Skip, Skip),
        ] {
            let cpus_in_sysfs = CpusInSysfs { with_core_id, on_a_node };
            for (workload, outcome) in [(Workload::Dpdk, dpdk), (Workload::Ovs, ovs), (Workload::Qemu, Pass)]
            {
                let inventory = Inventory { cpus_in_sysfs: cpus_in_sysfs.clone(), ..Inventory::default() };
                let request = Request { workload, ..Request::default() };
                let found = workload::inspect(&inventory, &request);
                let finding = found.iter().find(|finding| finding.id == HP414).unwrap();
                assert_eq!(finding.outcome, outcome, "{workload} {cpus_in_sysfs:?}");
            }
        }
    }
}
