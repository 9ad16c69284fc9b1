//! Examines once everything that may hold pages.

use super::budget::Budget;
use super::files::{self, NamedFile, Use};
use super::filesystems::Filesystems;
use super::owners::Owners;
use super::process::{self, Process};
use super::{held, sysv};
use crate::pools;
use crate::root::HostRoot;
use hugeprobe_domain::inventory::{Holders, Privileges};
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// CAP_SYS_PTRACE in `include/uapi/linux/capability.h`.
const CAP_SYS_PTRACE: u32 = 19;

/// Examines everything once.
///
/// The mappings of processes are read first. The descriptors of processes that map no huge page are read only if pages
/// are still unaccounted for, because a machine may have a million descriptors, and few pages are held only by a
/// descriptor.
pub(super) fn survey(root: &HostRoot, privileges: &Privileges, budget: &mut Budget) -> Holders {
    let mut owners = Owners::default();
    note_missing_privileges(root, privileges, &mut owners);
    let used_before = used(root);
    let processes = process::list(root, &mut owners);
    let filesystems = Filesystems::of(root, &processes, &mut owners);
    for process in processes.iter().filter(|process| process.maps_huge_pages) {
        held::enter(root, process, &filesystems, budget, &mut owners);
    }
    let named = files::list(&filesystems, budget, &mut owners);
    let mut files = Sorted::of(named, &owners);
    if !files.unknown.is_empty() || missing(&used_before, &owners, &files.unused).next().is_some() {
        for process in processes.iter().filter(|process| !process.maps_huge_pages) {
            held::enter(root, process, &filesystems, budget, &mut owners);
        }
    }
    files.used.iter().for_each(|file| owners.enter_file(file.id, file.size(), file.pages));
    files.tell_apart(root, &processes, budget, &mut owners);
    let used: Vec<_> = less(&used_before, &used(root)).collect();
    let mut untraced: Vec<_> = missing(&used, &owners, &files.unused).collect();
    let segments = sysv::read(root);
    let segments = segments.known().map(Vec::as_slice).unwrap_or_default();
    let saw_all = owners.saw_all() && budget.exhausted().is_none();
    let segments = sysv::leaked(segments, base_page(), saw_all, &mut untraced);
    untraced.retain(|(_, pages)| *pages > 0);
    let mut leaked: Vec<_> = files.unused.into_iter().map(NamedFile::into_leaked).collect();
    leaked.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    let (processes, mut blind_spots) = owners.into_parts();
    blind_spots.extend(budget.exhausted());
    Holders { processes, leaked, segments, untraced, blind_spots, is_quick: false }
}

/// Looks at the files and segments only, not at what processes map. Returns `None` if some may be left behind or cannot be
/// read: a full survey decides then.
pub(super) fn nothing_left_behind(
    root: &HostRoot,
    privileges: &Privileges,
    budget: &mut Budget,
) -> Option<Holders> {
    // The files of a captured tree are not there.
    if !root.is_live() {
        return None;
    }
    let mut owners = Owners::default();
    note_missing_privileges(root, privileges, &mut owners);
    let processes = process::list(root, &mut owners);
    let filesystems = Filesystems::of(root, &processes, &mut owners);
    let files = files::list(&filesystems, budget, &mut owners);
    let segments = match sysv::read(root) {
        Reading::Known(segments) => segments,
        Reading::Absent => Vec::new(),
        Reading::Unreadable(_) | Reading::Malformed(_) => return None,
    };
    let may_be_left = files.iter().any(|file| matches!(file.use_of(), Use::Unused | Use::Unknown))
        || segments.iter().any(|segment| segment.attached == 0 && segment.resident > 0);
    if may_be_left || budget.exhausted().is_some() {
        return None;
    }
    let (processes, blind_spots) = owners.into_parts();
    Some(Holders { processes, blind_spots, is_quick: true, ..Holders::default() })
}

