//! Finds cgroups that get no page because the limit of a parent is 0, in the whole hierarchy.

use std::collections::HashSet;

use super::group::version_of;
use super::hugetlb::{HUGETLB, hierarchy};
use super::level::{is_root, parse_limit};
use super::location;
use crate::mountinfo;
use crate::root::{HostRoot, THIS_PROCESS};
use hugeprobe_domain::cgroup::{CgroupVersion, HugetlbCounterKind};
use hugeprobe_domain::limit_conflict::{LimitConflict, LimitConflicts, ZeroLimits};
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// The maximum number of cgroups that are read. A node with 110 pods has some 500. The pods come early, because the walk
/// goes level by level.
const MOST_CGROUPS: usize = 4096;
/// The maximum depth. The containers of a pod are at 5, and cgroups that a container creates are below that.
const DEEPEST: usize = 16;
/// How many reasons are kept why a cgroup could not be read.
const MOST_REASONS: usize = 8;
/// How many other mount namespaces are searched for the hierarchy.
const MOST_NAMESPACES: usize = 256;
/// The host's process 1, for a process that shares its PID namespace.
const HOST_PROCESS: &str = "/proc/1";

const KINDS: [HugetlbCounterKind; 2] = [HugetlbCounterKind::Fault, HugetlbCounterKind::Reservation];

/// Returns the conflicts in the hierarchy that this process sees, for pages of `sizes`.
///
/// `Absent` if no limit can apply, as for [`read`](super::read). `Unreadable` if the hierarchy is not mounted here.
#[must_use]
pub fn read_conflicts(root: &HostRoot, sizes: &[PageSize]) -> Reading<LimitConflicts> {
    hierarchy(root).and_then(|(version, _)| {
        let mount = mount_of(root, THIS_PROCESS, version).required("/proc/self/mountinfo");
        mount.and_then(|mount| match mount {
            Some(mount) => read_below(root, version, String::new(), &mount, sizes),
            None => not_mounted(),
        })
    })
}

/// Does the same as [`read_conflicts`] for a container that shares the PID namespace of the host: the hierarchy is that
/// of the host's process 1, or of another process whose mount namespace shows all of it.
#[must_use]
pub fn read_conflicts_of_host(root: &HostRoot, sizes: &[PageSize]) -> Reading<LimitConflicts> {
    hierarchy(root).and_then(|(version, _)| {
        let mount = mount_of(root, HOST_PROCESS, version).required("/proc/1/mountinfo");
        let found = mount.map(|mount| match mount {
            Some(mount) => Some((format!("{HOST_PROCESS}/root"), mount)),
            None => mount_elsewhere(root, version),
        });
        found.and_then(|found| match found {
            Some((process_root, mount)) => read_below(root, version, process_root, &mount, sizes),
            None => not_mounted(),
        })
    })
}

fn not_mounted<T>() -> Reading<T> {
    Reading::Unreadable("the cgroups of others are not visible: the hierarchy is not mounted here".to_owned())
}

/// Returns where the process with this directory in /proc has mounted the most of the hierarchy.
fn mount_of(root: &HostRoot, process: &str, version: CgroupVersion) -> Reading<Option<String>> {
    mountinfo::read(root, process, |table| Reading::Known(location::highest(table, version, HUGETLB)))
}

/// Returns the root directory of a process in another mount namespace that shows the whole hierarchy, and where it is
/// mounted there. The namespaces of containers show a part.
fn mount_elsewhere(root: &HostRoot, version: CgroupVersion) -> Option<(String, String)> {
    let mut seen = HashSet::new();
    let pids =
        root.names("/proc").known()?.iter().filter_map(|name| name.parse::<u32>().ok()).collect::<Vec<_>>();
    pids.into_iter()
        .map(|pid| format!("/proc/{pid}"))
        .filter(|process| {
            root.link(format!("{process}/ns/mnt")).is_ok_and(|namespace| seen.insert(namespace))
        })
        .take(MOST_NAMESPACES)
        .find_map(|process| {
            let mount = mount_of(root, &process, version).known()?.clone()?;
            let directory = format!("{process}/root{mount}");
            // The owner of the namespace may have replaced the mount point since, for example by a symbolic link.
            let is_cgroup = || version_of(&root.path(&directory)).is_ok_and(|found| found == Some(version));
            let names = root.names(&directory);
            let is_whole = names.known().is_some_and(|names| is_root(version, names));
            (is_whole && (!root.is_live() || is_cgroup())).then(|| (format!("{process}/root"), mount))
        })
}

fn read_below(
    root: &HostRoot,
    version: CgroupVersion,
    process_root: String,
    mount: &str,
    sizes: &[PageSize],
) -> Reading<LimitConflicts> {
    // Cgroups without a conflict are not recorded, because a bundle would then have the names of all of them.
    let unrecorded = root.without_recording();
    let mut walk =
        Walk { root: &unrecorded, version, process_root, sizes, found: Vec::new(), not_read: Vec::new() };
    walk.walk(mount);
    let Walk { process_root, found, not_read, .. } = walk;
    if root.is_recorded() {
        let places = found.iter().map(|one| &one.directory).chain(not_read.iter().map(|(place, _)| place));
        let again = Walk { root, version, process_root, sizes, found: Vec::new(), not_read: Vec::new() };
        again.read_again(mount, places);
    }
    let not_read = not_read.into_iter().map(|(_, why)| why).collect();
    Reading::Known(LimitConflicts { found, not_read })
}

