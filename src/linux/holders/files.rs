//! Finds the files on hugetlbfs that have pages, and those of them that no process uses.
//!
//! The directories belong to other users and may be in a pod, so they can be replaced by symbolic links during the
//! listing. Each mount is therefore opened once and checked to be hugetlbfs. Everything below it is opened relative to
//! that descriptor, without following symbolic links.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag};
use nix::sys::stat::{SFlag, fstatat, major, minor};
use nix::sys::statfs::{HUGETLBFS_MAGIC, Statfs, fstatfs, statfs};
use rustix::fs::Dir;

use super::FileId;
use super::budget::Budget;
use super::filesystems::{Filesystems, MountPoint};
use super::owners::Owners;
use crate::beneath::{open_beneath, reopen_to_read};
use crate::fds::is_used_elsewhere;
use hugeprobe_domain::inventory::LeakedFile;
use hugeprobe_domain::size::PageSize;

/// A hugetlbfs, opened at its mount point.
#[derive(Debug)]
struct Mount {
    directory: OwnedFd,
    /// The mount point as this process reaches it, for messages.
    path: PathBuf,
    /// `major:minor`, as in mountinfo.
    device: String,
    size: PageSize,
}

/// A named file on hugetlbfs that has pages allocated.
#[derive(Debug)]
pub(super) struct NamedFile {
    mount: Rc<Mount>,
    /// The path below the mount.
    below: PathBuf,
    pub(super) id: FileId,
    pub(super) pages: u64,
    used_at: i64,
}

/// Whether any process uses a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A process uses it.
    Used,
    /// No process uses it.
    Unused,
    /// The file no longer exists.
    Gone,
    /// The kernel did not report whether it is used.
    Unknown,
}

/// The maximum depth of directories that are entered. A real hugetlbfs is never nested. A tree has no loops, but a
/// hostile user can create a deep one.
const DEEPEST: usize = 16;
/// The unit of `st_blocks`, whatever the page size (stat(3type)).
const BLOCK: u64 = 512;
/// The flags for opening a directory in order to list it.
const LISTED: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);

/// Lists every file with pages on every file system, each file once.
pub(super) fn list(filesystems: &Filesystems, budget: &mut Budget, owners: &mut Owners) -> Vec<NamedFile> {
    let mut files = Vec::new();
    for (device, mounts) in filesystems.mounts() {
        if let Some(mount) = open_one(device, mounts, owners) {
            mount.list(budget, owners, &mut files);
        }
    }
    files
}

/// Returns the id and the page size of the file, and the number of pages allocated to it; `None` if it is not on
/// hugetlbfs. `path` may be a magic link in `/proc`.
pub(super) fn huge_file(path: &Path) -> io::Result<Option<(FileId, PageSize, u64)>> {
    let metadata = fs::metadata(path)?;
    // hugetlbfs reports its page size as the block size. No other file system reports such a large one, so this check
    // avoids the second call for most files.
    if !metadata.is_file() || PageSize::from_bytes(metadata.st_blksize()).is_none() {
        return Ok(None);
    }
    let size = statfs(path).ok().and_then(|found| page_size(&found));
    Ok(size.map(|size| (id_of(&metadata), size, pages_of(metadata.st_blocks(), size))))
}

