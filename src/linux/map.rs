//! Owned memory mappings: whole huge pages, ordinary pages for comparison, and SysV segments.
//!
//! Callers get volatile slices with checked bounds and never references, because the memory may be shared with another
//! process that can write to it at any time. This module, `fds` and `signals` hold all unsafe code of the crate.
//!
//! Touching a page that cannot be allocated raises SIGBUS. Every caller must therefore keep to this order: map the
//! memory (which reserves pages and can fail with ENOMEM), call [`Mapping::populate_write`] (which can fail with
//! EFAULT), then write.
#![allow(unsafe_code)]

mod affinity;
mod charge;
mod commit;
mod policy;
mod prefetch;
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
use hugeprobe_domain::size::HugeLen;

pub use affinity::CpuMask;
pub use charge::charge;
pub use commit::can_commit;
use policy::{MASK_BITS, mask_of};
pub use policy::{bind_memory_policy, memory_policy, reset_memory_policy};
pub use prefetch::{Access, prefetch};
pub use segment::Segment;

/// A readable and writable mapping of this process, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    bytes: usize,
    /// The unit in which pages are counted: the huge page size, or 4096 for ordinary memory.
    page_bytes: usize,
    kind: Kind,
}

/// When the pages of a mapping are allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// At the first touch of each page.
    OnTouch,
    /// In mmap itself, as far as pages are available: MAP_POPULATE does not report failure.
    AtOnce,
}

/// Who sees what is written to a mapped file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Every process that maps the file as shared: MAP_SHARED.
    Shared,
    /// Only this process: MAP_PRIVATE.
    Private,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Mmap,
    Shm,
}

/// `MPOL_F_NODE | MPOL_F_ADDR` of get_mempolicy(2), which return the node of the page at an address.
const NODE_AT_ADDRESS: c_ulong = 3;
/// The unit of ordinary memory, in bytes.
const SMALL: usize = 4096;
const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

// SAFETY: the mapping keeps its address whichever thread owns it, and any thread may call munmap(2).
unsafe impl Send for Mapping {}
// SAFETY: `&Mapping` only returns volatile slices and makes system calls on a range that lives as long as the mapping.
// Neither creates a reference to the memory.
unsafe impl Sync for Mapping {}

// === impl Mapping ===

impl Mapping {
    /// Maps huge pages without a file and reserves them: MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB.
    ///
    /// # Errors
    ///
    /// The errors of mmap(2): ENOMEM if the reservation is refused, EINVAL if the kernel does not support the page
    /// size.
    pub fn anonymous(len: HugeLen, fill: Fill) -> io::Result<Self> {
        let flags = MapFlags::map_hugetlb_with_size_log2(len.size().log2()).ok_or(Errno::EINVAL)?;
        let (bytes, page_bytes) = lengths(len)?;
        // SAFETY: the kernel chooses the address, so no existing mapping is replaced.
        let start = unsafe {
            mman::mmap_anonymous(None, bytes, READ_WRITE, flags | MapFlags::MAP_PRIVATE | fill.flag())
        }?;
        Ok(Self { start, bytes: bytes.get(), page_bytes, kind: Kind::Mmap })
    }

