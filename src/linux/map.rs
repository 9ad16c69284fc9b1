//! Memory mappings, owned: whole huge pages, ordinary pages to compare with, SysV segments.
//!
//! What is handed out are volatile slices with checked bounds, never references: the memory may be shared with another
//! process that writes what it likes, when it likes. This module and `fds` hold all unsafe code of the crate.
//!
//! A touch of a page that cannot be had ends in SIGBUS, so the order for every user is: map (reserves: ENOMEM tells),
//! [`Mapping::populate_write`] (EFAULT tells), then write.
#![allow(unsafe_code)]

mod affinity;
mod policy;
mod segment;

use std::io;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use nix::errno::Errno;
use nix::libc::{self, c_int, c_ulong, c_void};
use nix::sys::mman::{self, MapFlags, MmapAdvise, ProtFlags};
use vm_memory::VolatileSlice;

use super::errno::checked;
use crate::domain::size::HugeLen;

pub use affinity::CpuMask;
use policy::{MASK_BITS, mask_of};
pub use policy::{bind_memory_policy, memory_policy, reset_memory_policy};
pub use segment::Segment;

/// A mapping of this process, readable and writable, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    bytes: usize,
    /// The unit in which pages are counted; for ordinary memory what it was asked for in.
    page_bytes: usize,
    kind: Kind,
}

/// When a mapping takes its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// At the first touch of each.
    OnTouch,
    /// In mmap itself, as far as they are available: MAP_POPULATE does not report failure.
    AtOnce,
}

/// Who sees what is written to a mapped file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody who maps it so.
    Shared,
    /// This process alone: MAP_PRIVATE.
    Private,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Mmap,
    Shm,
}

/// `MPOL_F_NODE | MPOL_F_ADDR` of get_mempolicy(2): the node of the page at an address.
const NODE_AT_ADDRESS: c_ulong = 3;
const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

// SAFETY: the mapping stays where it is whichever thread holds it, and munmap(2) may be called from any thread.
unsafe impl Send for Mapping {}
// SAFETY: `&Mapping` gives out volatile slices and makes system calls about a range that lives as long as the
// mapping; neither hands out a reference to the memory.
unsafe impl Sync for Mapping {}

// === impl Mapping ===

impl Mapping {
    /// Huge pages without a file: MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB, reserved.
    ///
    /// # Errors
    ///
    /// mmap(2): ENOMEM if the reservation is refused, EINVAL if the kernel does not have the size.
    pub fn anonymous(len: HugeLen, fill: Fill) -> io::Result<Self> {
        let flags = MapFlags::map_hugetlb_with_size_log2(len.size().log2()).ok_or(Errno::EINVAL)?;
        let (bytes, page_bytes) = lengths(len)?;
        // SAFETY: the kernel chooses the address, so no mapping that exists is replaced.
        let start = unsafe {
            mman::mmap_anonymous(None, bytes, READ_WRITE, flags | MapFlags::MAP_PRIVATE | fill.flag())
        }?;
        Ok(Self { start, bytes: bytes.get(), page_bytes, kind: Kind::Mmap })
    }

    /// `len` of the file `fd` from its page `first_page` on. A shared mapping reserves, once per page of the file.
    ///
    /// The length is counted in pages of the file, which the caller has made sure of (fstatfs(2)).
    ///
    /// # Errors
    ///
    /// mmap(2): ENOMEM if the reservation is refused, EINVAL if the offset is not a multiple of the file's page size.
    pub fn file(
        fd: BorrowedFd<'_>,
        len: HugeLen,
        first_page: u64,
        sharing: Sharing,
        fill: Fill,
    ) -> io::Result<Self> {
        let (bytes, page_bytes) = lengths(len)?;
        let offset = first_page.checked_mul(len.size().bytes()).and_then(|offset| offset.try_into().ok());
        let offset = offset.ok_or(Errno::EOVERFLOW)?;
        let flags = fill.flag()
            | match sharing {
                Sharing::Shared => MapFlags::MAP_SHARED,
                Sharing::Private => MapFlags::MAP_PRIVATE,
            };
        // SAFETY: the kernel chooses the address, so no mapping that exists is replaced.
        let start = unsafe { mman::mmap(None, bytes, READ_WRITE, flags, fd, offset) }?;
        Ok(Self { start, bytes: bytes.get(), page_bytes, kind: Kind::Mmap })
    }

