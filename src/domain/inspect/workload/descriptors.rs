//! HP404: whether RLIMIT_NOFILE is enough for the workload's descriptors.

use super::super::super::catalogue::HP404;
use super::super::super::check::{Finding, Outcome};
use super::super::super::inventory::Limit;
use super::super::super::reading::Reading;
use super::super::super::request::Program;
use super::super::common::count;
use super::{Judge, Short, judge};

/// Descriptors that a DPDK backend needs with one memory file of its own and one of its peer, and how many more it
/// needs with `--huge-dir`. The files that describe its memseg lists are not included.
const DPDK_FILES: u64 = 25;
const DPDK_FILES_MORE_WITH_DIR: u64 = 3;
/// How many of these descriptors are the memory files. Without `--single-file-segments` there is one file per page
/// instead.
const DPDK_FILES_OF_MEMORY: u64 = 2;
/// Descriptors that EAL needs until it has raised the soft limit to the hard limit.
const DPDK_FILES_TO_START: u64 = 10;
const DPDK_FILES_TO_START_MORE_WITH_DIR: u64 = 2;
/// Descriptors that Open vSwitch needs with two vhost-user ports, in addition to one for each page of its own and one for
/// each memory region of its peers.
const OVS_FILES: u64 = 57;
/// How many more it may need: it opens files for a moment, and whether frames arrive with these depends on chance.
const OVS_FILES_FOR_A_MOMENT: u64 = 8;
const OVS_PORTS: u64 = 2;
/// The most regions of the memory table of one port.
const OVS_REGIONS_OF_PORT: u64 = 8;
/// Descriptors that QEMU needs in addition to one per memory backend. QEMU 7.2 does not raise its soft limit.
const QEMU_FILES: u64 = 17;

impl Judge<'_> {
    pub(super) fn nofile(&self, limit: &Reading<Limit>) -> Finding {
        judge(HP404, limit, descriptors, |limit| {
            let (soft, hard) = (limit.soft.unwrap_or(u64::MAX), limit.hard.unwrap_or(u64::MAX));
            let (enforced, judged) = match self.request.workload.program() {
                Program::Dpdk => (hard, self.nofile_of_dpdk(soft, hard)),
                Program::Ovs => (hard, self.nofile_of_vswitch(soft, hard)),
                Program::Qemu => (soft, self.nofile_of_qemu(soft)),
            };
            let inherited = &self.inventory.limits.inherited_files;
            match inherited.why_unknown().filter(|_| inherited.is_trouble() && enforced != u64::MAX) {
                Some(why) if judged.is_ok() => Err(Short {
                    outcome: Outcome::Unknown,
                    summary: format!(
                        "RLIMIT_NOFILE is {}, and the number of inherited descriptors is not known",
                        descriptors(enforced)
                    ),
                    expected: "the inherited descriptors can be counted".to_owned(),
                    remedy: format!("let this process read its own descriptors: {why}"),
                }),
                _ => judged,
            }
        })
    }

    fn nofile_of_qemu(&self, soft: u64) -> Result<String, Short> {
        let least = QEMU_FILES.saturating_add(self.memory.backends).saturating_add(self.inherited(soft));
        if soft >= least {
            return Ok(descriptors(soft));
        }
        Err(Short {
            outcome: Outcome::Fail,
            summary: format!("RLIMIT_NOFILE is {}; QEMU needs at least {least}", descriptors(soft)),
            expected: format!("{least} or more, including {} inherited ones", self.inherited(soft)),
            remedy: format!("ulimit -n {least}, LimitNOFILE={least} in a systemd unit"),
        })
    }

    fn nofile_of_dpdk(&self, soft: u64, hard: u64) -> Result<String, Short> {
        let with_dir = if self.request.directory.is_some() {
            DPDK_FILES_MORE_WITH_DIR.saturating_add(self.lists_of_pages())
        } else {
            0
        };
        let least = (DPDK_FILES + with_dir).saturating_add(self.inherited(hard));
        let a_file_per_page =
            self.memory.pages.saturating_mul(2).saturating_add(least.saturating_sub(DPDK_FILES_OF_MEMORY));
        let least = if self.request.workload.has_file_per_page() { a_file_per_page } else { least };
        let more = if self.request.directory.is_some() { DPDK_FILES_TO_START_MORE_WITH_DIR } else { 0 };
        let to_start = (DPDK_FILES_TO_START + more).saturating_add(self.inherited(soft));
        if soft < to_start {
            Err(self.short_of_files("DPDK", Outcome::Fail, soft, least, ""))
        } else if hard < least {
            Err(self.short_of_files("DPDK", Outcome::Fail, hard, least, ""))
        } else if hard < a_file_per_page {
            let when = " without --single-file-segments";
            Err(self.short_of_files("DPDK", Outcome::Warn, hard, a_file_per_page, when))
        } else {
            Ok(descriptors(hard))
        }
    }

    fn nofile_of_vswitch(&self, soft: u64, hard: u64) -> Result<String, Short> {
        let inherited = self.inherited(hard);
        let own = self.request.need.iter().chain(&self.request.backend_need);
        let pages = own.map(|need| need.pages).reduce(u64::saturating_add).unwrap_or(self.memory.pages);
        let with_regions = |regions| {
            OVS_FILES.saturating_add(OVS_PORTS * regions).saturating_add(pages).saturating_add(inherited)
        };
        let least = with_regions(1);
        let sure = least.saturating_add(OVS_FILES_FOR_A_MOMENT);
        let most = with_regions(OVS_REGIONS_OF_PORT).saturating_add(OVS_FILES_FOR_A_MOMENT);
        let to_start = DPDK_FILES_TO_START.saturating_add(self.inherited(soft));
        let who = "Open vSwitch with two ports";
        if soft < to_start {
            Err(self.short_of_files(who, Outcome::Fail, soft, least, ""))
        } else if hard < least {
            Err(self.short_of_files(who, Outcome::Fail, hard, least, ""))
        } else if hard < sure {
            Err(self.short_of_files(who, Outcome::Unknown, hard, sure, " to be sure"))
        } else if hard < most {
            Err(self.short_of_files(who, Outcome::Warn, hard, most, " if VMs have eight memory regions"))
        } else {
            Ok(descriptors(hard))
        }
    }

    /// Returns what is said where `who` needs `least` descriptors and the limit is `has`.
    fn short_of_files(&self, who: &str, outcome: Outcome, has: u64, least: u64, when: &str) -> Short {
        let hard = self.inventory.limits.nofile.get().and_then(|limit| limit.hard).unwrap_or(u64::MAX);
        Short {
            outcome,
            summary: format!("RLIMIT_NOFILE is {}; {who} needs at least {least}{when}", descriptors(has)),
            expected: format!("{least} or more{when}, including {} inherited ones", self.inherited(hard)),
            remedy: format!("ulimit -n {least}, LimitNOFILE={least} in a systemd unit"),
        }
    }

    /// Returns how many inherited descriptors count against `limit`.
    ///
    /// The workload inherits them from its parent, as this process did. The limit applies to descriptor numbers, so a
    /// descriptor with a higher number does not count.
    fn inherited(&self, limit: u64) -> u64 {
        let inherited = self.inventory.limits.inherited_files.known().map(Vec::as_slice).unwrap_or_default();
        inherited.iter().map(|number| u64::from(*number < limit)).sum()
    }
}

fn descriptors(number: u64) -> String {
    if number == u64::MAX { "no limit".to_owned() } else { count(number, "descriptor") }
}
