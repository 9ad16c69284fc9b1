//! HP410: whether the memory limit of the cgroup leaves room for what the workload needs beside its huge pages.

use super::super::super::catalogue::HP410;
use super::super::super::check::{Because, Finding, Outcome};
use super::super::super::footprint;
use super::super::super::memory_cgroup::MemoryCgroup;
use super::super::super::reading::Reading;
use super::super::super::request::{PageCount, Program};
use super::super::super::size::human_bytes;
use super::super::common::{MOUNT_CGROUPS, as_far_as_visible, most_reclaimed};
use super::{DPDK_RESERVED_AT_MOST, Judge};

impl Judge<'_> {
    /// HP410. Memory that the kernel can reclaim counts as room, such as the page cache of other processes.
    pub(super) fn ordinary_memory(&self, cgroup: &Reading<MemoryCgroup>) -> Finding {
        let request = self.request;
        let locked = request.workload.program() == Program::Dpdk && self.can_lock();
        let needed = footprint::memory(request, locked).saturating_add(self.pages_that_count());
        let with_files = if locked { needed.saturating_add(footprint::LOCKED_FILES) } else { needed };
        let cgroup = match cgroup {
            Reading::Known(cgroup) => cgroup,
            Reading::Absent => return Finding::pass(HP410, None, "no memory cgroup controller, so no limit"),
            Reading::Unreadable(why) | Reading::Malformed(why) => return self.memory_unreadable(needed, why),
        };
        let above = as_far_as_visible(cgroup.complete);
        let finding = match cgroup.tightest(most_reclaimed(self.inventory)) {
            Some(room) if room.left < with_files => {
                let (outcome, wanted) =
                    if room.left < needed { (Outcome::Fail, needed) } else { (Outcome::Warn, with_files) };
                let seen = format!(
                    "{} is {}, with {} in use",
                    room.file,
                    human_bytes(room.limit),
                    room.usage.map_or("an unknown amount".to_owned(), human_bytes)
                );
                let because =
                    Because::new(format!("room for {}", human_bytes(wanted)), seen).remedy(format!(
                        "raise {} to {} bytes or more",
                        room.file,
                        room.limit.saturating_sub(room.left).saturating_add(wanted)
                    ));
                let summary = format!(
                    "the memory limit has room for {}; {} needs at least {} beside huge pages{}",
                    human_bytes(room.left),
                    request.workload,
                    human_bytes(wanted),
                    if outcome == Outcome::Warn { ", unless its files are already cached" } else { "" }
                );
                Finding::not_pass(HP410, None, outcome, summary, because)
            }
            _ if !cgroup.not_known().is_empty() => {
                self.memory_unreadable(needed, cgroup.not_known().first().map_or("", String::as_str))
            }
            None => Finding::pass(HP410, None, format!("no memory limit{above}")),
            Some(room) => Finding::pass(
                HP410,
                None,
                format!("the memory limit has room for {}{above}", human_bytes(room.left)),
            ),
        };
        finding.with("memory", cgroup)
    }

    fn memory_unreadable(&self, needed: u64, why: &str) -> Finding {
        let summary = format!(
            "the memory limit cannot be read; {} needs at least {} beside huge pages",
            self.request.workload,
            human_bytes(needed)
        );
        let because = Because::new(format!("room for {}", human_bytes(needed)), why).remedy(MOUNT_CGROUPS);
        Finding::not_pass(HP410, None, Outcome::Warn, summary, because)
    }

    /// Returns the bytes of huge pages that count against the limit as well: all that are needed, if cgroup v2 is mounted with
    /// `memory_hugetlb_accounting`.
    fn pages_that_count(&self) -> u64 {
        if self.inventory.memory_cgroup.known().is_none() {
            return 0;
        }
        self.request.needs().map(PageCount::bytes).fold(0, u64::saturating_add)
    }

    /// Returns whether mlockall succeeds, as far as is known.
    fn can_lock(&self) -> bool {
        let limit = self.inventory.limits.memlock.get().and_then(|limit| limit.soft);
        self.may_lock() == Some(true) || limit.is_none_or(|soft| soft >= DPDK_RESERVED_AT_MOST)
    }
}
