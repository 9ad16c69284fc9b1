//! Tries how much private memory the kernel lets a process have where it does not overcommit (`vm.overcommit_memory=2`).
//!
//! All private memory that can be written then counts against CommitLimit, used or not. A process without CAP_SYS_ADMIN
//! cannot have the last `vm.admin_reserve_kbytes` of it, and a process with much address space not the last
//! `vm.user_reserve_kbytes`.
//!
//! Source: Documentation/mm/overcommit-accounting.rst; `__vm_enough_memory()` in mm/util.c.

use std::io;

use nix::errno::Errno;
use nix::sys::mman::ProtFlags;

use super::Mapping;

/// Returns whether a process with `reserved` bytes of address space gets `bytes` of private memory. No page is allocated, and all
/// is given back.
///
/// # Errors
///
/// The errors of [`Mapping::ordinary`], apart from ENOMEM.
pub fn can_commit(bytes: u64, reserved: u64) -> io::Result<bool> {
    // Address space that cannot be accessed does not count. If RLIMIT_AS refuses it, HP405 reports that.
    let _reserved = usize::try_from(reserved).map(|bytes| Mapping::private(bytes, ProtFlags::PROT_NONE));
    match Mapping::ordinary(usize::try_from(bytes).map_err(|_| Errno::EOVERFLOW)?) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(Errno::ENOMEM as i32) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_private_memory_is_there_and_not_more_than_addresses() {
        assert!(can_commit(1 << 20, 1 << 36).unwrap());
        assert!(!can_commit(1 << 60, 0).unwrap());
        assert!(can_commit(u64::MAX, 0).is_err());
    }
}
