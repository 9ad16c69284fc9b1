//! SysV shared memory of huge pages: shmget(2), shmat(2).

use std::io;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use nix::libc::{self, c_int};

use super::{Kind, Mapping, lengths};
use crate::domain::size::HugeLen;
use crate::linux::errno::checked;

/// A SysV shared memory segment of huge pages. It is marked for removal when dropped, and goes with its last mapping.
///
/// A segment outlives a maker that is killed: only ever make one in an IPC namespace of this process's own.
#[derive(Debug)]
pub struct Segment {
    id: c_int,
    len: HugeLen,
}

/// `SHM_HUGE_SHIFT`, shmget(2).
const SHM_HUGE_SHIFT: u32 = 26;

// === impl Segment ===

impl Segment {
    /// Makes a segment and reserves its pages.
    ///
    /// # Errors
    ///
    /// shmget(2): EPERM without CAP_IPC_LOCK and outside hugetlb_shm_group, EINVAL beyond kernel.shmmax, ENOMEM if the
    /// reservation is refused.
    pub fn new(len: HugeLen) -> io::Result<Self> {
        let (bytes, _) = lengths(len)?;
        // The log2 of a large size reaches into the sign bit.
        let size = (len.size().log2() << SHM_HUGE_SHIFT).cast_signed();
        let flags = libc::IPC_CREAT | libc::SHM_HUGETLB | size | 0o600;
        // SAFETY: the call takes no pointer.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, bytes.get(), flags) };
        checked(id.into())?;
        Ok(Self { id, len })
    }

    /// Maps it.
    ///
    /// # Errors
    ///
    /// shmat(2).
    pub fn attach(&self) -> io::Result<Mapping> {
        let (bytes, page_bytes) = lengths(self.len)?;
        // SAFETY: the kernel chooses the address, so no mapping that exists is replaced.
        let start = unsafe { libc::shmat(self.id, ptr::null(), 0) };
        // shmat answers -1, cast to a pointer.
        match NonNull::new(start) {
            Some(start) if start.as_ptr() as isize != -1 => {
                Ok(Mapping { start, bytes: bytes.get(), page_bytes, kind: Kind::Shm })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Marks it for removal, which happens once no process maps it.
    ///
    /// # Errors
    ///
    /// shmctl(2).
    pub fn remove(self) -> io::Result<()> {
        ManuallyDrop::new(self).mark()
    }

    fn mark(&mut self) -> io::Result<()> {
        // SAFETY: IPC_RMID takes no buffer, and the id is that of this segment.
        checked(unsafe { libc::shmctl(self.id, libc::IPC_RMID, ptr::null_mut()) }.into())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let _ = self.mark();
    }
}
