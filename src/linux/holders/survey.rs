//! One look at everything that may hold pages.

use super::effort::Budget;
use super::files::{self, NamedFile, Use};
use super::filesystems::Filesystems;
use super::ledger::Ledger;
use super::processes::{self, Process};
use super::{rights, sysv};
use crate::domain::inventory::{Holders, Privileges};
use crate::domain::size::PageSize;
use crate::linux::pools;
use crate::linux::root::HostRoot;

/// Looks at everything once.
///
/// What processes map is read first, and the descriptors of processes that map no huge page only if pages are still missing
/// then: a machine may have a million descriptors, and few pages are held by a descriptor alone.
pub(super) fn survey(root: &HostRoot, privileges: &Privileges, budget: &mut Budget) -> Holders {
    let mut ledger = Ledger::default();
    rights::note_missing(root, privileges, &mut ledger);
    let used_before = used(root);
    let processes = processes::list(root, &mut ledger);
    let filesystems = Filesystems::of(root, &processes, &mut ledger);
    for process in processes.iter().filter(|process| process.maps_huge_pages) {
        processes::look_at(root, process, &filesystems, budget, &mut ledger);
    }
    let named = files::list(&filesystems, budget, &mut ledger);
    let mut files = Sorted::of(named, &ledger);
    if !files.untold.is_empty() || missing(&used_before, &ledger, &files.unused).next().is_some() {
        for process in processes.iter().filter(|process| !process.maps_huge_pages) {
            processes::look_at(root, process, &filesystems, budget, &mut ledger);
        }
    }
    files.used.iter().for_each(|file| ledger.enter_file(file.id, file.size, file.pages));
    files.tell_apart(root, &processes, budget, &mut ledger);
    let used: Vec<_> = less(&used_before, &used(root)).collect();
    let mut untraced: Vec<_> = missing(&used, &ledger, &files.unused).collect();
    let segments = root.table("/proc/sysvipc/shm").map(|table| sysv::parse_shm(&table));
    let segments = segments.known().map(Vec::as_slice).unwrap_or_default();
    let saw_all = ledger.saw_all() && budget.exhausted().is_none();
    let segments = sysv::leaked(segments, base_page(), saw_all, &mut untraced);
    untraced.retain(|(_, pages)| *pages > 0);
    let mut leaked: Vec<_> = files.unused.into_iter().map(NamedFile::into_leaked).collect();
    leaked.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    let (processes, mut blind_spots) = ledger.into_parts();
    blind_spots.extend(budget.exhausted());
    Holders { processes, leaked, segments, untraced, blind_spots }
}

/// Named files with pages, by whether somebody uses them.
struct Sorted {
    used: Vec<NamedFile>,
    unused: Vec<NamedFile>,
    /// The kernel did not say.
    untold: Vec<NamedFile>,
}

/// Pages in use of each size whose counters are known.
fn used(root: &HostRoot) -> Vec<(PageSize, u64)> {
    let pools = pools::read(root);
    let pools = pools.known().map(Vec::as_slice).unwrap_or_default();
    pools
        .iter()
        .filter_map(|pool| Some((pool.size, pool.total.get()?.saturating_sub(pool.free.get()?))))
        .collect()
}

/// The lesser of each: pages that were in use all the time.
fn less<'a>(
    before: &'a [(PageSize, u64)],
    after: &'a [(PageSize, u64)],
) -> impl Iterator<Item = (PageSize, u64)> + 'a {
    let find = |size: PageSize| after.iter().find(|(other, _)| *other == size).map(|(_, pages)| *pages);
    before.iter().filter_map(move |(size, pages)| Some((*size, (*pages).min(find(*size)?))))
}

/// Pages in use that neither processes nor files that nobody uses account for.
fn missing<'a>(
    used: &'a [(PageSize, u64)],
    ledger: &'a Ledger,
    unused: &'a [NamedFile],
) -> impl Iterator<Item = (PageSize, u64)> + 'a {
    used.iter().filter_map(|(size, pages)| {
        let unused = unused.iter().filter(|file| file.size == *size).map(|file| file.pages);
        let missing = unused.fold(pages.saturating_sub(ledger.pages(*size)), u64::saturating_sub);
        (missing > 0).then_some((*size, missing))
    })
}

fn base_page() -> u64 {
    let bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096)
}

// === impl Sorted ===

impl Sorted {
    /// By what was seen so far, else by what the kernel says: it is believed whatever cannot be seen of the processes.
    fn of(files: Vec<NamedFile>, ledger: &Ledger) -> Self {
        let mut sorted = Self { used: Vec::new(), unused: Vec::new(), untold: Vec::new() };
        for file in files {
            let its_use = if ledger.is_in_use(file.id) { Use::Used } else { file.use_of() };
            match its_use {
                Use::Used => sorted.used.push(file),
                Use::Unused => sorted.unused.push(file),
                Use::Gone => {}
                Use::Untold => sorted.untold.push(file),
            }
        }
        sorted
    }

    /// Files about which the kernel did not say: nobody uses one if no process has it open or mapped, all were seen, and
    /// nobody holds its lock.
    fn tell_apart(
        &mut self,
        root: &HostRoot,
        processes: &[Process],
        budget: &mut Budget,
        ledger: &mut Ledger,
    ) {
        if self.untold.is_empty() {
            return;
        }
        for process in processes {
            processes::note_mapped_files(root, process, budget, ledger);
        }
        let saw_all = ledger.saw_all() && budget.exhausted().is_none();
        for file in std::mem::take(&mut self.untold) {
            let its_use = if ledger.is_in_use(file.id) { Use::Used } else { file.lock() };
            match its_use {
                Use::Used => ledger.enter_file(file.id, file.size, file.pages),
                Use::Unused if saw_all => self.unused.push(file),
                Use::Gone => {}
                Use::Unused | Use::Untold => ledger.blind_about("users of", &file.path.display().to_string()),
            }
        }
    }
}