    /// At least `bytes` of ordinary memory.
    ///
    /// # Errors
    ///
    /// mmap(2); EINVAL for no bytes at all.
    pub fn ordinary(bytes: usize) -> io::Result<Self> {
        const SMALL: usize = 4096;
        let length = bytes.checked_next_multiple_of(SMALL).and_then(NonZeroUsize::new);
        let length = length.ok_or(Errno::EINVAL)?;
        // SAFETY: the kernel chooses the address, so no mapping that exists is replaced.
        let start = unsafe { mman::mmap_anonymous(None, length, READ_WRITE, MapFlags::MAP_PRIVATE) }?;
        Ok(Self { start, bytes: length.get(), page_bytes: SMALL, kind: Kind::Mmap })
    }

    /// `pieces` pages of ordinary memory, each a mapping of its own for the kernel: every other one may be read, and the
    /// kernel joins neighbours of the same protection alone. No page is taken.
    ///
    /// # Errors
    ///
    /// mmap(2) and mprotect(2): ENOMEM if the process would have more mappings than `vm.max_map_count`.
    pub fn in_pieces(pieces: u64) -> io::Result<Self> {
        const SMALL: usize = 4096;
        let pieces = usize::try_from(pieces).map_err(|_| Errno::EOVERFLOW)?.max(1);
        let length = pieces.checked_mul(SMALL).and_then(NonZeroUsize::new).ok_or(Errno::EOVERFLOW)?;
        // SAFETY: the kernel chooses the address, so no mapping that exists is replaced.
        let start =
            unsafe { mman::mmap_anonymous(None, length, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) }?;
        let mapping = Self { start, bytes: length.get(), page_bytes: SMALL, kind: Kind::Mmap };
        for page in (1..pieces as u64).step_by(2) {
            let (at, bytes) = mapping.range(page..page + 1).ok_or(Errno::EOVERFLOW)?;
            // SAFETY: `range` keeps it within this mapping, which nobody reads or writes.
            unsafe { mman::mprotect(at, bytes, ProtFlags::PROT_READ) }?;
        }
        Ok(mapping)
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// The memory. Touch no page that is not known to be there: see the top of this file.
    #[must_use]
    pub fn volatile(&self) -> VolatileSlice<'_> {
        // SAFETY: the range is mapped readable and writable for as long as `self` is borrowed. A file that shrinks under
        // it raises SIGBUS, which is not an access to other memory.
        unsafe { VolatileSlice::new(self.start.as_ptr().cast(), self.bytes) }
    }

    /// Takes `pages` as a write would, without the SIGBUS: MADV_POPULATE_WRITE. What was taken before a failure stays.
    ///
    /// # Errors
    ///
    /// EFAULT where a write would raise SIGBUS, EHWPOISON for a broken page; [`super::errno::is_not_offered`] tells the
    /// answers of a kernel before 5.14, where the caller has to write instead. An error without errno: no such pages.
    pub fn populate_write(&self, pages: Range<u64>) -> io::Result<()> {
        let (at, bytes) = self.range(pages).ok_or_else(|| io::Error::other("pages outside the mapping"))?;
        // SAFETY: populating changes no byte of memory, and `range` keeps it within this mapping.
        unsafe { mman::madvise(at, bytes, MmapAdvise::MADV_POPULATE_WRITE) }?;
        Ok(())
    }

    /// As [`Mapping::populate_write`], every page.
    ///
    /// # Errors
    ///
    /// As [`Mapping::populate_write`].
    pub fn populate_all(&self) -> io::Result<()> {
        self.populate_write(0..(self.bytes / self.page_bytes) as u64)
    }

    /// Keeps the memory out of core dumps, as DPDK does: a page of 1 GiB would make a large one.
    ///
    /// # Errors
    ///
    /// madvise(2).
    pub fn keep_out_of_dumps(&self) -> io::Result<()> {
        self.advise(MmapAdvise::MADV_DONTDUMP)
    }

    /// Keeps ordinary memory free of transparent huge pages.
    ///
    /// # Errors
    ///
    /// madvise(2): EINVAL if the kernel has none.
    pub fn keep_pages_small(&self) -> io::Result<()> {
        self.advise(MmapAdvise::MADV_NOHUGEPAGE)
    }

