//! HP301 to HP304 about the directory that `--dir` names.

use super::super::super::catalogue::{HP301, HP302, HP303, HP304};
use super::super::super::check::{Because, CheckId, Finding, Outcome};
use super::super::super::inventory::{Directory, DirectoryKind, HugeMount, Inventory, WriteAttempt};
use super::super::super::reading::Reading;
use super::super::super::request::{Request, Workload};
use super::super::super::size::{PageSize, human_bytes};
use super::super::common::{PAGES_OF_ALL_STEPS, count, needed, sum};

/// How many files the sharing checks create if there is room for them: one for each memory region.
const FILES_OF_SHARING: u64 = 2;

/// The directory of `--dir`, and what is required of it.
pub(super) struct Used<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) request: &'a Request,
    pub(super) directory: &'a Directory,
    pub(super) size: PageSize,
    /// The path as given.
    pub(super) path: &'a str,
}

impl Used<'_> {
    /// Returns the finding of HP301 if the directory is on a hugetlbfs of this page size.
    pub(super) fn right_kind(&self) -> Finding {
        let real_path = self.directory.real_path.as_deref().unwrap_or(self.path);
        let because = if !self.request.workload.uses_dpdk() {
            None
        } else if real_path.contains([' ', '\t', '\n', '\\']) {
            Some(Because::new("a path without spaces, tabs, newlines and backslashes", real_path).remedy(
                "mount it at a path without them: DPDK looks for the path in /proc/mounts, where these characters are \
                 escaped",
            ))
        } else if self.is_not_found_by_dpdk() {
            let remedy = format!(
                "use --huge-dir {real_path}: DPDK accepts the path only as /proc/mounts has it, or one below it"
            );
            let expected = "the path of the mount as in /proc/mounts, or one below it";
            Some(Because::new(expected, self.path).remedy(remedy))
        } else {
            None
        };
        let finding = match because {
            Some(because) => {
                let summary = format!("DPDK cannot use {}", because.seen);
                Finding::not_pass(HP301, self.size, Outcome::Fail, summary, because)
            }
            None => Finding::pass(HP301, self.size, format!("{} is a hugetlbfs of {}", self.path, self.size)),
        };
        finding.with("directory", self.directory).with("mount", self.mount())
    }

    /// Returns whether no mount of this page size is at or above the path as it was written.
    ///
    /// This happens with a symbolic link, a relative path or a double slash. Source: `get_hugepage_dir()` in DPDK's
    /// lib/eal/linux/eal_hugepage_info.c.
    fn is_not_found_by_dpdk(&self) -> bool {
        // If the kernel shows no pagesize=, the mount has the default size, which may be this one.
        let may_be =
            |mount: &HugeMount| mount.size.is_none_or(|size| size == self.size) && mount.is_above(self.path);
        self.inventory.mounts.known().is_some_and(|mounts| !mounts.iter().any(may_be))
    }

    /// Returns the finding of HP301 if the directory is not on a hugetlbfs of this page size, or if that is not known.
    pub(super) fn wrong_kind(&self) -> Finding {
        let seen = match &self.directory.kind {
            Reading::Known(DirectoryKind::Hugetlbfs { size, .. }) => format!("hugetlbfs of {size}"),
            Reading::Known(DirectoryKind::Other(name)) => name.clone(),
            Reading::Known(DirectoryKind::NotADirectory(what)) => what.clone(),
            reading => return not_known(HP301, self.size, reading.why_unknown().unwrap_or_default()),
        };
        let mounts = self.inventory.mounts.known().map(Vec::as_slice).unwrap_or_default();
        let remedy = self.inventory.visible_mount(self.size).map_or_else(
            || {
                format!(
                    "mount a hugetlbfs of {} at a new path, and use that with --dir:\n  {}",
                    self.size,
                    mount_at_a_new_path(self.size, mounts)
                )
            },
            |mount| format!("use --dir {}, which is a hugetlbfs of {}", mount.path, self.size),
        );
        let expected = format!("hugetlbfs of {}", self.size);
        let summary = format!("{seen} at {}, not {expected}", self.path);
        Finding::not_pass(HP301, self.size, Outcome::Fail, summary, Because { expected, seen, remedy })
            .with("directory", self.directory)
    }

    /// Returns the finding of HP302.
    pub(super) fn writable(&self) -> Finding {
        let privileges = &self.inventory.privileges;
        let (uid, gid) = (privileges.uid, privileges.gid);
        let expected = format!("uid {uid} and gid {gid} may create files in {}", self.path);
        if let Reading::Unreadable(answer) = &self.directory.listing
            && self.request.workload.uses_dpdk()
            && matches!(
                self.directory.writable,
                Reading::Known(WriteAttempt::Allowed | WriteAttempt::LastInode(_))
            )
        {
            let because = Because::new(
                format!("DPDK opens, locks and lists {} when it starts", self.path),
                answer.as_str(),
            )
            .remedy(format!("let uid {uid} read it as well: chmod u+r, g+r or o+r {}", self.path));
            let summary =
                format!("uid {uid} and gid {gid} may create files in {} and not list them", self.path);
            return Finding::not_pass(HP302, self.size, Outcome::Fail, summary, because);
        }
        let (outcome, seen, remedy) = match &self.directory.writable {
            Reading::Known(WriteAttempt::Allowed | WriteAttempt::LastInode(_)) => {
                return Finding::pass(HP302, self.size, expected);
            }
            Reading::Known(WriteAttempt::NoInode(_)) => {
                return Finding::pass(
                    HP302,
                    self.size,
                    format!("{expected}, but no inode is free: see HP304"),
                );
            }
            Reading::Known(WriteAttempt::ReadOnly(answer)) => {
                let mount = self.mount().map_or(self.path, |mount| mount.path.as_str());
                (Outcome::Fail, answer, format!("mount -o remount,rw {mount}"))
            }
            Reading::Known(WriteAttempt::Denied(answer)) if self.directory.kind.is_trouble() => {
                (Outcome::Fail, answer, format!("let uid {uid} search every directory above {}", self.path))
            }
            Reading::Known(WriteAttempt::Denied(answer)) => {
                let remedy = format!(
                    "chown {uid}:{gid} {}, or mount with uid={uid},gid={gid}; in a pod, set fsGroup; if this is \
                     root, look for a security module that forbids it",
                    self.path
                );
                (Outcome::Fail, answer, remedy)
            }
            Reading::Known(WriteAttempt::Failed(answer)) => (Outcome::Unknown, answer, String::new()),
            reading => return not_known(HP302, self.size, reading.why_unknown().unwrap_or_default()),
        };
        let summary = match outcome {
            Outcome::Fail => format!("uid {uid} and gid {gid} may not create files in {}", self.path),
            _ => format!("cannot determine whether files can be created in {}", self.path),
        };
        let because = Because { expected, seen: seen.clone(), remedy };
        Finding::not_pass(HP302, self.size, outcome, summary, because)
    }

    /// Returns the finding of HP303. `pages` are the limit and the free pages of the mount.
    pub(super) fn room(&self, pages: Option<(u64, u64)>) -> Finding {
        let kept = self.mount().and_then(|mount| mount.min_bytes).map(|bytes| bytes / self.size.bytes());
        let kept = kept
            .map_or(String::new(), |pages| format!(", and min_size= keeps {} for it", count(pages, "page")));
        if let Some(finding) = self.kept_from_legacy_mem() {
            return finding;
        }
        let Some((limit, free)) = pages else {
            return Finding::pass(HP303, self.size, format!("no size= limit{kept}"));
        };
        let need = needed(self.request, self.size);
        let least = need.unwrap_or(1);
        let wanted = need.unwrap_or(PAGES_OF_ALL_STEPS);
        let summary = format!("the mount has {free} of {} free{kept}", count(limit, "page"));
        if free >= wanted {
            return Finding::pass(HP303, self.size, summary);
        }
        let outcome = if free < least { Outcome::Fail } else { Outcome::Warn };
        let enough = limit.saturating_sub(free).saturating_add(wanted).saturating_mul(self.size.bytes());
        let because = Because::new(
            format!("room for {}", count(wanted, "page")),
            format!(
                "size= is {}, and {free} of its {} are free",
                human_bytes(limit.saturating_mul(self.size.bytes())),
                count(limit, "page")
            ),
        )
        .remedy(format!(
            "remove files from {}, or mount it again: {}",
            self.path,
            self.mount_anew(&format!(",size={enough}"))
        ));
        Finding::not_pass(HP303, self.size, outcome, summary, because)
    }

    /// Returns the finding of HP303 if DPDK with `--legacy-mem` counts too few pages: the free ones of the machine, less
    /// those that are reserved, although `min_size=` reserves them for this mount (`get_num_hugepages()` in DPDK's
    /// lib/eal/linux/eal_hugepage_info.c).
    fn kept_from_legacy_mem(&self) -> Option<Finding> {
        let kept = self.mount()?.min_bytes? / self.size.bytes();
        if self.request.workload != Workload::DpdkLegacyMem || kept == 0 {
            return None;
        }
        let pool = self.inventory.pools.known()?.iter().find(|pool| pool.size == self.size)?;
        let (mut free, mut reserved) = (pool.free.get()?, pool.reserved.get()?);
        for need in [&self.request.backend_need, &self.request.frontend_need, &self.request.need] {
            let Some(needed) = sum(need.iter(), self.size) else { continue };
            let counted = free.saturating_sub(reserved);
            if counted < needed && free >= needed {
                let summary = format!(
                    "DPDK with --legacy-mem counts {} for {needed}: it leaves out those that min_size= keeps",
                    count(counted, "free page")
                );
                let seen = format!("{free} free, {reserved} reserved, {kept} of them by min_size=");
                let because =
                    Because::new(format!("{} that are not reserved", count(needed, "free page")), seen)
                        .remedy(format!("mount it without min_size=: {}", self.mount_anew("")));
                return Some(Finding::not_pass(HP303, self.size, Outcome::Fail, summary, because));
            }
            free = free.saturating_sub(needed);
            reserved = reserved.saturating_sub(needed.min(kept));
        }
        None
    }

    /// Returns the finding of HP304. `inodes` are the limit and the free inodes, if the kernel reports them.
    pub(super) fn inodes(&self, inodes: Option<(u64, u64)>) -> Finding {
        let shown = self.mount().and_then(|mount| mount.inodes);
        let used_up = matches!(self.directory.writable, Reading::Known(WriteAttempt::NoInode(_)));
        let is_last = matches!(self.directory.writable, Reading::Known(WriteAttempt::LastInode(_)));
        let (limit, free) = match inodes {
            _ if used_up => (inodes.map(|(limit, _)| limit).or(shown), 0),
            _ if is_last => (inodes.map(|(limit, _)| limit).or(shown), 1),
            Some((limit, free)) => (Some(limit), free),
            None => {
                // fstatfs reports the free inodes only if size= or min_size= is set.
                let summary = shown.map_or("no limit on inodes (nr_inodes=)".to_owned(), |limit| {
                    format!("at least two inodes are free (nr_inodes={limit})")
                });
                return Finding::pass(HP304, self.size, summary);
            }
        };
        let limit = limit.map_or(String::new(), |limit| format!(" of nr_inodes={limit}"));
        let summary = format!("{} free{limit}", count(free, "inode"));
        let by_page = self.request.workload.has_file_per_page();
        let least = if by_page { needed(self.request, self.size).unwrap_or(1) } else { self.sides().max(1) };
        let (files, why) = match needed(self.request, self.size).unwrap_or(1) {
            pages if pages > FILES_OF_SHARING && self.request.workload.uses_dpdk() => {
                (pages, " (DPDK creates a file per page, or one file in total with --single-file-segments)")
            }
            _ => (FILES_OF_SHARING, " (the sharing checks create two)"),
        };
        if free >= files {
            return Finding::pass(HP304, self.size, summary);
        }
        let (outcome, files, why) = if free < least {
            (
                Outcome::Fail,
                least,
                match least {
                    _ if by_page => " (one for each page)",
                    0 | 1 => "",
                    _ => " (one for each side)",
                },
            )
        } else {
            (Outcome::Warn, files, why)
        };
        let because = Because::new(format!("room for {}{why}", count(files, "file")), summary.clone())
            .remedy(format!(
                "remove files from {}, or mount it again without nr_inodes=: {}",
                self.path,
                self.mount_anew("")
            ));
        Finding::not_pass(HP304, self.size, outcome, summary, because)
    }

    /// Returns how many sides of the workload, frontend and backend, create files in the directory. Each creates at
    /// least one.
    fn sides(&self) -> u64 {
        let Request { frontend_need, backend_need, workload, .. } = self.request;
        if !workload.uses_dpdk() {
            // The guest's memory is the only file.
            return 1;
        }
        let sides = [frontend_need, backend_need];
        sides.into_iter().filter(|need| sum(need.iter(), self.size).is_some()).count() as u64
    }

    /// Returns the commands that unmount the hugetlbfs and mount it with other options.
    ///
    /// A remount does not suffice: `mount -o remount,size=` reports success and changes nothing (seen on 6.18).
    fn mount_anew(&self, options: &str) -> String {
        let mount = self.mount().map_or(self.path, |mount| mount.path.as_str());
        let size = self.size.mount_option();
        format!("umount {mount} && mount -t hugetlbfs -o pagesize={size}{options} none {mount}")
    }

    fn mount(&self) -> Option<&HugeMount> {
        self.inventory.mount_of_directory()
    }

    /// Returns whether a lookup of the directory goes through the path of `mount`.
    pub(super) fn is_at_or_below(&self, mount: &HugeMount) -> bool {
        self.directory.real_path.as_deref().is_some_and(|path| mount.is_above(path))
    }
}

/// The command that mounts a hugetlbfs of `size` where nothing is mounted yet: what was there before would be hidden.
pub(super) fn mount_at_a_new_path(size: PageSize, mounts: &[HugeMount]) -> String {
    let option = size.mount_option();
    let name = format!("/mnt/hugepages-{option}");
    let taken = |path: &String| mounts.iter().any(|mount| mount.path == *path);
    let numbered = (2..=9).map(|number| format!("{name}-{number}"));
    let path = std::iter::once(name.clone()).chain(numbered).find(|path| !taken(path)).unwrap_or(name);
    format!("mkdir -p {path} && mount -t hugetlbfs -o pagesize={option} none {path}")
}

/// What is mounted could not be seen.
pub(super) fn not_known(id: CheckId, size: PageSize, why: &str) -> Finding {
    let because = Because::new("the mount can be examined", why)
        .remedy("mount /proc, and run as a user who may search the parent directories");
    Finding::not_pass(id, size, Outcome::Unknown, format!("not known: {why}"), because)
}
