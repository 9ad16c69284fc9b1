//! Descriptors: the system calls about them that no safe wrapper has.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::libc::{self, c_int};

/// `F_SETSIG` in `include/uapi/asm-generic/fcntl.h`.
const F_SETSIG: c_int = 10;

/// Whether any other descriptor or mapping of the file exists: of any process of the machine, in any namespace, or a
/// descriptor in transit through a socket. `file` must be open for reading only.
///
/// The kernel grants a write lease (fcntl(2), F_SETLEASE) only if there is none. The lease is given back at once; a process that
/// opens the file in between waits for that.
///
/// # Errors
///
/// EACCES without CAP_LEASE on a file of another owner; EINVAL on a file system that has no leases (since Linux 7.0 each
/// must say that it has them).
pub fn is_used_elsewhere(file: &File) -> io::Result<bool> {
    let fd = file.as_raw_fd();
    // A process that waits for the lease makes the kernel send a signal, by default SIGIO, which kills. This one is ignored.
    // SAFETY: fcntl with an integer argument touches no memory of this process; `fd` is open as long as `file` is.
    Errno::result(unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGURG) })?;
    // SAFETY: as above.
    match Errno::result(unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK) }) {
        Ok(_) => {
            // SAFETY: as above.
            Errno::result(unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) })?;
            Ok(false)
        }
        Err(Errno::EAGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_used_elsewhere_while_another_descriptor_or_mapping_is_there() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("file");
        let writer = File::create(&path).unwrap();
        let asked = File::open(&path).unwrap();
        // A kernel or file system without leases answers EINVAL: nothing is claimed then.
        let used = |file: &File| is_used_elsewhere(file).map_err(|error| error.raw_os_error());
        assert!(matches!(used(&asked), Ok(true) | Err(Some(libc::EINVAL))));
        drop(writer);
        assert!(matches!(used(&asked), Ok(false) | Err(Some(libc::EINVAL))));
        let _reader = File::open(&path).unwrap();
        assert!(matches!(used(&asked), Ok(true) | Err(Some(libc::EINVAL))));
    }
}