    /// Locks the memory, which touches all of it: mlock(2), for ordinary memory.
    ///
    /// # Errors
    ///
    /// EPERM or ENOMEM beyond RLIMIT_MEMLOCK.
    pub fn lock(&self) -> io::Result<()> {
        // SAFETY: locking changes no byte of memory, and the range is this mapping.
        unsafe { mman::mlock(self.start, self.bytes) }?;
        Ok(())
    }

    /// Binds the memory to a NUMA node, strictly: MPOL_BIND. Pages that are there already stay where they are.
    ///
    /// # Errors
    ///
    /// mbind(2): EPERM or ENOSYS where it is forbidden, EINVAL for a node that is not there, or not for this process.
    pub fn bind(&self, node: u32) -> io::Result<()> {
        let mask = mask_of(node)?;
        let (mode, flags) = (libc::MPOL_BIND, 0_u32);
        // SAFETY: the mask holds as many bits as are declared, less the one that the kernel leaves out; the call
        // changes no byte of memory.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_mbind,
                self.start.as_ptr(),
                self.bytes,
                mode,
                mask.as_ptr(),
                MASK_BITS,
                flags,
            )
        };
        checked(answer)
    }

    /// The NUMA node that a page is on. Asking touches the page: only for one that is there.
    ///
    /// # Errors
    ///
    /// get_mempolicy(2): EPERM or ENOSYS where it is forbidden. An error without errno: no such page.
    pub fn node_of(&self, page: u64) -> io::Result<u32> {
        let after = page.checked_add(1).ok_or(Errno::EOVERFLOW)?;
        let (at, _) = self.range(page..after).ok_or_else(|| io::Error::other("page outside the mapping"))?;
        let mut node: c_int = -1;
        let no_mask = ptr::null_mut::<c_ulong>();
        // SAFETY: `node` is the int that the call writes; no mask is given, and the address is within this mapping.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_get_mempolicy,
                &raw mut node,
                no_mask,
                0 as c_ulong,
                at.as_ptr(),
                NODE_AT_ADDRESS,
            )
        };
        checked(answer)?;
        u32::try_from(node).map_err(|_| io::Error::other("the kernel reports no node"))
    }

    /// Gives the memory back. Dropping does the same but cannot report a failure.
    ///
    /// # Errors
    ///
    /// munmap(2), shmdt(2): the pages are still taken.
    pub fn unmap(self) -> io::Result<()> {
        ManuallyDrop::new(self).release()
    }

    fn release(&mut self) -> io::Result<()> {
        match self.kind {
            // SAFETY: the range is what mmap gave, and no slice of it can exist: `self` is borrowed exclusively,
            // and either being dropped or never used again.
            Kind::Mmap => unsafe { mman::munmap(self.start, self.bytes) }.map_err(Into::into),
            // SAFETY: as above, with what shmat gave.
            Kind::Shm => checked(unsafe { libc::shmdt(self.start.as_ptr()) }.into()),
        }
    }

    fn advise(&self, advice: MmapAdvise) -> io::Result<()> {
        // SAFETY: only advice that changes no byte of memory is given (see the callers), on this mapping.
        unsafe { mman::madvise(self.start, self.bytes, advice) }?;
        Ok(())
    }

    /// The address and length of some pages, if the mapping has them and they are at least one.
    fn range(&self, pages: Range<u64>) -> Option<(NonNull<c_void>, usize)> {
        let at = usize::try_from(pages.start).ok()?.checked_mul(self.page_bytes)?;
        let end = usize::try_from(pages.end).ok()?.checked_mul(self.page_bytes)?;
        if at >= end || end > self.bytes {
            return None;
        }
        // SAFETY: `at` is less than the mapping's length, which fits isize.
        Some((unsafe { self.start.byte_add(at) }, end - at))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // The normal path is `unmap`, which reports; this one is for errors and panics, which are reported already.
        let _ = self.release();
    }
}

// === helpers ===

impl Fill {
    const fn flag(self) -> MapFlags {
        match self {
            Self::OnTouch => MapFlags::empty(),
            Self::AtOnce => MapFlags::MAP_POPULATE,
        }
    }
}

/// The length and the page size, in bytes.
fn lengths(len: HugeLen) -> io::Result<(NonZeroUsize, usize)> {
    let bytes = usize::try_from(len.bytes()).ok().and_then(NonZeroUsize::new).ok_or(Errno::EOVERFLOW)?;
    Ok((bytes, usize::try_from(len.size().bytes()).map_err(|_| Errno::EOVERFLOW)?))
}
