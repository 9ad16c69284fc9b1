//! HP401 and HP402: the room that the hugetlb cgroups leave for each size, and that the memory cgroup leaves if huge
//! pages count against it.
//!
//! HP403 to HP411: whether the limits of the process suffice for the workload, by the rules in `workload`.

mod memory;

use super::super::catalogue::{HP401, HP402};
use super::super::cgroup::{Headroom, HugetlbCgroup, HugetlbCounterKind, LimitRoom};
use super::super::check::{Because, CheckId, Finding, Outcome};
use super::super::inventory::{Inventory, Pool};
use super::super::reading::Reading;
use super::super::request::{PageCount, Request};
use super::super::role_cgroups::RoleCgroup;
use super::super::size::{PageSize, human_bytes};
use super::common::{MOUNT_CGROUPS, PAGES_OF_ALL_STEPS, as_far_as_visible, count, needed, sum};
use super::payer::Payer;
use super::workload;
pub use super::workload::{PrivateMemoryToTry, memory_to_try, private_memory_to_try};

/// Returns the findings of HP401 and HP402 about `size`, one each: the worst of all cgroups that are charged for pages.
#[must_use]
pub fn inspect(inventory: &Inventory, request: &Request, size: PageSize) -> Vec<Finding> {
    [(HP401, HugetlbCounterKind::Fault), (HP402, HugetlbCounterKind::Reservation)]
        .map(|(id, kind)| {
            let answer = |payer| Question { inventory, request, size, id, kind, payer }.answer();
            let own = answer(Payer::This);
            let of_roles = Payer::ROLES.into_iter().filter(|payer| {
                payer.cgroup(inventory).is_some() && sum(payer.needs(request), size).is_some()
            });
            of_roles.map(answer).fold(own, Finding::or_worse)
        })
        .into()
}

/// Returns the findings of HP403 to HP406, HP408, HP410, HP412, HP414 and HP415, one each. Worker processes try HP407, HP409 and HP411.
#[must_use]
pub fn inspect_machine(inventory: &Inventory, request: &Request) -> Vec<Finding> {
    workload::inspect(inventory, request)
}

/// The question whether one counter of one cgroup leaves enough room for one page size.
struct Question<'a> {
    inventory: &'a Inventory,
    request: &'a Request,
    size: PageSize,
    id: CheckId,
    kind: HugetlbCounterKind,
    payer: Payer,
}

