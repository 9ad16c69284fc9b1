//! Opens files below a directory without following a symbolic link in any component of the path.
//!
//! A process with more privileges than the owner of a directory must not be redirected: a user who may write to the
//! directory can replace a subdirectory by a symbolic link at any moment. openat2(2) with RESOLVE_BENEATH and
//! RESOLVE_NO_SYMLINKS would do the same, but it needs Linux 5.6, and older seccomp profiles make it fail with EPERM.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY);
const ALWAYS: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC);

/// Opens `path` below `directory`, one component at a time. An empty path opens the directory itself.
///
/// # Errors
///
/// The errors of openat(2): ELOOP or ENOTDIR for a symbolic link. EXDEV for a path with `..`, which could lead out of
/// `directory`.
pub fn open_beneath(directory: impl AsFd, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(Errno::EXDEV.into()),
        }
    }
    let Some((last, parents)) = names.split_last() else {
        return Ok(openat(directory, c".", flags | ALWAYS, Mode::empty())?);
    };
    let mut above = directory.as_fd().try_clone_to_owned()?;
    for name in parents {
        above = openat(&above, *name, DIRECTORY | ALWAYS, Mode::empty())?;
    }
    Ok(openat(&above, *last, flags | ALWAYS, Mode::empty())?)
}

/// Reopens for reading a file that was opened with O_PATH.
///
/// This opens the same file even if its name now belongs to another one. Check the type of the file first: opening a
/// device or a FIFO can have side effects.
///
/// # Errors
///
/// The errors of open(2).
pub fn reopen_to_read(file: impl AsFd) -> io::Result<File> {
    let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(link)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn open(directory: &Path, path: &str) -> Result<OwnedFd, Option<i32>> {
        let directory = File::open(directory).unwrap();
        open_beneath(&directory, Path::new(path), OFlag::O_RDONLY).map_err(|error| error.raw_os_error())
    }

    #[test]
    fn no_link_and_no_dots_lead_out() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("in/a/b")).unwrap();
        fs::write(scratch.path().join("in/a/b/file"), "inside").unwrap();
        fs::write(scratch.path().join("secret"), "outside").unwrap();
        let directory = scratch.path().join("in");
        symlink("../secret", directory.join("link")).unwrap();
        symlink("a", directory.join("inner")).unwrap();
        symlink(scratch.path(), directory.join("a/up")).unwrap();
        for path in ["", "a", "a/b/file", "./a/b/file", "/a/b/file"] {
            assert!(open(&directory, path).is_ok(), "{path}");
        }
        let [eloop, enotdir, exdev] =
            [Errno::ELOOP, Errno::ENOTDIR, Errno::EXDEV].map(|errno| Some(errno as i32));
        for (path, errnos) in [
            ("link", [eloop, eloop]),
            ("inner/b/file", [eloop, enotdir]),
            ("a/up/secret", [eloop, enotdir]),
            ("../secret", [exdev, exdev]),
            ("a/../../secret", [exdev, exdev]),
        ] {
            let error = open(&directory, path).unwrap_err();
            assert!(errnos.contains(&error), "{path}: {error:?}");
        }
    }

    #[test]
    fn what_was_opened_stays_what_it_is_when_its_name_is_taken_over() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("file"), "first").unwrap();
        let directory = File::open(scratch.path()).unwrap();
        let file = open_beneath(&directory, Path::new("file"), OFlag::O_PATH).unwrap();
        fs::rename(scratch.path().join("file"), scratch.path().join("old")).unwrap();
        fs::write(scratch.path().join("file"), "second").unwrap();
        let mut text = String::new();
        reopen_to_read(&file).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "first");
    }
}
