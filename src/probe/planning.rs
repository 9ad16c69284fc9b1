//! Makes the plan from the inventory and the request: the sizes to check, the checks of each size, and the workers to
//! run.

mod facts;
mod job;
mod one_size;
mod pages;

use hugeprobe_allocation::{AllocationTask, Footprint, HugeDirectory};
use hugeprobe_domain::catalogue::{HP306, HP407, HP409, HP411};
use hugeprobe_domain::footprint;
use hugeprobe_domain::inventory::{DirectoryKind, Inventory, Pool};
use hugeprobe_domain::plan::{NotRun, PHASE, Plan, PlannedCheck, PlannedWorker, Role, Weight};
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::request::Request;
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::map::CpuMask;

use super::assignment::Work;
use facts::SizeFacts;
use job::{CAPTURED, item, task};
pub use job::{Job, PodPages};
use one_size::SizePlan;

/// Why HP306 is skipped with `--dir`.
const ONE_DIRECTORY: &str = "with --huge-dir, DPDK locks that directory alone";

/// Which sizes are looked at: those of `--size`; else those that other options name and every size with pages,
/// overcommit, or a place on the boot command line. With `--dir` alone, the size of that directory. Without any of these,
/// the kernel's default size for `--dir` and `--peer`.
#[must_use]
pub fn sizes(inventory: &Inventory, request: &Request) -> Vec<PageSize> {
    if !request.sizes.is_empty() {
        return request.named_sizes();
    }
    let named = request.named_sizes();
    if named.is_empty()
        && let Some(directory) = &inventory.directory
        && let Some(DirectoryKind::Hugetlbfs { size, .. }) = directory.kind.known()
    {
        return vec![*size];
    }
    let mut sizes = named;
    sizes.extend(
        inventory
            .pools
            .known()
            .into_iter()
            .flatten()
            .filter(|pool| pool.may_have_pages())
            .map(|pool| pool.size),
    );
    sizes.extend(boot_sizes(inventory));
    // What was named is judged although no pool has pages.
    if sizes.is_empty() && (request.directory.is_some() || request.peer.is_some()) {
        sizes.extend(inventory.default_size.get());
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Returns the plan for `sizes` and the workers that it needs, in the order in which they run.
///
/// `live` is false for a captured tree, where nothing can be tried. `seed` determines the bytes that frontend and
/// backend write.
#[must_use]
pub fn plan(
    inventory: &Inventory,
    request: &Request,
    sizes: &[PageSize],
    live: bool,
    seed: u64,
) -> (Plan, Vec<Job>) {
    let mut plan = Plan { sizes: sizes.to_vec(), ..Plan::default() };
    let mut jobs = Vec::new();
    let captured = (!live).then(|| NotRun::Skipped(CAPTURED.to_owned()));
    let locked = match (locked_by_dpdk(inventory, request), &captured) {
        (Ok(_) | Err(NotRun::Prevented { .. }), Some(captured)) => Err(captured.clone()),
        (locked, _) => locked,
    };
    syscalls(request, captured.clone(), locked, &mut plan, &mut jobs);
    threads(request, captured, &mut plan, &mut jobs);
    for &size in sizes {
        if is_nothing(inventory, request, size) {
            plan.nothing_there.push(size);
        } else {
            SizePlan::new(request, SizeFacts::of(inventory, size, live), seed).add_to(&mut plan, &mut jobs);
        }
    }
    let wanted = |work: &Work| plan.items.iter().any(|item| request.reports(item.id) && concerns(item, work));
    jobs.retain(|job| job.workers.iter().any(wanted));
    (plan, jobs)
}

/// Returns the plan for `size` in a probe pod whose containers may use `pages`, and the workers that it needs. The
/// result is the same for both containers and for the reader of their messages. `--dir` of the request is the pod's
/// hugetlbfs. `no_syscalls` is the reason to skip HP407, if it is skipped.
#[must_use]
pub fn plan_in_pod(
    request: &Request,
    size: PageSize,
    pages: PodPages,
    no_syscalls: Option<String>,
    seed: u64,
) -> (Plan, Vec<Job>) {
    let mut plan = Plan { sizes: vec![size], ..Plan::default() };
    let mut jobs = Vec::new();
    let locked = Err(NotRun::Skipped(ONE_DIRECTORY.to_owned()));
    syscalls(request, no_syscalls.map(NotRun::Skipped), locked, &mut plan, &mut jobs);
    threads(request, None, &mut plan, &mut jobs);
    SizePlan::new(request, SizeFacts::in_pod(size, pages), seed).add_to(&mut plan, &mut jobs);
    (plan, jobs)
}

/// Plans HP407 and HP306, which run once for the machine.
fn syscalls(
    request: &Request,
    not_run: Option<NotRun>,
    locked: Result<Vec<HugeDirectory>, NotRun>,
    plan: &mut Plan,
    jobs: &mut Vec<Job>,
) {
    let duty = |not_run| PlannedWorker { role: Role::Syscalls, weight: Weight::Full, not_run };
    let (locked, not_locked) = match locked {
        Ok(locked) => (locked, not_run.clone()),
        Err(why) => (Vec::new(), Some(why)),
    };
    if not_run.is_none() {
        let need = request.needs().copied().collect();
        let task = AllocationTask { need, locked, ..task(request, Role::Syscalls, None, 0) };
        jobs.push(Job::alone(task, PHASE));
    }
    plan.items.push(item(HP306, None, false, vec![duty(not_locked)]));
    plan.items.push(item(HP407, None, false, vec![duty(not_run)]));
}

/// Returns the directories that DPDK locks when it starts: the first hugetlbfs of each page size, unless `--huge-dir` names one.
///
/// Source: `get_hugepage_dir()` in `lib/eal/linux/eal_hugepage_info.c`.
fn locked_by_dpdk(inventory: &Inventory, request: &Request) -> Result<Vec<HugeDirectory>, NotRun> {
    if !request.workload.uses_dpdk() {
        return Err(NotRun::Skipped("QEMU locks no directory".to_owned()));
    }
    if request.directory.is_some() {
        return Err(NotRun::Skipped(ONE_DIRECTORY.to_owned()));
    }
    let Some(mounts) = inventory.mounts.known() else {
        return Err(NotRun::Prevented {
            why: inventory.mounts.why_unknown().unwrap_or("no mount table was found").to_owned(),
            remedy: "let this process read /proc/self/mountinfo".to_owned(),
        });
    };
    let mut first: Vec<HugeDirectory> = Vec::new();
    for mount in mounts {
        if let Some(size) = mount.size
            && first.iter().all(|other| other.size != size)
        {
            first.push(HugeDirectory { size, path: mount.path.clone() });
        }
    }
    if first.is_empty() { Err(NotRun::Skipped("no hugetlbfs is mounted".to_owned())) } else { Ok(first) }
}

/// HP409 and HP411, once for the machine.
fn threads(request: &Request, not_run: Option<NotRun>, plan: &mut Plan, jobs: &mut Vec<Job>) {
    let cpus = CpuMask::of_thread();
    let threads = footprint::threads(request, cpus.as_ref().ok().map(CpuMask::number));
    let not_run = not_run.or_else(|| match (threads, cpus) {
        (None, Err(error)) => Some(NotRun::Prevented {
            why: format!("the number of threads depends on the CPUs, and sched_getaffinity answers: {error}"),
            remedy: "allow sched_getaffinity in the seccomp profile".to_owned(),
        }),
        _ => None,
    });
    if let (None, Some(threads)) = (&not_run, threads) {
        let footprint = Footprint { threads, mappings: footprint::mappings(request) };
        let task = AllocationTask { footprint: Some(footprint), ..task(request, Role::Threads, None, 0) };
        jobs.push(Job::alone(task, PHASE));
    }
    let worker = PlannedWorker { role: Role::Threads, weight: Weight::Full, not_run };
    for id in [HP409, HP411] {
        plan.items.push(item(id, None, false, vec![worker.clone()]));
    }
}

fn concerns(item: &PlannedCheck, work: &Work) -> bool {
    item.size == work.size() && item.roles.iter().any(|duty| duty.role == work.role())
}

/// Returns the sizes of which the boot command line requests pages.
fn boot_sizes(inventory: &Inventory) -> impl Iterator<Item = PageSize> {
    let boot = inventory.boot.known();
    let default = boot.and_then(|boot| boot.default_size).or(inventory.default_size.get());
    let pools = boot.into_iter().flat_map(|boot| &boot.pools).filter(|pool| pool.pages > 0);
    pools.filter_map(move |pool| pool.size.or(default))
}

/// Returns whether a size has no pages and none are required.
#[must_use]
pub fn is_nothing(inventory: &Inventory, request: &Request, size: PageSize) -> bool {
    let expected =
        request.expect.iter().any(|expectation| expectation.size == size && !expectation.met_by(0))
            || request.needs().any(|need| need.size == size)
            || boot_sizes(inventory).any(|asked| asked == size);
    let there = match &inventory.pools {
        Reading::Known(_) => inventory.pool(size).is_some_and(Pool::may_have_pages),
        Reading::Absent => false,
        Reading::Unreadable(_) | Reading::Malformed(_) => true,
    };
    !there && !expected
}

#[cfg(test)]
mod tests;
