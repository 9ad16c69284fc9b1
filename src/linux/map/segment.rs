//! SysV shared memory with huge pages: shmget(2), shmat(2).

use std::io;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use nix::libc::{self, c_int};

use super::{Kind, Mapping, lengths};
use crate::errno::checked;
use hugeprobe_domain::size::HugeLen;

/// A SysV shared memory segment with huge pages. Dropping this marks the segment for removal; the kernel removes it
/// with the last mapping.
///
/// If the process that created a segment is killed, the segment remains. Create one only in a private IPC namespace.
#[derive(Debug)]
pub struct Segment {
    id: c_int,
    len: HugeLen,
}

/// `SHM_HUGE_SHIFT` of shmget(2).
const SHM_HUGE_SHIFT: u32 = 26;

// === impl Segment ===

impl Segment {
    /// Creates a segment and reserves its pages.
    ///
    /// # Errors
    ///
    /// The errors of shmget(2): EPERM without CAP_IPC_LOCK and outside hugetlb_shm_group, EINVAL above kernel.shmmax,
    /// ENOMEM if the reservation is refused.
    pub fn new(len: HugeLen) -> io::Result<Self> {
        let (bytes, _) = lengths(len)?;
        // For a large page size, the log2 extends into the sign bit.
        let size = (len.size().log2() << SHM_HUGE_SHIFT).cast_signed();
        let flags = libc::IPC_CREAT | libc::SHM_HUGETLB | size | 0o600;
        // SAFETY: the call takes no pointer.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, bytes.get(), flags) };
        checked(id.into())?;
        Ok(Self { id, len })
    }

    /// Maps the segment.
    ///
    /// # Errors
    ///
    /// The errors of shmat(2).
    pub fn attach(&self) -> io::Result<Mapping> {
        let (bytes, page_bytes) = lengths(self.len)?;
        // SAFETY: the kernel chooses the address, so no existing mapping is replaced.
        let start = unsafe { libc::shmat(self.id, ptr::null(), 0) };
        // On failure, shmat returns -1, cast to a pointer.
        match NonNull::new(start) {
            Some(start) if start.as_ptr() as isize != -1 => {
                Ok(Mapping { start, bytes: bytes.get(), page_bytes, kind: Kind::Shm })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Marks the segment for removal, which happens when no process maps it any more.
    ///
    /// # Errors
    ///
    /// The errors of shmctl(2).
    pub fn remove(self) -> io::Result<()> {
        ManuallyDrop::new(self).mark()
    }

    fn mark(&mut self) -> io::Result<()> {
        // SAFETY: IPC_RMID takes no buffer, and the id belongs to this segment.
        checked(unsafe { libc::shmctl(self.id, libc::IPC_RMID, ptr::null_mut()) }.into())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let _ = self.mark();
    }
}