/// Notes each privilege that this process lacks to see all processes of the machine.
fn note_missing_privileges(root: &HostRoot, privileges: &Privileges, owners: &mut Owners) {
    if !root.is_live() {
        owners.not_seen("a captured tree has no descriptors".to_owned());
        return;
    }
    match privileges.host_pids.get() {
        Some(true) => {}
        Some(false) => {
            owners.not_seen(
                "processes outside this PID namespace are not visible (set hostPID in a pod)".to_owned(),
            );
        }
        None => owners.not_seen("it is not known whether this is the machine's PID namespace".to_owned()),
    }
    match privileges.capabilities.get() {
        Some(capabilities) if capabilities & (1 << CAP_SYS_PTRACE) != 0 => {}
        Some(_) => owners.not_seen("CAP_SYS_PTRACE is missing".to_owned()),
        None => owners.not_seen("it is not known whether this process has CAP_SYS_PTRACE".to_owned()),
    }
    // In another user namespace, capabilities do not apply to the machine's processes.
    if privileges.host_users.get() == Some(false) {
        owners.not_seen("this is not the machine's user namespace".to_owned());
    }
}

/// Named files with pages, sorted by whether a process uses them.
struct Sorted {
    used: Vec<NamedFile>,
    unused: Vec<NamedFile>,
    /// Files for which the kernel did not report whether they are used.
    unknown: Vec<NamedFile>,
}

/// Returns the number of pages in use of each size whose counters are known.
fn used(root: &HostRoot) -> Vec<(PageSize, u64)> {
    let pools = pools::read(root);
    let pools = pools.known().map(Vec::as_slice).unwrap_or_default();
    pools
        .iter()
        .filter_map(|pool| Some((pool.size, pool.total.get()?.saturating_sub(pool.free.get()?))))
        .collect()
}

/// Returns the smaller of the two numbers for each size: the pages that were in use the whole time.
fn less<'a>(
    before: &'a [(PageSize, u64)],
    after: &'a [(PageSize, u64)],
) -> impl Iterator<Item = (PageSize, u64)> + 'a {
    let find = |size: PageSize| after.iter().find(|(other, _)| *other == size).map(|(_, pages)| *pages);
    before.iter().filter_map(move |(size, pages)| Some((*size, (*pages).min(find(*size)?))))
}

/// Returns the number of pages in use that belong neither to a process nor to a file that no process uses.
fn missing<'a>(
    used: &'a [(PageSize, u64)],
    owners: &'a Owners,
    unused: &'a [NamedFile],
) -> impl Iterator<Item = (PageSize, u64)> + 'a {
    used.iter().filter_map(|(size, pages)| {
        let unused = unused.iter().filter(|file| file.size() == *size).map(|file| file.pages);
        let missing = unused.fold(pages.saturating_sub(owners.pages(*size)), u64::saturating_sub);
        (missing > 0).then_some((*size, missing))
    })
}

fn base_page() -> u64 {
    let bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096)
}

// === impl Sorted ===

impl Sorted {
    /// Sorts files by what has been seen so far, and otherwise by what the kernel reports. The kernel's report is
    /// reliable even if some processes cannot be seen.
    fn of(files: Vec<NamedFile>, owners: &Owners) -> Self {
        let mut sorted = Self { used: Vec::new(), unused: Vec::new(), unknown: Vec::new() };
        for file in files {
            let its_use = if owners.is_in_use(file.id) { Use::Used } else { file.use_of() };
            match its_use {
                Use::Used => sorted.used.push(file),
                Use::Unused => sorted.unused.push(file),
                Use::Gone => {}
                Use::Unknown => sorted.unknown.push(file),
            }
        }
        sorted
    }

    /// Sorts the files for which the kernel did not report whether they are used. Such a file is unused if no process
    /// has it open or mapped, all processes were seen, and no process holds its lock.
    fn tell_apart(
        &mut self,
        root: &HostRoot,
        processes: &[Process],
        budget: &mut Budget,
        owners: &mut Owners,
    ) {
        if self.unknown.is_empty() {
            return;
        }
        for process in processes {
            held::note_mapped_files(root, process, budget, owners);
        }
        let saw_all = owners.saw_all() && budget.exhausted().is_none();
        for file in std::mem::take(&mut self.unknown) {
            let its_use = if owners.is_in_use(file.id) { Use::Used } else { file.lock() };
            match its_use {
                Use::Used => owners.enter_file(file.id, file.size(), file.pages),
                Use::Unused if saw_all => self.unused.push(file),
                Use::Gone => {}
                Use::Unused | Use::Unknown => {
                    owners.not_seen_of("users of", &file.path().display().to_string());
                }
            }
        }
    }
}