/// Opens the first mount point that shows the hugetlbfs itself. A mount point that is covered by another mount shows
/// the files of that mount.
fn open_one(device: &str, mounts: &[MountPoint], owners: &mut Owners) -> Option<Rc<Mount>> {
    let mut hidden = None;
    let mut failed = None;
    for mount in mounts {
        let path = mount.path();
        match mount.open() {
            Ok(directory) => match Mount::new(directory, path.clone(), device) {
                Some(mount) => return Some(Rc::new(mount)),
                None => hidden = hidden.or(Some(path)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => failed = failed.or(Some((path, error))),
        }
    }
    if let Some(path) = hidden {
        owners.not_seen(format!("the hugetlbfs on {} is hidden under another mount", path.display()));
    } else if let Some((path, error)) = failed {
        owners.not_seen(format!("cannot open {}: {error}", path.display()));
    }
    None
}

fn page_size(found: &Statfs) -> Option<PageSize> {
    if found.filesystem_type() != HUGETLBFS_MAGIC {
        return None;
    }
    PageSize::from_bytes(u64::try_from(found.block_size()).ok()?)
}

// === impl Mount ===

impl Mount {
    /// Returns the mount for an open directory; `None` if the directory is not on the hugetlbfs `device`.
    fn new(directory: OwnedFd, path: PathBuf, device: &str) -> Option<Self> {
        let size = page_size(&fstatfs(&directory).ok()?)?;
        let directory = File::from(directory);
        let metadata = directory.metadata().ok()?;
        (device_name(metadata.st_dev()) == device).then(|| Self {
            directory: directory.into(),
            path,
            device: device.to_owned(),
            size,
        })
    }

    /// Adds every file with pages to `files`.
    fn list(self: &Rc<Self>, budget: &mut Budget, owners: &mut Owners, files: &mut Vec<NamedFile>) {
        let mut directories = vec![(PathBuf::new(), 0)];
        while let Some((below, depth)) = directories.pop() {
            if !budget.has_time() {
                return;
            }
            let opened = open_beneath(&self.directory, &below, LISTED);
            let (directory, entries) = match opened.and_then(|fd| Ok((Dir::read_from(&fd)?, fd))) {
                Ok((entries, directory)) => (directory, entries),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    owners.not_seen(format!("cannot list {}: {error}", self.path.join(&below).display()));
                    continue;
                }
            };
            for entry in entries.flatten() {
                let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
                if name == Path::new(".") || name == Path::new("..") {
                    continue;
                }
                if !budget.file() {
                    return;
                }
                // Skip files that no longer exist. Another file system mounted below this one is listed separately.
                let Ok(stat) = fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
                let path = below.join(name);
                if device_name(stat.st_dev) != self.device {
                    continue;
                }
                match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
                    SFlag::S_IFDIR if depth < DEEPEST => directories.push((path, depth + 1)),
                    SFlag::S_IFDIR => {
                        let path = self.path.join(path);
                        owners.not_seen(format!("{} is nested too deep to be listed", path.display()));
                    }
                    SFlag::S_IFREG if stat.st_blocks > 0 => files.push(NamedFile {
                        mount: Rc::clone(self),
                        below: path,
                        id: file_id(stat.st_dev, stat.st_ino),
                        pages: pages_of(stat.st_blocks.unsigned_abs(), self.size),
                        used_at: stat.st_atime.max(stat.st_mtime),
                    }),
                    _ => {}
                }
            }
        }
    }
}

// === impl NamedFile ===

impl NamedFile {
    /// Returns the page size.
    pub(super) fn size(&self) -> PageSize {
        self.mount.size
    }

    /// Returns the path as this process reaches it, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.mount.path.join(&self.below)
    }

    /// Asks the kernel whether any process on the machine has the file open or mapped.
    pub(super) fn use_of(&self) -> Use {
        self.asked(|file| is_used_elsewhere(&file))
    }

    /// Returns whether any process holds a lock on the file. The lock that this takes is released at once.
    ///
    /// DPDK locks each of its files for as long as it lives. It treats a file that it can lock as left behind.
    pub(super) fn lock(&self) -> Use {
        self.asked(|file| match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_released_at_once) => Ok(false),
            Err((_, Errno::EWOULDBLOCK)) => Ok(true),
            Err((_, error)) => Err(error.into()),
        })
    }

    fn asked(&self, is_used: impl FnOnce(File) -> io::Result<bool>) -> Use {
        match self.open().and_then(|file| file.map_or(Ok(true), is_used)) {
            Ok(true) => Use::Used,
            Ok(false) => Use::Unused,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Use::Gone,
            Err(_) => Use::Unknown,
        }
    }

    /// Opens the file for reading. Returns `None` if another file has the name now, or if the file has been emptied: a
    /// process is then using it.
    fn open(&self) -> io::Result<Option<File>> {
        let found = File::from(open_beneath(&self.mount.directory, &self.below, OFlag::O_PATH)?);
        let metadata = found.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if id_of(&metadata) != self.id || metadata.st_blocks() == 0 {
            return Ok(None);
        }
        // The O_PATH descriptor is closed on return. Otherwise the kernel would count it as another user of the file.
        reopen_to_read(&found).map(Some)
    }

    /// Converts the file into the form for the inventory, as a file that no process uses.
    pub(super) fn into_leaked(self) -> LeakedFile {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        LeakedFile {
            path: self.path().display().to_string(),
            size: self.size(),
            pages: self.pages,
            idle_seconds: u64::try_from(self.used_at).ok().and_then(|used_at| now.checked_sub(used_at)),
        }
    }
}

fn id_of(metadata: &Metadata) -> FileId {
    file_id(metadata.st_dev(), metadata.st_ino())
}

fn file_id(device: u64, inode: u64) -> FileId {
    FileId { major: major(device), minor: minor(device), inode, namespace: 0 }
}

fn pages_of(blocks: u64, size: PageSize) -> u64 {
    blocks.saturating_mul(BLOCK) / size.bytes()
}

