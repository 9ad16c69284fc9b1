//! HP401, second part: the room that `memory.max` leaves, if cgroup v2 is mounted with `memory_hugetlb_accounting`.

use super::super::super::check::{Because, CheckId, Finding, Outcome};
use super::super::super::inventory::{Inventory, Pool};
use super::super::super::memory_cgroup::{MemoryCgroup, Reclaim};
use super::super::super::size::{PageSize, human_bytes};
use super::super::common::{MOUNT_CGROUPS, PAGES_OF_ALL_STEPS, as_far_as_visible, count, most_reclaimed};

/// The question whether the memory limits of one payer leave enough room.
pub(super) struct Question<'a> {
    pub(super) id: CheckId,
    pub(super) size: PageSize,
    pub(super) inventory: &'a Inventory,
    /// The memory cgroup of the payer.
    pub(super) cgroup: &'a MemoryCgroup,
    /// The bytes that are charged to the payer, of every page size; `None` if no option needs any.
    pub(super) needed: Option<u64>,
}

/// Returns the worse of the findings about the hugetlb limits and about the memory limits.
pub(super) fn combine(question: &Question<'_>, of_hugetlb: Finding) -> Finding {
    let finding = match judge(question) {
        Ok(room) if of_hugetlb.outcome == Outcome::Pass => {
            let summary = format!("{}; {room}", of_hugetlb.summary);
            Finding { summary, ..of_hugetlb }
        }
        Err(of_memory) if of_memory.outcome > of_hugetlb.outcome => *of_memory,
        _ => of_hugetlb,
    };
    finding.with("memory", question.cgroup)
}

/// Returns what there is room for, in a few words, or the finding if that is not a pass.
fn judge(question: &Question<'_>) -> Result<String, Box<Finding>> {
    let (cgroup, size) = (question.cgroup, question.size);
    let needed = question.needed;
    let most = most_reclaimed(question.inventory);
    let left = |reclaim| cgroup.tightest(reclaim).map_or(u64::MAX, |room| room.left);
    let wanted = needed.unwrap_or(size.bytes());
    if left(most) < wanted {
        let left = left(most);
        let summary = match needed {
            Some(_) => format!(
                "memory.max has room for {} of the {} of huge pages needed",
                human_bytes(left),
                human_bytes(wanted)
            ),
            None => format!("memory.max has no room for a page of {size}"),
        };
        return Err(Box::new(short(question, most, Outcome::Fail, summary, wanted)));
    }
    if let Some(why) = cgroup.not_known().into_iter().next() {
        return Err(Box::new(not_known(question.id, size, why)));
    }
    if cgroup.tightest(Reclaim::Nothing).is_none() {
        let above = as_far_as_visible(cgroup.complete);
        return Ok(format!("no memory limit{above}"));
    }
    let pages = |reclaim| left(reclaim) / size.bytes();
    if left(Reclaim::Nothing) < wanted {
        if let Some(why) = cgroup.reclaimable_not_known() {
            return Err(Box::new(not_known(question.id, size, why)));
        }
        let summary = format!(
            "memory.max has room for {} only after the kernel has reclaimed other memory of the cgroup",
            human_bytes(wanted)
        );
        return Err(Box::new(short(question, Reclaim::Nothing, Outcome::Warn, summary, wanted)));
    }
    let free = question.inventory.pool(size).and_then(Pool::available).unwrap_or(0);
    let useful = free.max(PAGES_OF_ALL_STEPS);
    if needed.is_none() && pages(Reclaim::Cache) < useful {
        let summary = format!("memory.max has room for {} of the {free} free pages", pages(Reclaim::Cache));
        let wanted = useful.saturating_mul(size.bytes());
        return Err(Box::new(short(question, Reclaim::Cache, Outcome::Warn, summary, wanted)));
    }
    Ok(format!("memory.max has room for {}", count(pages(Reclaim::Nothing), "page")))
}

fn short(
    question: &Question<'_>,
    reclaim: Reclaim,
    outcome: Outcome,
    summary: String,
    wanted: u64,
) -> Finding {
    let room = question.cgroup.tightest(reclaim);
    let (file, seen, enough) = room.map_or_else(Default::default, |room| {
        let usage = room.usage.map_or("an unknown amount".to_owned(), human_bytes);
        let seen = format!(
            "{} is {}, with {usage} in use. cgroup v2 is mounted with memory_hugetlb_accounting: huge pages count \
             against this limit, and a touch beyond it hangs",
            room.file,
            human_bytes(room.limit)
        );
        let enough = room.limit.saturating_sub(room.left).saturating_add(wanted);
        (room.file, seen, enough)
    });
    let because =
        Because::new(format!("room for {} of huge pages", human_bytes(wanted)), seen).remedy(format!(
            "raise {file} to {enough} bytes or more; for a container, add its huge pages to its memory limit"
        ));
    Finding::not_pass(question.id, question.size, outcome, summary, because)
}

/// Returns the finding if it is not known whether huge pages count against memory.max, for the reason `why`.
pub(super) fn may_count(id: CheckId, size: PageSize, why: String) -> Finding {
    let summary = format!("cannot tell whether huge pages count against memory.max: {why}");
    let because = Because::new("the mount options of cgroup v2 can be read", why).remedy(MOUNT_CGROUPS);
    Finding::not_pass(id, size, Outcome::Unknown, summary, because)
}

/// Returns the finding if a memory limit cannot be read, for the reason `why`.
pub(super) fn not_known(id: CheckId, size: PageSize, why: String) -> Finding {
    let summary = format!("huge pages count against memory.max, which cannot be read: {why}");
    let because =
        Because::new("memory.max and memory.current of the cgroup and its parents can be read", why)
            .remedy(MOUNT_CGROUPS);
    Finding::not_pass(id, size, Outcome::Unknown, summary, because)
}
