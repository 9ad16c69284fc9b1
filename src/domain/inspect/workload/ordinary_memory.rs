//! HP410: whether the memory limit of the cgroup leaves room for what the workload needs beside its huge pages.

use super::super::super::catalogue::HP410;
use super::super::super::cgroup::LimitRoom;
use super::super::super::check::{Because, Finding, Outcome};
use super::super::super::footprint;
use super::super::super::memory_cgroup::MemoryCgroup;
use super::super::super::reading::Reading;
use super::super::super::request::PageCount;
use super::super::super::size::human_bytes;
use super::super::common::{MOUNT_CGROUPS, as_far_as_visible, most_reclaimed};
use super::super::payer::Payer;
use super::{DPDK_RESERVED_AT_MOST, Judge};

/// How much of the memory hugeprobe may have itself while it tries how much can be charged, in bytes.
const OWN_MEMORY: u64 = 4 << 20;
const UNLESS_CACHED: &str = ", unless its files are already cached";
const CANNOT_BE_READ: &str = "the memory limit cannot be read";

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
        let processes = self.processes_in_this_cgroup();
        let in_this_cgroup = || {
            let roles = processes.iter().filter(|process| **process != Payer::This);
            let needs = self.request.need.iter().chain(roles.flat_map(|role| role.needs(self.request)));
            self.in_this_cgroup(self.charge(&processes, needs))
        };
        let of_this = (!processes.is_empty() || !self.request.need.is_empty()).then(in_this_cgroup);
        let of_roles =
            self.described().filter_map(|role| Some((role, self.memory_of(role)?))).map(|(role, cgroup)| {
                self.judge_memory(role, cgroup, self.charge(&[role], role.needs(self.request)))
            });
        of_this.into_iter().chain(of_roles).reduce(Finding::or_worse).unwrap_or_else(in_this_cgroup)
    }

    /// Returns how many bytes of ordinary memory to try: what the processes in this cgroup need, if a limit of it, or of a
    /// parent, may be hidden. `None` if every limit is known.
    pub(super) fn memory_to_try(&self) -> Option<u64> {
        let hidden = match &self.inventory.memory_cgroup {
            Reading::Known(cgroup) => !cgroup.complete || !cgroup.not_known().is_empty(),
            Reading::Absent => false,
            Reading::Unreadable(_) | Reading::Malformed(_) => true,
        };
        let processes = self.processes_in_this_cgroup();
        (hidden && !processes.is_empty()).then(|| self.charge(&processes, []).with_files)
    }

    /// Returns the roles of which an option says what they need.
    pub(super) fn described(&self) -> impl Iterator<Item = Payer> {
        Payer::ROLES.into_iter().filter(|role| !role.needs(self.request).is_empty())
    }

    /// Returns the memory cgroup of the role; `None` if it has no separate one.
    fn memory_of(&self, role: Payer) -> Option<&MemoryCgroup> {
        role.role(self.inventory)?.memory.as_ref()
    }

    /// Returns the processes of the workload that are charged to the cgroup of this process. Without roles, the workload is one
    /// process in the place of this one.
    fn processes_in_this_cgroup(&self) -> Vec<Payer> {
        if self.described().next().is_none() {
            return vec![Payer::This];
        }
        self.described().filter(|role| self.memory_of(*role).is_none()).collect()
    }

    /// Returns what these processes with these pages charge to their cgroup.
    fn charge<'a>(&self, processes: &[Payer], needs: impl IntoIterator<Item = &'a PageCount>) -> Charge {
        let locked = (self.request.workload.uses_dpdk() && self.can_lock()).then(|| self.stack());
        let of_process = |process: &Payer, cpus| {
            footprint::memory(self.request, *process == Payer::Frontend, cpus, locked)
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
        let files = if locked.is_some() { footprint::LOCKED_FILES } else { 0 };
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
            Reading::Unreadable(why) | Reading::Malformed(why) => {
                self.hidden_limit(&self.inventory.memory_tried, charge, why)
            }
        }
    }

    fn judge_memory(&self, payer: Payer, cgroup: &MemoryCgroup, charge: Charge) -> Finding {
        let Charge { needed, sure, with_files } = charge;
        let above = as_far_as_visible(cgroup.complete);
        let (limit, tried) = match payer {
            Payer::This => ("the memory limit".to_owned(), &self.inventory.memory_tried),
            role => (format!("the memory limit of {}", role.name()), &Reading::Absent),
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
                        Outcome::Warn => UNLESS_CACHED,
                        Outcome::Unknown =>
                            " if it may use all CPUs that Linux can have: their number is not known",
                        _ => "",
                    }
                );
                Finding::not_pass(HP410, None, outcome, summary, because)
            }
            _ if matches!(tried, Reading::Known(Some(_))) => self.hidden_limit(tried, charge, ""),
            _ if !cgroup.not_known().is_empty() => {
                self.hidden_limit(tried, charge, cgroup.not_known().first().map_or("", String::as_str))
            }
            _ if let Some(high) =
                cgroup.tightest_high(most_reclaimed(self.inventory)).filter(|high| high.left < needed) =>
            {
                self.slowed(&high, needed)
            }
            None => Finding::pass(HP410, None, format!("no memory limit{above}")),
            Some(room) => {
                Finding::pass(HP410, None, format!("{limit} has room for {}{above}", human_bytes(room.left)))
            }
        };
        finding.with("memory", cgroup)
    }

    /// Judges a `memory.high` that is too low for the workload. The kernel kills nothing there, so this is a warning.
    fn slowed(&self, high: &LimitRoom, needed: u64) -> Finding {
        let summary = format!(
            "{} has room for {}; {} needs at least {} beside huge pages, and above the file's value the kernel slows it down",
            high.file,
            human_bytes(high.left),
            self.request.workload,
            human_bytes(needed)
        );
        let seen = format!("{} is {}", high.file, human_bytes(high.limit));
        let because = Because::new(format!("room for {}", human_bytes(needed)), seen);
        let raised = high.limit.saturating_sub(high.left).saturating_add(needed);
        let remedy = format!("raise {} to {raised} bytes or more", high.file);
        Finding::not_pass(HP410, None, Outcome::Warn, summary, because.remedy(remedy))
    }

    /// Judges by what was tried, because a limit is hidden. `why` says why it cannot be read, if that is known.
    fn hidden_limit(&self, tried: &Reading<Option<u64>>, charge: Charge, why: &str) -> Finding {
        let Charge { needed, with_files, .. } = charge;
        let has = |charged: u64, bytes| charged.saturating_add(OWN_MEMORY) >= bytes;
        let (outcome, limit, wanted, seen) = match tried {
            Reading::Known(charged) if charged.is_none_or(|charged| has(charged, with_files)) => {
                return Finding::pass(HP410, None, "as much memory as needed can be charged".to_owned());
            }
            Reading::Known(charged) => {
                let charged = charged.unwrap_or(0);
                let (outcome, wanted) =
                    if has(charged, needed) { (Outcome::Warn, with_files) } else { (Outcome::Fail, needed) };
                let limit = format!("only {} can be charged", human_bytes(charged));
                let seen = "EBUSY of madvise(MADV_COLLAPSE): a limit that cannot be read from here";
                (outcome, limit, wanted, seen.to_owned())
            }
            // A captured tree, or the cgroup of a role: nothing can be tried there.
            Reading::Absent => (Outcome::Warn, CANNOT_BE_READ.to_owned(), needed, why.to_owned()),
            Reading::Unreadable(error) | Reading::Malformed(error) => {
                let seen = format!("{why}; and it cannot be tried: {error}");
                (Outcome::Unknown, CANNOT_BE_READ.to_owned(), needed, seen)
            }
        };
        let files = match (tried, outcome) {
            (Reading::Known(_), Outcome::Warn) => UNLESS_CACHED,
            _ => "",
        };
        let wanted = human_bytes(wanted);
        let who = self.request.workload;
        let summary = format!("{limit}; {who} needs at least {wanted} beside huge pages{files}");
        let because = Because::new(format!("room for {wanted}"), seen).remedy(MOUNT_CGROUPS);
        Finding::not_pass(HP410, None, outcome, summary, because)
    }

    /// Returns whether mlockall succeeds, as far as is known.
    fn can_lock(&self) -> bool {
        let limit = self.inventory.limits.memlock.get().and_then(|limit| limit.soft);
        self.may_lock() == Some(true) || limit.is_none_or(|soft| soft >= DPDK_RESERVED_AT_MOST)
    }
}