    /// Maps `len` of the file `fd` from page `first_page` on. A shared mapping reserves each page of the file once.
    ///
    /// The length is counted in pages of the file. The caller must have checked that size (fstatfs(2)).
    ///
    /// # Errors
    ///
    /// The errors of mmap(2): ENOMEM if the reservation is refused, EINVAL if the offset is not a multiple of the
    /// file's page size.
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
        // SAFETY: the kernel chooses the address, so no existing mapping is replaced.
        let start = unsafe { mman::mmap(None, bytes, READ_WRITE, flags, fd, offset) }?;
        Ok(Self { start, bytes: bytes.get(), page_bytes, kind: Kind::Mmap })
    }

    /// Maps at least `bytes` of ordinary memory.
    ///
    /// # Errors
    ///
    /// The errors of mmap(2); EINVAL if `bytes` is 0.
    pub fn ordinary(bytes: usize) -> io::Result<Self> {
        Self::private(bytes, READ_WRITE)
    }

    /// Maps at least `bytes` of private memory with this protection. The errors are those of [`Mapping::ordinary`].
    fn private(bytes: usize, protection: ProtFlags) -> io::Result<Self> {
        let length = bytes.checked_next_multiple_of(SMALL).and_then(NonZeroUsize::new);
        let length = length.ok_or(Errno::EINVAL)?;
        // SAFETY: the kernel chooses the address, so no existing mapping is replaced.
        let start = unsafe { mman::mmap_anonymous(None, length, protection, MapFlags::MAP_PRIVATE) }?;
        Ok(Self { start, bytes: length.get(), page_bytes: SMALL, kind: Kind::Mmap })
    }

    /// Maps `pieces` pages of ordinary memory so that the kernel keeps each as a mapping of its own.
    ///
    /// Every second page has another protection than its neighbours, which the kernel therefore does not merge. No page is
    /// allocated.
    ///
    /// # Errors
    ///
    /// mmap(2) and mprotect(2): ENOMEM if the process would have more mappings than `vm.max_map_count`.
    pub fn in_pieces(pieces: u64) -> io::Result<Self> {
        let pieces = usize::try_from(pieces).map_err(|_| Errno::EOVERFLOW)?.max(1);
        let bytes = pieces.checked_mul(SMALL).ok_or(Errno::EOVERFLOW)?;
        let mapping = Self::private(bytes, ProtFlags::PROT_NONE)?;
        for page in (1..pieces as u64).step_by(2) {
            let (at, bytes) = mapping.range(page..page + 1).ok_or(Errno::EOVERFLOW)?;
            // SAFETY: `range` keeps it within this mapping. Its memory is never accessed.
            unsafe { mman::mprotect(at, bytes, ProtFlags::PROT_READ) }?;
        }
        Ok(mapping)
    }

    /// Returns the start address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Returns the memory. Do not touch a page that may not be allocated; see the module documentation.
    #[must_use]
    pub fn volatile(&self) -> VolatileSlice<'_> {
        // SAFETY: the range is mapped readable and writable for as long as `self` is borrowed. If the file is truncated
        // meanwhile, an access raises SIGBUS and does not reach other memory.
        unsafe { VolatileSlice::new(self.start.as_ptr().cast(), self.bytes) }
    }

    /// Allocates `pages` as a write would, but without SIGBUS: MADV_POPULATE_WRITE. Pages that were allocated before a
    /// failure stay allocated.
    ///
    /// # Errors
    ///
    /// EFAULT where a write would raise SIGBUS, EHWPOISON for a page with a hardware error. Kernels before 5.14 return
    /// an error for which [`super::errno::is_not_offered`] is true; the caller then has to write to the pages instead.
    /// An error without an errno means that `pages` are not within the mapping.
    pub fn populate_write(&self, pages: Range<u64>) -> io::Result<()> {
        let (at, bytes) = self.range(pages).ok_or_else(|| io::Error::other("pages outside the mapping"))?;
        // SAFETY: populating changes no byte of memory, and `range` checks that the pages are within this mapping.
        unsafe { mman::madvise(at, bytes, MmapAdvise::MADV_POPULATE_WRITE) }?;
        Ok(())
    }

    /// Allocates every page of the mapping as [`Mapping::populate_write`] does.
    ///
    /// # Errors
    ///
    /// The errors of [`Mapping::populate_write`].
    pub fn populate_all(&self) -> io::Result<()> {
        self.populate_write(0..(self.bytes / self.page_bytes) as u64)
    }

    /// Makes one transparent huge page of `pages`, the first of which is allocated: MADV_COLLAPSE. They must be aligned to its
    /// size.
    ///
    /// # Errors
    ///
    /// The errors of madvise(2); see [`charge()`].
    fn collapse(&self, pages: Range<u64>) -> io::Result<()> {
        let (at, bytes) = self.range(pages).ok_or(Errno::EINVAL)?;
        // SAFETY: collapsing changes no byte of memory, and `range` checks that the pages are within this mapping.
        checked(unsafe { libc::madvise(at.as_ptr(), bytes, libc::MADV_COLLAPSE) }.into())
    }

    /// Excludes the memory from core dumps, as DPDK does: a 1 GiB page would make the dump large.
    ///
    /// # Errors
    ///
    /// The errors of madvise(2).
    pub fn keep_out_of_dumps(&self) -> io::Result<()> {
        self.advise(MmapAdvise::MADV_DONTDUMP)
    }

    /// Keeps the kernel from using transparent huge pages for ordinary memory.
    ///
    /// # Errors
    ///
    /// The errors of madvise(2): EINVAL if the kernel has no transparent huge pages.
    pub fn keep_pages_small(&self) -> io::Result<()> {
        self.advise(MmapAdvise::MADV_NOHUGEPAGE)
    }

    /// Locks ordinary memory with mlock(2), which also populates all of it.
    ///
    /// # Errors
    ///
    /// EPERM or ENOMEM if RLIMIT_MEMLOCK is exceeded.
    pub fn lock(&self) -> io::Result<()> {
        // SAFETY: locking changes no byte of memory, and the range is this mapping.
        unsafe { mman::mlock(self.start, self.bytes) }?;
        Ok(())
    }

    /// Binds the memory strictly to a NUMA node: MPOL_BIND. Pages that are already allocated are not moved.
    ///
    /// # Errors
    ///
    /// The errors of mbind(2): EPERM or ENOSYS where the call is forbidden, EINVAL for a node that does not exist or
    /// that this process may not use.
    pub fn bind(&self, node: u32) -> io::Result<()> {
        let mask = mask_of(node)?;
        let (mode, flags) = (libc::MPOL_BIND, 0_u32);
        // SAFETY: the kernel reads one bit less than declared, which is what the mask holds. The call changes no byte
        // of memory.
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

    /// Returns the NUMA node of a page. The page must already be allocated, because the call touches it.
    ///
    /// # Errors
    ///
    /// The errors of get_mempolicy(2): EPERM or ENOSYS where the call is forbidden. An error without an errno means
    /// that the page is not within the mapping, or that the kernel reported no node.
    pub fn node_of(&self, page: u64) -> io::Result<u32> {
        let after = page.checked_add(1).ok_or(Errno::EOVERFLOW)?;
        let (at, _) = self.range(page..after).ok_or_else(|| io::Error::other("page outside the mapping"))?;
        let mut node: c_int = -1;
        let no_mask = ptr::null_mut::<c_ulong>();
        // SAFETY: the call writes to `node`, which is an int. It gets no mask, and the address is within this mapping.
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

    /// Unmaps the memory. Dropping does the same but cannot report a failure.
    ///
    /// # Errors
    ///
    /// The errors of munmap(2) or shmdt(2). The pages are then still allocated.
    pub fn unmap(self) -> io::Result<()> {
        ManuallyDrop::new(self).release()
    }

    fn release(&mut self) -> io::Result<()> {
        match self.kind {
            // SAFETY: the range is the one that mmap returned. No slice of it exists, because `self` is borrowed
            // exclusively and is either being dropped or never used again.
            Kind::Mmap => unsafe { mman::munmap(self.start, self.bytes) }.map_err(Into::into),
            // SAFETY: as above, with the address that shmat returned.
            Kind::Shm => checked(unsafe { libc::shmdt(self.start.as_ptr()) }.into()),
        }
    }

    fn advise(&self, advice: MmapAdvise) -> io::Result<()> {
        // SAFETY: the callers only give advice that changes no byte of memory, and the range is this mapping.
        unsafe { mman::madvise(self.start, self.bytes, advice) }?;
        Ok(())
    }

    /// Returns the address and length of some pages; `None` if there are none or the mapping does not contain all of
    /// them.
    fn range(&self, pages: Range<u64>) -> Option<(NonNull<c_void>, usize)> {
        let at = usize::try_from(pages.start).ok()?.checked_mul(self.page_bytes)?;
        let end = usize::try_from(pages.end).ok()?.checked_mul(self.page_bytes)?;
        if at >= end || end > self.bytes {
            return None;
        }
        // SAFETY: `at` is less than the length of the mapping, which fits in isize.
        Some((unsafe { self.start.byte_add(at) }, end - at))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Normally the caller uses `unmap`, which returns errors. A drop follows an error or a panic that is reported.
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

/// Returns the length and the page size, in bytes.
fn lengths(len: HugeLen) -> io::Result<(NonZeroUsize, usize)> {
    let bytes = usize::try_from(len.bytes()).ok().and_then(NonZeroUsize::new).ok_or(Errno::EOVERFLOW)?;
    Ok((bytes, usize::try_from(len.size().bytes()).map_err(|_| Errno::EOVERFLOW)?))
}
