//! Files whose pages are huge, made so that nothing remains of them whatever ends this process.
//!
//! No file has a name when it gets its length: see [`super::unnamed_file`] for those of a directory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};
use nix::unistd::ftruncate;
use rustix::mount as fsmount;

use super::errno::named;
use super::unnamed_file;
use crate::domain::size::{HugeLen, PageSize, human_bytes};

/// A file of whole huge pages, without a name. It is on hugetlbfs and has the page size asked for: that was looked at.
#[derive(Debug)]
pub struct HugeFile {
    fd: OwnedFd,
    len: HugeLen,
}

/// Where a file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSource<'a> {
    /// memfd_create(MFD_HUGETLB).
    Memfd,
    /// A directory of a hugetlbfs that is mounted.
    Directory(&'a Path),
    /// A private hugetlbfs that is never attached to a path and goes with the file. Requires CAP_SYS_ADMIN, kernel 5.2.
    Unattached,
}

/// A file that could not be opened or created.
#[derive(Debug, thiserror::Error)]
pub enum HugeFileError {
    /// A system call was refused.
    #[error("{call} {what}: {}", named(.source))]
    Refused {
        /// The call.
        call: &'static str,
        /// What it was tried on.
        what: String,
        /// The answer.
        source: io::Error,
    },
    /// The directory is on another file system.
    #[error("{0} is not a hugetlbfs")]
    NotHugetlbfs(String),
    /// The directory is hugetlbfs of another page size.
    #[error("{path} has pages of {} instead of {wanted}", human_bytes(*.found))]
    OtherSize {
        /// The directory.
        path: String,
        /// `f_bsize`, bytes.
        found: u64,
        /// The size asked for.
        wanted: PageSize,
    },
}

// === impl HugeFile ===

impl HugeFile {
    /// Makes a file of `len`. No page is taken or reserved by it.
    ///
    /// # Errors
    ///
    /// See [`HugeFileError`].
    pub fn new(source: FileSource<'_>, len: HugeLen) -> Result<Self, HugeFileError> {
        let what = source.describe(len.size());
        let fd = match source {
            FileSource::Memfd => memfd(len.size()).map_err(refused("memfd_create", &what))?,
            FileSource::Directory(path) => {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                let directory = open(path, flags, Mode::empty()).map_err(refused("open", &what))?;
                check(&directory, &what, len.size())?;
                unnamed_file::create(&directory).map_err(not_created(&what))?
            }
            FileSource::Unattached => {
                let mount = unattached(len.size()).map_err(|(call, error)| refused(call, &what)(error))?;
                unnamed_file::create(&mount).map_err(not_created(&what))?
            }
        };
        check(&fd, &what, len.size())?;
        let bytes = len.bytes().try_into().map_err(|_| refused("ftruncate", &what)(Errno::EOVERFLOW))?;
        ftruncate(&fd, bytes).map_err(refused("ftruncate", &what))?;
        Ok(Self { fd, len })
    }

    /// Its length.
    #[must_use]
    pub const fn len(&self) -> HugeLen {
        self.len
    }

    /// Never: a length is at least one page.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len.pages() == 0
    }
}

impl AsFd for HugeFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

// === impl FileSource ===

impl FileSource<'_> {
    fn describe(self, size: PageSize) -> String {
        match self {
            Self::Memfd => format!("of {size}"),
            Self::Directory(path) => path.display().to_string(),
            Self::Unattached => format!("hugetlbfs of {size}"),
        }
    }
}

// === impl HugeFileError ===

impl HugeFileError {
    /// The kernel's answer, if it was one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error().map(Errno::from_raw),
            Self::NotHugetlbfs(_) | Self::OtherSize { .. } => None,
        }
    }
}

// === each source ===

fn memfd(size: PageSize) -> Result<OwnedFd, Errno> {
    // MFD_HUGE_SHIFT is MAP_HUGE_SHIFT: 26, memfd_create(2).
    const MFD_HUGE_SHIFT: u32 = 26;
    let size = MFdFlags::from_bits_retain(size.log2() << MFD_HUGE_SHIFT);
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_HUGETLB | MFdFlags::MFD_ALLOW_SEALING;
    memfd_create(c"hugeprobe", flags | size)
}

fn unattached(size: PageSize) -> Result<OwnedFd, (&'static str, Errno)> {
    let failed = |call| move |error: rustix::io::Errno| (call, Errno::from_raw(error.raw_os_error()));
    let context =
        fsmount::fsopen(c"hugetlbfs", fsmount::FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen"))?;
    fsmount::fsconfig_set_string(&context, c"pagesize", size.mount_option()).map_err(failed("fsconfig"))?;
    fsmount::fsconfig_create(&context).map_err(failed("fsconfig"))?;
    let flags = fsmount::FsMountFlags::FSMOUNT_CLOEXEC;
    fsmount::fsmount(&context, flags, fsmount::MountAttrFlags::empty()).map_err(failed("fsmount"))
}

/// Refuses whatever is not hugetlbfs of `size`: length and offsets are counted in its pages.
fn check(fd: &OwnedFd, what: &str, size: PageSize) -> Result<(), HugeFileError> {
    let facts = fstatfs(fd).map_err(refused("fstatfs", what))?;
    if facts.filesystem_type() != HUGETLBFS_MAGIC {
        return Err(HugeFileError::NotHugetlbfs(what.to_owned()));
    }
    let found = u64::try_from(facts.block_size()).unwrap_or_default();
    if found != size.bytes() {
        return Err(HugeFileError::OtherSize { path: what.to_owned(), found, wanted: size });
    }
    Ok(())
}

fn not_created(what: &str) -> impl Fn(unnamed_file::Refused) -> HugeFileError {
    let what = format!("in {what}");
    move |error| refused(error.call, &what)(error.errno)
}

fn refused(call: &'static str, what: &str) -> impl Fn(Errno) -> HugeFileError {
    move |errno| HugeFileError::Refused { call, what: what.to_owned(), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len() -> HugeLen {
        HugeLen::new(PageSize::from_bytes(2 << 20).unwrap(), 1).unwrap()
    }

    #[test]
    fn a_directory_that_is_no_hugetlbfs_is_named_and_left_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let error = HugeFile::new(FileSource::Directory(directory.path()), len()).unwrap_err();
        assert!(
            matches!(&error, HugeFileError::NotHugetlbfs(path) if *path == directory.path().display().to_string())
        );
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_is_refused_with_its_errno() {
        let directory = tempfile::tempdir().unwrap();
        let error = HugeFile::new(FileSource::Directory(&directory.path().join("none")), len()).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ENOENT));
        assert!(error.to_string().contains("/none: ENOENT (No such file or directory)"), "{error}");
    }
}
