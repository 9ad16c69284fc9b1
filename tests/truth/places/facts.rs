//! What this machine has. It decides which faults are drawn here, and which workloads.

use std::collections::BTreeSet;
use std::path::Path;

use crate::context::{ovs, program_or_missing};
use crate::nodes;
use crate::workload::Kind;

/// Something that a fault or a workload needs and that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Two NUMA nodes with memory.
    Nodes,
    /// A NUMA node without memory.
    EmptyNode,
    /// A NUMA node that has memory and no CPU.
    NodeWithoutCpu,
    /// The pids and memory controllers.
    Controllers,
    /// The cpuset controller.
    Cpuset,
    /// Huge pages count against memory.max (`memory_hugetlb_accounting`).
    Accounting,
    Qemu,
    Ovs,
    /// No other program of the machine feels a sysctl: an emulated machine.
    Alone,
}

/// The needs that a machine fulfils.
#[derive(Debug, Clone)]
pub(crate) struct Facts(BTreeSet<Need>);

const ALL: [Need; 9] = [
    Need::Nodes,
    Need::EmptyNode,
    Need::NodeWithoutCpu,
    Need::Controllers,
    Need::Cpuset,
    Need::Accounting,
    Need::Qemu,
    Need::Ovs,
    Need::Alone,
];

// === impl Facts ===

impl Facts {
    /// Returns the facts of this machine.
    pub(crate) fn of_this_machine() -> Self {
        Self(ALL.into_iter().filter(|need| need.is_met()).collect())
    }

    /// Returns the facts of a machine that has everything.
    pub(crate) fn all() -> Self {
        Self(ALL.into())
    }

    /// Returns the facts of a machine with one NUMA node and every program.
    pub(crate) fn of_one_node() -> Self {
        Self([Need::Controllers, Need::Cpuset, Need::Qemu, Need::Ovs].into())
    }

    pub(crate) fn has(&self, need: Need) -> bool {
        self.0.contains(&need)
    }

    /// Returns whether the programs of a workload are there.
    pub(crate) fn runs(&self, kind: Kind) -> bool {
        match kind {
            Kind::QemuMemfd | Kind::QemuDir | Kind::QemuLazy => self.has(Need::Qemu),
            Kind::Ovs => self.has(Need::Ovs),
            _ => true,
        }
    }
}

// === impl Need ===

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Nodes => nodes::with_memory().len() > 1,
            Self::EmptyNode => nodes::without_memory().is_some(),
            Self::NodeWithoutCpu => nodes::without_cpu().is_some(),
            Self::Controllers => has_controller("pids") && has_controller("memory"),
            Self::Cpuset => has_controller("cpuset"),
            Self::Accounting => {
                let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
                mounts.contains("memory_hugetlb_accounting")
            }
            Self::Alone => std::env::var_os("HUGEPROBE_ALONE").is_some(),
            Self::Qemu => program_or_missing("qemu-system-x86_64").is_ok(),
            Self::Ovs => Path::new(ovs::VSWITCHD).exists() && program_or_missing("ovsdb-server").is_ok(),
        }
    }
}

/// Returns whether a controller is mounted as v1, or on cgroup v2.
fn has_controller(name: &str) -> bool {
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    Path::new("/sys/fs/cgroup").join(name).join("cgroup.procs").exists()
        || v2.split_whitespace().any(|controller| controller == name)
}