/// Returns the device number as in mountinfo.
fn device_name(device: u64) -> String {
    format!("{}:{}", major(device), minor(device))
}

#[cfg(test)]
mod tests {
    use super::super::budget::SearchLimits;
    use super::*;

    /// Returns the file `below` the directory `mount`, as if the directory were a hugetlbfs.
    fn named(mount: &Path, below: &str) -> NamedFile {
        let metadata = fs::metadata(mount.join(below)).unwrap();
        let mount = Mount {
            directory: File::open(mount).unwrap().into(),
            path: mount.to_owned(),
            device: device_name(metadata.st_dev()),
            size: "2Mi".parse().unwrap(),
        };
        NamedFile {
            mount: Rc::new(mount),
            below: PathBuf::from(below),
            id: id_of(&metadata),
            pages: 1,
            used_at: metadata.st_mtime(),
        }
    }

    #[test]
    fn a_lock_that_somebody_holds_is_a_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rtemap_0");
        fs::write(&path, "x".repeat(8192)).unwrap();
        let file = named(directory.path(), "rtemap_0");
        assert_eq!(file.lock(), Use::Unused);
        let held = Flock::lock(File::open(&path).unwrap(), FlockArg::LockSharedNonblock).unwrap();
        assert_eq!(file.lock(), Use::Used);
        drop(held);
        assert_eq!(file.lock(), Use::Unused);
    }

    #[test]
    fn a_file_that_is_gone_or_another_by_then_is_nobodys_leak() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rtemap_0");
        fs::write(&path, "x".repeat(8192)).unwrap();
        let file = named(directory.path(), "rtemap_0");
        fs::rename(&path, directory.path().join("other")).unwrap();
        assert_eq!((file.lock(), file.use_of()), (Use::Gone, Use::Gone));
        fs::write(&path, "y".repeat(8192)).unwrap();
        assert_eq!((file.lock(), file.use_of()), (Use::Used, Use::Used));
        std::os::unix::fs::symlink(directory.path().join("other"), directory.path().join("link")).unwrap();
        let link = NamedFile { below: PathBuf::from("link"), ..file };
        assert_eq!((link.lock(), link.use_of()), (Use::Unknown, Use::Unknown));
    }

    #[test]
    fn a_directory_that_was_swapped_for_a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let [mounted, elsewhere] = ["mounted", "elsewhere"].map(|name| directory.path().join(name));
        fs::create_dir_all(mounted.join("pod")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        let path = mounted.join("pod/rtemap_0");
        fs::write(&path, "x".repeat(8192)).unwrap();
        let file = named(&mounted, "pod/rtemap_0");
        fs::hard_link(&path, elsewhere.join("rtemap_0")).unwrap();
        fs::rename(mounted.join("pod"), mounted.join("old")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, mounted.join("pod")).unwrap();
        assert_eq!((file.lock(), file.use_of()), (Use::Unknown, Use::Unknown));
    }

    #[test]
    fn a_mount_is_listed_from_its_descriptor_and_links_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let [mounted, elsewhere] = ["mounted", "elsewhere"].map(|name| directory.path().join(name));
        fs::create_dir_all(mounted.join("a/b")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        for path in [mounted.join("one"), mounted.join("a/b/two"), elsewhere.join("three")] {
            fs::write(path, "x".repeat(8192)).unwrap();
        }
        fs::write(mounted.join("empty"), "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, mounted.join("a/link")).unwrap();
        let mount = named(&mounted, "one").mount;
        let (mut owners, mut files) = (Owners::default(), Vec::new());
        mount.list(&mut Budget::new(&SearchLimits::default()), &mut owners, &mut files);
        let mut paths: Vec<_> = files.iter().map(NamedFile::path).collect();
        paths.sort();
        assert_eq!(paths, [mounted.join("a/b/two"), mounted.join("one")]);
        assert!(owners.saw_all());
    }

    #[test]
    fn a_file_used_in_the_future_has_been_idle_for_no_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, "x").unwrap();
        let of = |used_at| NamedFile { used_at, ..named(directory.path(), "f") }.into_leaked().idle_seconds;
        assert_eq!(of(i64::MAX), None);
        assert_eq!(of(-1), None);
        assert!(of(0).is_some_and(|seconds| seconds > 1_000_000_000));
    }

    #[test]
    fn a_file_elsewhere_is_of_no_huge_pages() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, "x").unwrap();
        assert_eq!(huge_file(&path).unwrap(), None);
        assert_eq!(huge_file(directory.path()).unwrap(), None);
        assert_eq!(huge_file(&directory.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
