//! Files on hugetlbfs: which hold pages, and which of those were left behind.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use nix::sys::stat::{major, minor};
use nix::sys::statfs::{HUGETLBFS_MAGIC, statfs};

use super::FileId;
use super::effort::Budget;
use super::filesystems::Filesystems;
use super::ledger::Ledger;
use crate::domain::inventory::LeakedFile;
use crate::domain::size::PageSize;
use crate::linux::fds::is_used_elsewhere;

/// A file with a name on some hugetlbfs, with pages allocated to it.
#[derive(Debug)]
pub(super) struct NamedFile {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) size: PageSize,
    pub(super) pages: u64,
    used_at: i64,
}

/// Whether somebody uses a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Somebody does.
    Used,
    /// Nobody does.
    Unused,
    /// It is gone.
    Gone,
    /// The kernel did not say.
    Untold,
}

/// Directories deeper than this are not entered. Nobody nests hugetlbfs; a loop cannot be, and a hostile tree can.
const DEEPEST: usize = 16;
/// `st_blocks` counts these, whatever the page size (stat(3type)).
const BLOCK: u64 = 512;

/// Every file with pages on every file system, each once.
pub(super) fn list(filesystems: &Filesystems, budget: &mut Budget, ledger: &mut Ledger) -> Vec<NamedFile> {
    let mut files = Vec::new();
    for (device, places) in filesystems.places() {
        // One that is covered by another mount shows that one's files; what shows the right ones is listed.
        let Some(place) = places.iter().find(|place| device_of(&place.path).as_deref() == Some(device))
        else {
            if let Some(first) = places.first().filter(|first| first.path.exists()) {
                ledger.blind(format!(
                    "the hugetlbfs on {} lies hidden under another mount",
                    first.path.display()
                ));
            }
            continue;
        };
        if let Some(size) = page_size(&place.path) {
            walk(&place.path, device, size, budget, ledger, &mut files);
        }
    }
    files
}

/// The page size of the file, and the pages allocated to it; `None` if it is not on hugetlbfs. `path` may be a magic link of
/// `/proc`.
pub(super) fn huge_file(path: &Path) -> io::Result<Option<(FileId, PageSize, u64)>> {
    let metadata = fs::metadata(path)?;
    // hugetlbfs shows its page size as the block size, no other file system one so large: spares the second call.
    if !metadata.is_file() || PageSize::from_bytes(metadata.st_blksize()).is_none() {
        return Ok(None);
    }
    Ok(page_size(path).map(|size| (id_of(&metadata), size, pages_of(&metadata, size))))
}

fn page_size(path: &Path) -> Option<PageSize> {
    let found = statfs(path).ok().filter(|found| found.filesystem_type() == HUGETLBFS_MAGIC)?;
    PageSize::from_bytes(u64::try_from(found.block_size()).ok()?)
}

fn walk(
    place: &Path,
    device: &str,
    size: PageSize,
    budget: &mut Budget,
    ledger: &mut Ledger,
    files: &mut Vec<NamedFile>,
) {
    let mut directories = vec![(place.to_owned(), 0)];
    while let Some((directory, depth)) = directories.pop() {
        if !budget.has_time() {
            return;
        }
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                ledger.blind(format!("cannot list {}: {error}", directory.display()));
                continue;
            }
        };
        for entry in entries.flatten() {
            if !budget.file() {
                return;
            }
            let path = entry.path();
            // Gone meanwhile, or another file system mounted within: that one is listed by itself.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if device_name(&metadata) != device {
                continue;
            }
            if metadata.is_dir() {
                if depth < DEEPEST {
                    directories.push((path, depth + 1));
                } else {
                    ledger.blind(format!("{} is nested too deep to be listed", path.display()));
                }
            } else if metadata.is_file() && metadata.st_blocks() > 0 {
                let used_at = metadata.st_atime().max(metadata.st_mtime());
                files.push(NamedFile {
                    path,
                    id: id_of(&metadata),
                    size,
                    pages: pages_of(&metadata, size),
                    used_at,
                });
            }
        }
    }
}

// === impl NamedFile ===

impl NamedFile {
    /// Whether anybody on the machine has the file open or mapped, as the kernel says.
    pub(super) fn use_of(&self) -> Use {
        self.asked(|file| is_used_elsewhere(&file))
    }

    /// Whether somebody holds a lock on the file. DPDK holds one on each of its files for as long as it lives, and takes a
    /// file whose lock it can have for left behind. The lock is given back at once.
    pub(super) fn lock(&self) -> Use {
        self.asked(|file| match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_released_at_once) => Ok(false),
            Err((_, Errno::EWOULDBLOCK)) => Ok(true),
            Err((_, error)) => Err(error.into()),
        })
    }

    fn asked(&self, is_used: impl FnOnce(File) -> io::Result<bool>) -> Use {
        let opened = File::options().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(&self.path);
        let used = opened.and_then(|file| {
            let metadata = file.metadata()?;
            // Another file by the same name, or one that was emptied, is in somebody's hands.
            if id_of(&metadata) != self.id || metadata.st_blocks() == 0 { Ok(true) } else { is_used(file) }
        });
        match used {
            Ok(true) => Use::Used,
            Ok(false) => Use::Unused,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Use::Gone,
            Err(_) => Use::Untold,
        }
    }

    /// The same file, as one that nobody uses.
    pub(super) fn into_leaked(self) -> LeakedFile {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        LeakedFile {
            path: self.path.display().to_string(),
            size: self.size,
            pages: self.pages,
            idle_seconds: u64::try_from(self.used_at).ok().and_then(|used_at| now.checked_sub(used_at)),
        }
    }
}

fn id_of(metadata: &Metadata) -> FileId {
    let device = metadata.st_dev();
    FileId { major: major(device), minor: minor(device), inode: metadata.st_ino(), namespace: 0 }
}

fn pages_of(metadata: &Metadata, size: PageSize) -> u64 {
    metadata.st_blocks().saturating_mul(BLOCK) / size.bytes()
}

fn device_of(path: &Path) -> Option<String> {
    fs::metadata(path).ok().map(|metadata| device_name(&metadata))
}

/// As mountinfo has it.
fn device_name(metadata: &Metadata) -> String {
    let id = id_of(metadata);
    format!("{}:{}", id.major, id.minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &Path) -> NamedFile {
        let metadata = fs::metadata(path).unwrap();
        NamedFile {
            path: path.to_owned(),
            id: id_of(&metadata),
            size: "2Mi".parse().unwrap(),
            pages: 1,
            used_at: metadata.st_mtime(),
        }
    }

    #[test]
    fn a_lock_that_somebody_holds_is_a_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rtemap_0");
        fs::write(&path, "x".repeat(8192)).unwrap();
        let file = named(&path);
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
        let file = named(&path);
        fs::rename(&path, directory.path().join("other")).unwrap();
        assert_eq!((file.lock(), file.use_of()), (Use::Gone, Use::Gone));
        fs::write(&path, "y".repeat(8192)).unwrap();
        assert_eq!((file.lock(), file.use_of()), (Use::Used, Use::Used));
        std::os::unix::fs::symlink(directory.path().join("other"), directory.path().join("link")).unwrap();
        let link = NamedFile { path: directory.path().join("link"), ..file };
        assert_eq!((link.lock(), link.use_of()), (Use::Untold, Use::Untold));
    }

    #[test]
    fn a_file_used_in_the_future_has_been_idle_for_no_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, "x").unwrap();
        let of = |used_at| NamedFile { used_at, ..named(&path) }.into_leaked().idle_seconds;
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
