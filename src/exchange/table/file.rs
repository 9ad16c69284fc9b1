//! A received file: what the kernel reports about it, and whether it has the required pages.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};
use serde::Serialize;

use super::{SMALL_PAGE, TableError};
use hugeprobe_domain::size::PageSize;

/// The required pages of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Huge pages of this size.
    Of(PageSize),
    /// Huge pages of any size.
    Huge,
    /// Any memory. This is for tests on machines without huge pages: a data path over such memory proves nothing about
    /// them.
    Any,
}

/// What the kernel reports about a received file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// `st_size` in bytes.
    pub bytes: u64,
    /// `f_bsize` of fstatfs(2). On hugetlbfs, this is the page size.
    pub page_bytes: u64,
    /// Whether the file is on hugetlbfs, by its magic number. A memfd of huge pages is as well.
    pub is_hugetlbfs: bool,
    /// Whether the file cannot shrink (F_SEAL_SHRINK). Files of a mounted hugetlbfs cannot be sealed.
    pub is_sealed: bool,
}

// === impl FileFacts ===

impl FileFacts {
    /// Reads the facts about a descriptor. Returns `None` if it is not a regular file.
    ///
    /// # Errors
    ///
    /// Returns the system call that failed, and its error.
    pub fn of(file: &impl AsFd) -> Result<Option<Self>, (&'static str, Errno)> {
        let stat = fstat(file).map_err(|errno| ("fstat", errno))?;
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Ok(None);
        }
        let system = fstatfs(file).map_err(|errno| ("fstatfs", errno))?;
        // The call fails for a file that cannot be sealed, so that file has no seals.
        let seals = fcntl(file, FcntlArg::F_GET_SEALS).unwrap_or_default();
        Ok(Some(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            bytes: stat.st_size.cast_unsigned(),
            page_bytes: u64::try_from(system.block_size()).unwrap_or_default(),
            is_hugetlbfs: system.filesystem_type() == HUGETLBFS_MAGIC,
            is_sealed: SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_SHRINK),
        }))
    }
}

// === impl Pages ===

impl Pages {
    /// Returns the unit in which a file is mapped, if it has the required pages.
    pub(super) fn unit(self, index: usize, facts: &FileFacts) -> Result<PageSize, TableError> {
        let found = PageSize::from_bytes(facts.page_bytes);
        match (self, found) {
            (Self::Of(_) | Self::Huge, _) if !facts.is_hugetlbfs => {
                Err(TableError::NotHuge { index, page_bytes: facts.page_bytes })
            }
            (Self::Of(wanted), found) if found != Some(wanted) => {
                let found =
                    found.map_or_else(|| format!("{} bytes", facts.page_bytes), |size| size.to_string());
                Err(TableError::OtherSize { index, found, wanted })
            }
            (_, Some(found)) if facts.is_hugetlbfs => Ok(found),
            // 8 KiB is the smallest `PageSize`. Ordinary memory can be mapped in any unit.
            (Self::Any, _) => PageSize::from_bytes(2 * SMALL_PAGE)
                .ok_or(TableError::NotHuge { index, page_bytes: facts.page_bytes }),
            _ => Err(TableError::NotHuge { index, page_bytes: facts.page_bytes }),
        }
    }
}
