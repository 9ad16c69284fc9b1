//! HP410: whether the memory limit of the cgroup leaves room for what the workload needs beside its huge pages.

use super::super::super::catalogue::HP410;
use super::super::super::check::{Because, Finding, Outcome};
use super::super::super::footprint;
use super::super::super::memory_cgroup::MemoryCgroup;
use super::super::super::reading::Reading;
use super::super::super::request::{PageCount, Program};
use super::super::super::size::human_bytes;
use super::super::common::{MOUNT_CGROUPS, as_far_as_visible, most_reclaimed};
use super::super::payer::Payer;
use super::{DPDK_RESERVED_AT_MOST, Judge};

/// What the workload charges to one memory cgroup, in bytes.
#[derive(Clone, Copy)]
struct Charge {
    /// The least ordinary memory of the processes, and their huge pages if those count.
    needed: u64,
    /// The same, where it is not known how many CPUs the workload may use: with the most.
    sure: u64,
    /// `sure` and the files of the workload, if mlockall keeps them in memory.
    with_files: u64,
}

impl Judge<'_> {
    /// Returns the finding of HP410: the worst of all memory cgroups to which the workload is charged. Memory that the
    /// kernel can reclaim counts as room, such as the page cache of other processes.
    pub(super) fn ordinary_memory(&self) -> Finding {
        let own = &self.request.need;
        let is_described = |role: &Payer| !role.needs(self.request).is_empty();
        let described: Vec<Payer> = Payer::ROLES.into_iter().filter(is_described).collect();
        let of_role = |role: &Payer| Some((*role, role.role(self.inventory)?.memory.as_ref()?));
        let here: Vec<Payer> = described.iter().filter(|role| of_role(role).is_none()).copied().collect();
        // Without roles, the workload is one process in the place of this one.
        let processes = if described.is_empty() { vec![Payer::This] } else { here.clone() };
        let in_this_cgroup = || {
            let needs = own.iter().chain(here.iter().flat_map(|role| role.needs(self.request)));
            self.in_this_cgroup(self.charge(&processes, needs))
        };
        let of_this = (!processes.is_empty() || !own.is_empty()).then(in_this_cgroup);
        let of_roles = described.iter().filter_map(of_role).map(|(role, cgroup)| {
            self.judge_memory(role, cgroup, self.charge(&[role], role.needs(self.request)))
        });
        let worse = |one: Finding, other: Finding| if other.outcome > one.outcome { other } else { one };
        of_this.into_iter().chain(of_roles).reduce(worse).unwrap_or_else(in_this_cgroup)
    }

    /// Returns what these processes with these pages charge to their cgroup.
    fn charge<'a>(&self, processes: &[Payer], needs: impl IntoIterator<Item = &'a PageCount>) -> Charge {
        let locked = self.request.workload.uses_dpdk() && self.can_lock();
        let of_process = |process: &Payer, cpus| {
            if self.request.workload.program() == Program::Ovs && *process != Payer::Frontend {
                footprint::vswitch_memory(cpus, locked)
            } else {
                footprint::memory(self.request, locked)
            }
        };
        let of_processes =
            |cpus| processes.iter().map(|process| of_process(process, cpus)).fold(0, u64::saturating_add);
        let (fewest, most) = self.cpus();
        let pages = if self.inventory.huge_pages_count_as_memory.get() == Some(true) {
            needs.into_iter().map(PageCount::bytes).fold(0, u64::saturating_add)
        } else {
            0
        };
        let sure = of_processes(most).saturating_add(pages);
        let files = if locked { footprint::LOCKED_FILES } else { 0 };
        Charge {
            needed: of_processes(fewest).saturating_add(pages),
            sure,
            with_files: sure.saturating_add(files),
        }
    }

    fn in_this_cgroup(&self, charge: Charge) -> Finding {
        match &self.inventory.memory_cgroup {
            Reading::Known(cgroup) => self.judge_memory(Payer::This, cgroup, charge),
            Reading::Absent => Finding::pass(HP410, None, "no memory cgroup controller, so no limit"),
            Reading::Unreadable(why) | Reading::Malformed(why) => self.memory_unreadable(charge.needed, why),
        }
    }

    fn judge_memory(&self, payer: Payer, cgroup: &MemoryCgroup, charge: Charge) -> Finding {
        let Charge { needed, sure, with_files } = charge;
        let above = as_far_as_visible(cgroup.complete);
        let limit = match payer {
            Payer::This => "the memory limit".to_owned(),
            role => format!("the memory limit of {}", role.name()),
        };
        let finding = match cgroup.tightest(most_reclaimed(self.inventory)) {
            Some(room) if room.left < with_files => {
                let (outcome, wanted) = match room.left {
                    left if left < needed => (Outcome::Fail, needed),
                    left if left < sure => (Outcome::Unknown, sure),
                    _ => (Outcome::Warn, with_files),
                };
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
                    "{limit} has room for {}; {} needs at least {} beside huge pages{}",
                    human_bytes(room.left),
                    self.request.workload,
                    human_bytes(wanted),
                    match outcome {
                        Outcome::Warn => ", unless its files are already cached",
                        Outcome::Unknown =>
                            " if it may use all CPUs that Linux can have: their number is not known",
                        _ => "",
                    }
                );
                Finding::not_pass(HP410, None, outcome, summary, because)
            }
            _ if !cgroup.not_known().is_empty() => {
                self.memory_unreadable(needed, cgroup.not_known().first().map_or("", String::as_str))
            }
            None => Finding::pass(HP410, None, format!("no memory limit{above}")),
            Some(room) => {
                Finding::pass(HP410, None, format!("{limit} has room for {}{above}", human_bytes(room.left)))
            }
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

    /// Returns whether mlockall succeeds, as far as is known.
    fn can_lock(&self) -> bool {
        let limit = self.inventory.limits.memlock.get().and_then(|limit| limit.soft);
        self.may_lock() == Some(true) || limit.is_none_or(|soft| soft >= DPDK_RESERVED_AT_MOST)
    }
}