/// One walk down the hierarchy.
struct Walk<'a> {
    root: &'a HostRoot,
    version: CgroupVersion,
    /// What precedes the path of a directory: nothing, or `/proc/PID/root`.
    process_root: String,
    sizes: &'a [PageSize],
    found: Vec<LimitConflict>,
    /// The directories that could not be read, and why.
    not_read: Vec<(String, String)>,
}

// === impl Walk ===

impl Walk<'_> {
    /// Reads the cgroup at `top` and all below it, level by level.
    fn walk(&mut self, top: &str) {
        match self.root.names(self.path(top)) {
            Reading::Known(names) if is_root(self.version, &names) => {}
            Reading::Known(_) => {
                self.not_read(top, format!("the cgroups above {top} are not visible from here"));
            }
            other => {
                return self.not_read(top, other.required(top).why_unknown().unwrap_or_default().to_owned());
            }
        }
        let mut level = vec![(top.to_owned(), ZeroLimits::default())];
        let mut left = MOST_CGROUPS;
        for depth in 0..=DEEPEST {
            let mut next = Vec::new();
            for (directory, mut zeros) in level {
                // Where the controller is not enabled, it is not enabled below either. The root of v2 has no limits.
                if !self.read_limits(&directory, &mut zeros) && depth > 0 {
                    continue;
                }
                for name in self.children(&directory) {
                    let Some(less) = left.checked_sub(1) else {
                        return self.not_read(top, format!("there are more than {MOST_CGROUPS} cgroups"));
                    };
                    left = less;
                    next.push((format!("{directory}/{name}"), zeros.clone()));
                }
            }
            level = next;
        }
        if let Some((directory, _)) = level.first() {
            self.not_read(top, format!("{directory} is too deep to be read"));
        }
    }

    /// Reads the limits of one cgroup, and adds its conflicts. Returns whether it has any limit file.
    fn read_limits(&mut self, directory: &str, zeros: &mut ZeroLimits) -> bool {
        let mut has_files = false;
        for (&size, kind) in self.sizes.iter().flat_map(|size| KINDS.map(|kind| (size, kind))) {
            let version = self.version;
            let file = self.path(&format!("{directory}/{}", version.limit_file(size, kind)));
            let limit = match self.root.parsed(file, |text| parse_limit(text, size.bytes())) {
                Reading::Known(limit) => limit,
                // Kernels before 5.7 have no reservation counter; or the cgroup was removed meanwhile.
                Reading::Absent => continue,
                Reading::Unreadable(why) | Reading::Malformed(why) => {
                    has_files = true;
                    self.not_read(directory, why);
                    continue;
                }
            };
            has_files = true;
            let Some(parent) = zeros.descend(size, kind, limit, directory).map(str::to_owned) else {
                continue;
            };
            let usage = self.path(&format!("{directory}/{}", version.usage_file(size, kind)));
            self.found.push(LimitConflict {
                size,
                version,
                kind,
                parent,
                directory: directory.to_owned(),
                limit: limit.unwrap_or_default(),
                usage: self.root.number(usage),
            });
        }
        has_files
    }

    fn children(&mut self, directory: &str) -> Vec<String> {
        match self.root.subdirectories(self.path(directory)) {
            Reading::Known(names) => names,
            Reading::Absent => Vec::new(),
            Reading::Unreadable(why) | Reading::Malformed(why) => {
                self.not_read(directory, why);
                Vec::new()
            }
        }
    }

    /// Reads `top`, and each of `places` with the cgroups above it, so that a recording has them.
    fn read_again<'p>(mut self, top: &'p str, places: impl Iterator<Item = &'p String>) {
        let mut zeros = ZeroLimits::default();
        let mut read = Vec::new();
        for place in std::iter::once(top).chain(places.map(String::as_str)) {
            let below = place.strip_prefix(top).unwrap_or_default();
            let ends = below.match_indices('/').map(|(at, _)| at).chain([below.len()]);
            for directory in ends.filter_map(|end| Some(format!("{top}{}", below.get(..end)?))) {
                if !read.contains(&directory) {
                    let _ = self.root.names(self.path(&directory));
                    self.read_limits(&directory, &mut zeros);
                    read.push(directory);
                }
            }
        }
    }

    fn path(&self, directory: &str) -> String {
        format!("{}{directory}", self.process_root)
    }

    fn not_read(&mut self, directory: &str, why: String) {
        if self.not_read.len() < MOST_REASONS {
            self.not_read.push((directory.to_owned(), why));
        }
    }
}

#[cfg(test)]
mod tests;
