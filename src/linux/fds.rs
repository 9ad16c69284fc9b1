//! System calls on file descriptors that have no safe wrapper.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::libc::{self, c_int};

/// `F_SETSIG` in `include/uapi/asm-generic/fcntl.h`.
const F_SETSIG: c_int = 10;

/// Returns whether any other descriptor or mapping of the file exists.
///
/// This covers every process of the machine, in any namespace, and descriptors in transit through a socket. `file` must
/// be open for reading only.
///
/// The kernel grants a write lease (fcntl(2), F_SETLEASE) only if there is no other descriptor or mapping. The lease is
/// released at once. A process that opens the file in between waits for the release.
///
/// # Errors
///
/// EACCES without CAP_LEASE on a file of another owner. EINVAL on a file system without leases (since Linux 7.0, each
/// file system must opt in).
pub fn is_used_elsewhere(file: &File) -> io::Result<bool> {
    let fd = file.as_raw_fd();
    // If another process waits for the lease, the kernel signals this one. The default, SIGIO, would terminate it.
    // SIGURG is ignored by default.
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
        // On a kernel or file system without leases, the call fails with EINVAL, and this test checks nothing more.
        let used = |file: &File| is_used_elsewhere(file).map_err(|error| error.raw_os_error());
        assert!(matches!(used(&asked), Ok(true) | Err(Some(libc::EINVAL))));
        drop(writer);
        assert!(matches!(used(&asked), Ok(false) | Err(Some(libc::EINVAL))));
        let _reader = File::open(&path).unwrap();
        assert!(matches!(used(&asked), Ok(true) | Err(Some(libc::EINVAL))));
    }
}
