//! The hugetlbfs file systems in the mount namespaces of all processes.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::owners::Owners;
use super::process::Process;
use crate::beneath::open_beneath;
use crate::mountinfo::{self, MountTable};
use crate::root::{HostRoot, THIS_PROCESS};
use hugeprobe_domain::reading::Reading;

/// The hugetlbfs file systems and their mount points.
#[derive(Debug, Default)]
pub(super) struct Filesystems {
    /// The mount points where each file system can be listed, by `major:minor`. Mounts of the whole file system come
    /// first; among equals, those in this process's mount namespace do.
    mounts: BTreeMap<String, Vec<MountPoint>>,
    /// All mount points, with their paths in their own namespaces.
    mount_points: HashSet<PathBuf>,
}

/// A mount point of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountPoint {
    /// The root directory of a process that sees the mount: `/`, or `/proc/PID/root`.
    process_root: PathBuf,
    /// The path of the mount point below that root.
    below: PathBuf,
    /// Whether the whole file system is mounted, rather than a directory of it.
    is_whole: bool,
}

// === impl Filesystems ===

impl Filesystems {
    /// Reads the mount tables of this process and of one process in each other mount namespace. The result for a
    /// captured tree is empty, because its mount points do not exist here.
    pub(super) fn of(root: &HostRoot, processes: &[Process], owners: &mut Owners) -> Self {
        let mut all = Self::default();
        if !root.is_live() {
            return all;
        }
        all.add(root, THIS_PROCESS, Path::new("/"), owners);
        let mut seen: HashSet<PathBuf> = std::fs::read_link("/proc/self/ns/mnt").into_iter().collect();
        for process in processes {
            match std::fs::read_link(root.path(format!("{}/ns/mnt", process.directory))) {
                Ok(namespace) => {
                    if seen.insert(namespace) {
                        let process_root = PathBuf::from(format!("{}/root", process.directory));
                        all.add(root, &process.directory, &process_root, owners);
                    }
                }
                Err(error) => process.not_seen_unless_gone(root, "mount namespaces of", &error, owners),
            }
        }
        // Mounts of the whole file system come before mounts of one of its directories, so that one listing is enough.
        for mounts in all.mounts.values_mut() {
            mounts.sort_by_key(|mount| !mount.is_whole);
        }
        all
    }

    fn add(&mut self, root: &HostRoot, process: &str, process_root: &Path, owners: &mut Owners) {
        let entered = mountinfo::read(root, process, |table| {
            self.enter(table, process_root);
            Reading::Known(())
        });
        match entered {
            Reading::Known(()) | Reading::Absent => {}
            // If a process has ended meanwhile, its namespace no longer matters.
            Reading::Unreadable(_) | Reading::Malformed(_) if !root.path(process).exists() => {}
            Reading::Unreadable(why) | Reading::Malformed(why) => owners.not_seen(why),
        }
    }

    fn enter(&mut self, table: &MountTable<'_>, process_root: &Path) {
        for mount in table.iter().filter(|mount| mount.filesystem == "hugetlbfs") {
            let point = Path::new(mount.path.as_ref());
            self.mount_points.insert(point.to_owned());
            let mount_point = MountPoint {
                process_root: process_root.to_owned(),
                below: point.strip_prefix("/").unwrap_or(point).to_owned(),
                is_whole: mount.root == "/",
            };
            self.mounts.entry(mount.device.to_owned()).or_default().push(mount_point);
        }
    }

    /// Returns each file system, by `major:minor`, with the mount points where it can be listed.
    pub(super) fn mounts(&self) -> impl Iterator<Item = (&str, &[MountPoint])> {
        self.mounts.iter().map(|(device, mounts)| (device.as_str(), mounts.as_slice()))
    }

    /// Returns whether a descriptor that links to `target` may refer to huge pages.
    ///
    /// This does not examine the file itself, because that could block forever for a file on an unreachable network
    /// file system. memfds and the kernel's own files have no path, and neither do files on a mount that was never
    /// attached or that was detached. Their link consists of `/` and a name.
    pub(super) fn may_have(&self, target: &Path) -> bool {
        if !target.as_os_str().as_bytes().starts_with(b"/") {
            return false;
        }
        let mut above = target.ancestors().skip(1);
        above.next() == Some(Path::new("/"))
            || target.ancestors().skip(1).any(|point| self.mount_points.contains(point))
    }
}

// === impl MountPoint ===

impl MountPoint {
    /// Returns the path by which this process reaches the mount point.
    pub(super) fn path(&self) -> PathBuf {
        self.process_root.join(&self.below)
    }

    /// Opens the mount point with O_PATH. The owner of the mount namespace may have replaced it since, for example by a
    /// symbolic link to a directory of the host. Symbolic links are therefore not followed, and the caller checks what
    /// was opened.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let process_root = open(&self.process_root, flags, Mode::empty())?;
        open_beneath(&process_root, &self.below, flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_huge_is_asked_for() {
        let filesystems = Filesystems {
            mount_points: [PathBuf::from("/dev/hugepages"), PathBuf::from("/with space")].into(),
            ..Filesystems::default()
        };
        for (target, may) in [
            ("/memfd:vm ram (deleted)", true),
            ("/anon_hugepage (deleted)", true),
            ("/#1580400 (deleted)", true),
            ("/dev/hugepages/rtemap_0", true),
            ("/dev/hugepages/sub/rtemap_0 (deleted)", true),
            ("/with space/file", true),
            ("/dev/hugepages2/rtemap_0", false),
            ("/mnt/nfs/file", false),
            ("socket:[1234]", false),
            ("anon_inode:[eventfd]", false),
            ("pipe:[1]", false),
            ("", false),
            ("/", false),
        ] {
            assert_eq!(filesystems.may_have(Path::new(target)), may, "{target}");
        }
    }
}
