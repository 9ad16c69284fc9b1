//! The hugetlbfs mounts and the directories that the workload uses.

use serde::Serialize;

use super::super::reading::Reading;
use super::super::size::PageSize;

/// A hugetlbfs mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HugeMount {
    /// The mount point, with the escapes of mountinfo decoded. Bytes that are not UTF-8 are replaced.
    pub path: String,
    /// The page size in the mount options; `None` if they do not show one.
    pub size: Option<PageSize>,
    /// The limit of `size=`, in bytes.
    pub limit_bytes: Option<u64>,
    /// `min_size=`, in bytes. These pages are taken from the pool for as long as the file system is mounted.
    pub min_bytes: Option<u64>,
    /// The limit of `nr_inodes=`.
    pub inodes: Option<u64>,
    /// Whether it is read-only, because of the mount or of the file system.
    pub read_only: bool,
    /// The path of the mount that hides this one, mounted on the same path or on a parent directory. A bind mount that
    /// shows the same files does not count.
    pub hidden_by: Option<String>,
    /// All options as the kernel shows them: those of the mount, then those of the file system.
    pub options: Vec<String>,
    /// `major:minor` of the file system, which is the same for all its bind mounts.
    pub device: String,
}

/// The directory of `--dir`, as seen by fstatfs(2) and similar calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directory {
    /// The path as given.
    pub path: String,
    /// The path without symbolic links; `None` if it does not exist.
    pub real_path: Option<String>,
    /// `major:minor` of the file system, as in [`HugeMount::device`].
    pub device: Option<String>,
    /// What is at the path.
    pub kind: Reading<DirectoryKind>,
    /// The result of creating a file there; the file is removed. Absent if this was not tried because the directory is
    /// not on hugetlbfs.
    pub writable: Reading<WriteAttempt>,
    /// Whether this process can open the directory for reading and list it, if it is on hugetlbfs.
    pub listing: Reading<()>,
}

/// What is at the path of `--dir`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum DirectoryKind {
    /// A directory on hugetlbfs.
    Hugetlbfs {
        /// The page size (`f_bsize`).
        size: PageSize,
        /// `f_blocks` and `f_bfree` in pages; `None` if the mount has no `size=`. Reserved pages count as used.
        pages: Option<(u64, u64)>,
        /// `f_files` and `f_ffree`.
        ///
        /// `None` if the mount has no `nr_inodes=`, or neither `size=` nor `min_size=`: without them the kernel
        /// enforces `nr_inodes=` but does not report it (seen on 6.18).
        inodes: Option<(u64, u64)>,
    },
    /// A directory on another file system: its name if it is well known, otherwise its magic number in hex.
    Other(String),
    /// Not a directory; the text says what it is: `nothing`, `a regular file`.
    NotADirectory(String),
}

/// The result of an attempt to create a file. The texts name the call and its error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum WriteAttempt {
    /// The file was created.
    Allowed,
    /// EROFS: the mount or its file system is read-only.
    ReadOnly(String),
    /// EACCES or EPERM: this uid and gid may not create files.
    Denied(String),
    /// ENOSPC: creating files is permitted, but `nr_inodes=` is used up.
    NoInode(String),
    /// One file was created. A second one beside it failed with ENOSPC.
    LastInode(String),
    /// Any other error, which makes the attempt inconclusive.
    Failed(String),
}

/// The directory in which a DPDK process keeps its files for secondary processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuntimeDirectory {
    /// The path with the default `--file-prefix`.
    pub path: String,
    /// Why it cannot be created or written to: the call and its error.
    pub refused: Option<String>,
    /// The free space of its file system; `None` if statvfs fails.
    pub space: Option<FreeSpace>,
}

/// The free space of a file system for a user without privileges. `None` where the file system has no such limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FreeSpace {
    /// In bytes (`f_bavail` times `f_frsize`).
    pub bytes: Option<u64>,
    /// The number of files that can be created (`f_favail`).
    pub files: Option<u64>,
}

// === impl HugeMount ===

impl HugeMount {
    /// Returns whether `path` is the mount point or below it. `path` must be absolute and without symbolic links.
    #[must_use]
    pub fn is_above(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&self.path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.path == "/")
    }
}
