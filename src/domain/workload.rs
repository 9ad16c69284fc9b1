//! The workloads for which limits are judged.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The workload for which the limits are judged. docs/reference/workloads.md says what each workload needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// A DPDK process that keeps its pages in few files (`--single-file-segments`), such as testpmd in the truth table. What
    /// DPDK needs without that option beyond it is a warning.
    #[default]
    Dpdk,
    /// A DPDK process with a file for each page, which is DPDK's default: VPP, Open vSwitch.
    #[serde(rename = "dpdk:file-per-page")]
    DpdkFilePerPage,
    /// A DPDK process with `--legacy-mem` and `--huge-dir`, which takes all its pages at start, in a file each.
    #[serde(rename = "dpdk:legacy-mem")]
    DpdkLegacyMem,
    /// QEMU with memory-backend-file or memory-backend-memfd.
    Qemu,
    /// Open vSwitch with DPDK, which uses `--in-memory` and a file for each page.
    Ovs,
}

/// The program that a workload is, whatever its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// testpmd, or another DPDK process like it.
    Dpdk,
    /// Open vSwitch with DPDK.
    Ovs,
    /// QEMU.
    Qemu,
}

// === impl Workload ===

impl Workload {
    /// Returns the program that the workload is.
    #[must_use]
    pub const fn program(self) -> Program {
        match self {
            Self::Dpdk | Self::DpdkFilePerPage | Self::DpdkLegacyMem => Program::Dpdk,
            Self::Ovs => Program::Ovs,
            Self::Qemu => Program::Qemu,
        }
    }

    /// Returns whether DPDK allocates the memory of the workload.
    #[must_use]
    pub const fn uses_dpdk(self) -> bool {
        matches!(self.program(), Program::Dpdk | Program::Ovs)
    }

    /// Returns whether each page has a file of its own, which stays open.
    #[must_use]
    pub const fn has_file_per_page(self) -> bool {
        matches!(self, Self::DpdkFilePerPage | Self::DpdkLegacyMem | Self::Ovs)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dpdk => "dpdk",
            Self::DpdkFilePerPage => "dpdk:file-per-page",
            Self::DpdkLegacyMem => "dpdk:legacy-mem",
            Self::Qemu => "qemu",
            Self::Ovs => "ovs",
        })
    }
}
