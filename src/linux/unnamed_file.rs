//! Creates unnamed files in a hugetlbfs directory, of which nothing remains when the last descriptor is closed.
//!
//! hugetlbfs supports O_TMPFILE in kernels after 5.4 (`hugetlbfs_tmpfile()` in `fs/hugetlbfs/inode.c`; the patch is
//! from November 2019, and 5.8 has it). On older kernels, the file is created with a name that cannot be guessed and
//! unlinked at once. A kill in between leaves an empty file behind, but never a page.

use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

const OWNER_ONLY: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
const READ_WRITE: OFlag = OFlag::O_RDWR.union(OFlag::O_CLOEXEC);

/// A system call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The call, such as `open(O_TMPFILE)`.
    pub call: &'static str,
    /// The error.
    pub errno: Errno,
}

/// Creates a file in `directory`, open for reading and writing.
///
/// # Errors
///
/// The call that failed.
pub fn create(directory: impl AsFd) -> Result<OwnedFd, Refused> {
    match openat(&directory, c".", READ_WRITE | OFlag::O_TMPFILE, OWNER_ONLY) {
        // EISDIR: a kernel without O_TMPFILE treats this as opening a directory for writing (open(2)).
        Err(Errno::EOPNOTSUPP | Errno::EISDIR) => create_and_unlink(directory),
        answer => answer.map_err(|errno| Refused { call: "open(O_TMPFILE)", errno }),
    }
}

fn create_and_unlink(directory: impl AsFd) -> Result<OwnedFd, Refused> {
    let flags = READ_WRITE | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
    // The keys of the hasher are random, so the name cannot be guessed.
    let name = format!(".hugeprobe-{:016x}", RandomState::new().hash_one(std::process::id()));
    let file = openat(&directory, name.as_str(), flags, OWNER_ONLY)
        .map_err(|errno| Refused { call: "open(O_CREAT|O_EXCL)", errno })?;
    unlinkat(&directory, name.as_str(), UnlinkatFlags::NoRemoveDir)
        .map_err(|errno| Refused { call: "unlink", errno })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn either_way_no_name_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let fd = File::open(directory.path()).unwrap();
        assert!(create(&fd).is_ok());
        assert!(create_and_unlink(&fd).is_ok());
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_refusal_names_its_call() {
        let file = tempfile::tempfile().unwrap();
        let Refused { call, errno } = create(&file).unwrap_err();
        assert_eq!((call, errno), ("open(O_TMPFILE)", Errno::ENOTDIR));
    }
}
