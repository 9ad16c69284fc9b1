//! Files with huge pages, created so that nothing remains of them, whatever ends this process.
//!
//! No file has a name when its length is set; see [`super::unnamed_file`] for the files in a directory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};
use nix::unistd::ftruncate;
use rustix::mount as fsmount;

use super::errno::named;
use super::unnamed_file;
use hugeprobe_domain::size::{HugeLen, PageSize, human_bytes};

/// An unnamed file of whole huge pages. It has been checked to be on hugetlbfs with the requested page size.
#[derive(Debug)]
pub struct HugeFile {
    fd: OwnedFd,
    len: HugeLen,
}

/// Where a file is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSource<'a> {
    /// With memfd_create(MFD_HUGETLB).
    Memfd,
    /// In a directory of a mounted hugetlbfs.
    Directory(&'a Path),
    /// In a private hugetlbfs that is never attached to a path and disappears with the file. Requires CAP_SYS_ADMIN and
    /// Linux 5.2.
    Unattached,
}

/// Why a file could not be opened or created.
#[derive(Debug, thiserror::Error)]
pub enum HugeFileError {
    /// A system call failed.
    #[error("{call} {what}: {}", named(.source))]
    Refused {
        /// The call.
        call: &'static str,
        /// What it was called on.
        what: String,
        /// The error.
        source: io::Error,
    },
    /// The directory is on another file system.
    #[error("{0} is not a hugetlbfs")]
    NotHugetlbfs(String),
    /// The directory is on a hugetlbfs with another page size.
    #[error("{path} has pages of {} instead of {wanted}", human_bytes(*.found))]
    OtherSize {
        /// The directory.
        path: String,
        /// `f_bsize`, in bytes.
        found: u64,
        /// The requested page size.
        wanted: PageSize,
    },
}

// === impl HugeFile ===

impl HugeFile {
    /// Creates a file of length `len`. This neither allocates nor reserves a page. Beyond RLIMIT_FSIZE, the file has its
    /// length only once it is mapped.
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
        // Beyond RLIMIT_FSIZE, ftruncate raises SIGXFSZ. mmap grows a file on hugetlbfs whatever the limit is
        // (hugetlbfs_file_mmap in fs/hugetlbfs/inode.c), so the pages can be tried all the same. HP406 judges the limit.
        if getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft < len.bytes()) {
            return Ok(Self { fd, len });
        }
        ftruncate(&fd, bytes).map_err(refused("ftruncate", &what))?;
        Ok(Self { fd, len })
    }

    /// Returns the length.
    #[must_use]
    pub const fn len(&self) -> HugeLen {
        self.len
    }

    /// Returns false: a length is at least one page.
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
    /// Returns the errno, if the error came from the kernel.
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
    // MFD_HUGE_SHIFT equals MAP_HUGE_SHIFT, which is 26 (memfd_create(2)).
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

/// Fails unless `fd` is on a hugetlbfs of `size`, because the length and offsets are counted in its pages.
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
