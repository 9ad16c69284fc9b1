//! The facts about one page size that are known before anything is tried: those of a machine, from its inventory, or
//! those of a future probe pod, from its specification.

use super::job::{PodPages, captured, prevented};
use super::pages::{PAGES, pages_to_take, room_in, room_in_memory};
use hugeprobe_domain::inventory::{DirectoryKind, Inventory, WriteAttempt};
use hugeprobe_domain::plan::NotRun;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::role_cgroups::{RoleCgroup, RoleCgroups};
use hugeprobe_domain::size::PageSize;
use hugeprobe_exchange::role::Cgroups;

/// The number of CAP_SYS_ADMIN (capabilities(7)), which a private file system or IPC namespace requires.
const CAP_SYS_ADMIN: u32 = 21;

const NO_RIGHT_TO_MOUNT: &str = "a private hugetlbfs requires CAP_SYS_ADMIN outside a user namespace";

/// The facts about one page size.
#[derive(Debug)]
pub(super) struct SizeFacts {
    pub(super) size: PageSize,
    /// How many pages the steps take, or why no step can run.
    pub(super) pages: Result<u64, NotRun>,
    /// The same for `--dir`, whose mount may keep pages for itself.
    pub(super) pages_in_directory: Result<u64, NotRun>,
    /// Why nothing can be tried at all, if that is so: the tree is a captured one.
    pub(super) captured: Option<NotRun>,
    /// Whether there is only one NUMA node. If that is not known yet, it is false, and the worker reports it.
    pub(super) one_node: bool,
    /// Why nothing can be tried in `--dir`. `None` if it can be, or if there is no `--dir`.
    pub(super) directory_unfit: Option<NotRun>,
    /// Why the process cannot create a private hugetlbfs, or should not try; `None` if it can.
    pub(super) may_not_mount: Option<&'static str>,
    /// Whether the process has CAP_SYS_ADMIN in any user namespace, which is enough for an IPC namespace.
    pub(super) may_unshare: bool,
    /// The cgroups that the roles join.
    pub(super) cgroups: Cgroups,
    /// How many whole pages the limits of both cgroups allow: the smaller number, because either may be charged for
    /// all.
    pub(super) room_of_roles: u64,
    /// Why the backend is never the first to touch shared pages, if that is so.
    pub(super) never_backend_first: Option<NotRun>,
}

// === impl SizeFacts ===

impl SizeFacts {
    /// Returns the facts of this machine. `live` is false for a captured tree, where nothing can be tried.
    pub(super) fn of(inventory: &Inventory, size: PageSize, live: bool) -> Self {
        let directory = |group: &Option<RoleCgroup>| group.as_ref().map(|group| group.hugetlb.path.clone());
        let pages = |kept| if live { pages_to_take(inventory, size, kept) } else { Err(captured()) };
        let capabilities = inventory.privileges.capabilities.get();
        let may_unshare = capabilities.is_some_and(|set| set >> CAP_SYS_ADMIN & 1 == 1);
        let roles @ RoleCgroups { frontend, backend } = &inventory.role_cgroups;
        Self {
            size,
            pages: pages(0),
            pages_in_directory: pages(inventory.kept_for_directory(size))
                .map(|pages| pages.min(files_in_directory(inventory))),
            captured: (!live).then(captured),
            one_node: inventory.pool(size).map_or(0, |pool| pool.numa.len()) < 2,
            directory_unfit: directory_unfit(inventory, size),
            may_not_mount: may_not_mount(inventory, may_unshare),
            may_unshare,
            cgroups: Cgroups { frontend: directory(frontend), backend: directory(backend) },
            room_of_roles: roles
                .iter()
                .map(|group| {
                    room_in(&group.hugetlb, size).min(room_in_memory(inventory, group.memory.as_ref(), size))
                })
                .min()
                .unwrap_or(u64::MAX),
            never_backend_first: None,
        }
    }

    /// Returns the facts of a probe pod whose containers may use the pages of `pod`. Its directory is assumed to be
    /// correct: a worker reports if it is not.
    pub(super) fn in_pod(size: PageSize, pod: PodPages) -> Self {
        let pages = pod.pages.clamp(1, PAGES);
        let never = || NotRun::Skipped("only the frontend may use the pod's single page".to_owned());
        Self {
            size,
            pages: Ok(pages),
            pages_in_directory: Ok(pages),
            captured: None,
            one_node: false,
            directory_unfit: None,
            may_not_mount: Some(NO_RIGHT_TO_MOUNT),
            may_unshare: false,
            cgroups: Cgroups::default(),
            room_of_roles: u64::MAX,
            never_backend_first: pod.frontend_pays.then(never),
        }
    }
}

/// Returns why this process cannot create a private hugetlbfs, or should not try.
///
/// Workloads do not call fsopen(2), so their seccomp filter may kill for it. That would say nothing about them.
fn may_not_mount(inventory: &Inventory, has_sys_admin: bool) -> Option<&'static str> {
    if !has_sys_admin || inventory.privileges.host_users.get() == Some(false) {
        return Some(NO_RIGHT_TO_MOUNT);
    }
    (inventory.privileges.is_filtered == Some(true))
        .then_some("a seccomp filter may kill for the creation of a private hugetlbfs")
}

/// Returns how many files can be created in `--dir`: the roles create a file for each page that they share.
fn files_in_directory(inventory: &Inventory) -> u64 {
    match inventory.directory.as_ref().map(|directory| &directory.writable) {
        Some(Reading::Known(WriteAttempt::LastInode(_))) => 1,
        _ => u64::MAX,
    }
}

fn directory_unfit(inventory: &Inventory, size: PageSize) -> Option<NotRun> {
    let directory = inventory.directory.as_ref()?;
    match directory.kind.known() {
        Some(DirectoryKind::Hugetlbfs { size: its, .. }) if *its == size => None,
        _ => Some(prevented(format!("{} is not a hugetlbfs of {size}", directory.path), "see HP301")),
    }
}
