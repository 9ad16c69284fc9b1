//! The hugetlbfs file systems of every mount namespace that some process lives in.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::owners::Owners;
use super::process::Process;
use crate::domain::reading::Reading;
use crate::linux::beneath::open_beneath;
use crate::linux::mountinfo::parse_mountinfo;
use crate::linux::root::HostRoot;

/// The hugetlbfs file systems, and where they are mounted.
#[derive(Debug, Default)]
pub(super) struct Filesystems {
    /// By `major:minor`, where each can be listed; those of this process's mount namespace first.
    mounts: BTreeMap<String, Vec<MountPoint>>,
    /// Every mount point, as it is called in its own namespace.
    mount_points: HashSet<PathBuf>,
}

/// Where a file system is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountPoint {
    /// The root directory of a process that sees the mount: `/`, or `/proc/PID/root`.
    process_root: PathBuf,
    /// The mount point below that.
    below: PathBuf,
    /// The whole file system, not a directory of it.
    is_whole: bool,
}

// === impl Filesystems ===

impl Filesystems {
    /// Reads the mount tables of this process and of one process in every other mount namespace. A captured tree has
    /// none: its mount points are not there to be listed.
    pub(super) fn of(root: &HostRoot, processes: &[Process], owners: &mut Owners) -> Self {
        let mut all = Self::default();
        if !root.is_live() {
            return all;
        }
        all.add(root, "/proc/self", Path::new("/"), owners);
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
        // The whole file system comes before a directory of it, so that one listing is enough.
        for mounts in all.mounts.values_mut() {
            mounts.sort_by_key(|mount| !mount.is_whole);
        }
        all
    }

    fn add(&mut self, root: &HostRoot, process: &str, process_root: &Path, owners: &mut Owners) {
        let path = format!("{process}/mountinfo");
        let text = match root.table(&path) {
            Reading::Known(text) => text,
            Reading::Absent => return,
            Reading::Unreadable(why) | Reading::Malformed(why) => {
                // A process that ended meanwhile has taken its namespace along.
                if root.path(process).exists() {
                    owners.not_seen(why);
                }
                return;
            }
        };
        let table = match parse_mountinfo(&text) {
            Ok(table) => table,
            Err(why) => return owners.not_seen(format!("{path}: {why}")),
        };
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

    /// Each file system, by `major:minor`, with the mount points where it can be listed.
    pub(super) fn mounts(&self) -> impl Iterator<Item = (&str, &[MountPoint])> {
        self.mounts.iter().map(|(device, mounts)| (device.as_str(), mounts.as_slice()))
    }

    /// Whether a descriptor that links to `target` may be of huge pages. Asking the file itself could wait for ever, for
    /// one on a network that is down.
    ///
    /// Without a path are memfd and the kernel's own files, and those of a mount that was never attached, or was detached:
    /// what is left of their path is the name.
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
    /// The path by which this process reaches it.
    pub(super) fn path(&self) -> PathBuf {
        self.process_root.join(&self.below)
    }

    /// Opens it with O_PATH. The owner of the mount namespace may have moved other things there by now, links to
    /// directories of the host among them: no link is followed, and the caller looks at what it got.
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