impl Question<'_> {
    /// Returns how many pages of this size are charged to this payer; `None` if no option needs any.
    fn need(&self) -> Option<u64> {
        sum(self.needs(), self.size)
    }

    /// Returns all needs that are charged to this payer, of every page size. A role without a separate cgroup is in the
    /// cgroup of this process.
    fn needs(&self) -> impl Iterator<Item = &PageCount> {
        let roles = Payer::ROLES.into_iter();
        let here = roles
            .filter(|role| self.payer == Payer::This && role.cgroup(self.inventory).is_none())
            .flat_map(|role| role.needs(self.request));
        self.payer.needs(self.request).iter().chain(here)
    }

    fn answer(&self) -> Finding {
        if needed(self.request, self.size).is_none() && self.nothing_there() {
            return Finding::skip(self.id, self.size, "there is no page of this size");
        }
        let of_hugetlb = self.answer_of_hugetlb();
        if self.kind == HugetlbCounterKind::Reservation {
            return of_hugetlb;
        }
        match &self.inventory.huge_pages_count_as_memory {
            Reading::Known(true) => {}
            Reading::Known(false) | Reading::Absent => return of_hugetlb,
            Reading::Unreadable(why) | Reading::Malformed(why) => {
                return of_hugetlb.or_worse(memory::may_count(self.id, self.size, why.clone()));
            }
        }
        let of_memory = |cgroup| memory::Question {
            id: self.id,
            size: self.size,
            inventory: self.inventory,
            cgroup,
            needed: self.needs().map(PageCount::bytes).reduce(u64::saturating_add),
        };
        match (self.payer.role(self.inventory), &self.inventory.memory_cgroup) {
            (Some(RoleCgroup { memory: None, .. }), _) | (None, Reading::Absent) => of_hugetlb,
            (Some(RoleCgroup { memory: Some(cgroup), .. }), _) | (None, Reading::Known(cgroup)) => {
                memory::combine(&of_memory(cgroup), of_hugetlb)
            }
            (None, Reading::Unreadable(why) | Reading::Malformed(why)) => {
                of_hugetlb.or_worse(memory::not_known(self.id, self.size, why.clone()))
            }
        }
    }

    fn answer_of_hugetlb(&self) -> Finding {
        let cgroup = match (self.payer.cgroup(self.inventory), &self.inventory.cgroup) {
            (Some(cgroup), _) | (None, Reading::Known(cgroup)) => cgroup,
            (None, Reading::Absent) => {
                return Finding::pass(self.id, self.size, "no hugetlb cgroup controller, so no limit");
            }
            (None, Reading::Unreadable(why) | Reading::Malformed(why)) => return self.unknown(why.clone()),
        };
        let headroom = cgroup.headroom(self.size, self.kind);
        self.judge(cgroup, &headroom)
            .with("cgroup", &cgroup.path)
            .with("version", cgroup.version)
            .with("complete", cgroup.complete)
            .with("levels", cgroup.counters(self.size, self.kind))
            .with("tightest", &headroom.tightest)
            .with("not_known", &headroom.not_known)
    }

    fn judge(&self, cgroup: &HugetlbCgroup, headroom: &Headroom) -> Finding {
        let need = self.need();
        let room = headroom.tightest.as_ref().map(|room| (room, room.left / self.size.bytes()));
        if let Some((room, pages)) = room.filter(|(_, pages)| *pages < need.unwrap_or(1)) {
            let summary = match need {
                Some(need) => {
                    format!("{} may {} {pages} of the {need} pages needed", self.payer.name(), self.verb())
                }
                None => format!("{} may {} no page", self.payer.name(), self.verb()),
            };
            return self.short(Outcome::Fail, summary, room, need.unwrap_or(1));
        }
        if let Some(why) = headroom.not_known.first() {
            return self.unknown(why.clone());
        }
        let above = as_far_as_visible(cgroup.complete);
        let Some((room, pages)) = room else {
            return Finding::pass(self.id, self.size, format!("no cgroup limit{above}"));
        };
        let free = self.inventory.pool(self.size).and_then(Pool::available);
        if need.is_none() && pages < PAGES_OF_ALL_STEPS {
            let summary = format!("this cgroup may {} only {}", self.verb(), count(pages, "page"));
            return self.short(Outcome::Warn, summary, room, PAGES_OF_ALL_STEPS);
        }
        match free.filter(|free| need.is_none() && pages < *free) {
            Some(free) => {
                let summary = format!("this cgroup may {} {pages} of the {free} free pages", self.verb());
                self.short(Outcome::Warn, summary, room, free)
            }
            None => Finding::pass(self.id, self.size, format!("room for {}{above}", count(pages, "page"))),
        }
    }

    fn short(&self, outcome: Outcome, summary: String, room: &LimitRoom, wanted: u64) -> Finding {
        let usage = room.usage.map_or("an unknown amount".to_owned(), human_bytes);
        let enough =
            room.limit.saturating_sub(room.left).saturating_add(wanted.saturating_mul(self.size.bytes()));
        let because = Because::new(
            format!("room for {}", count(wanted, "page")),
            format!("{} is {}, with {usage} in use", room.file, human_bytes(room.limit)),
        )
        .remedy(format!(
            "raise {} to {enough} bytes; for a container, raise its limit of {}",
            room.file,
            self.size.resource_name()
        ));
        Finding::not_pass(self.id, self.size, outcome, summary, because)
    }

    fn unknown(&self, why: String) -> Finding {
        let summary = format!("the {} limit is not known: {why}", self.noun());
        let because = Because::new(
            format!("every {} limit of the cgroup and its parents can be read", self.noun()),
            why,
        )
        .remedy(MOUNT_CGROUPS);
        Finding::not_pass(self.id, self.size, Outcome::Unknown, summary, because)
    }

    /// Returns whether the kernel does not offer the size, or has no page of it and may not add one.
    fn nothing_there(&self) -> bool {
        match (self.inventory.pools.known(), self.inventory.pool(self.size)) {
            (Some(_), Some(pool)) => pool.total.get() == Some(0) && pool.growable() == Some(0),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    const fn verb(&self) -> &'static str {
        match self.kind {
            HugetlbCounterKind::Fault => "use",
            HugetlbCounterKind::Reservation => "reserve",
        }
    }

    const fn noun(&self) -> &'static str {
        match self.kind {
            HugetlbCounterKind::Fault => "fault",
            HugetlbCounterKind::Reservation => "reservation",
        }
    }
}

#[cfg(test)]
mod tests;
