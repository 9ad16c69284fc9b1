//! A file that was received: what the kernel says about it, and whether its pages are those wanted.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};
use serde::Serialize;

use super::{SMALL_PAGE, TableError};
use crate::domain::size::PageSize;

/// What a region's pages have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Huge pages of this size.
    Of(PageSize),
    /// Huge pages of any size.
    Huge,
    /// Any memory at all: for tests on machines without huge pages. A data path over it proves nothing about them.
    Any,
}

/// What the kernel says about a file that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// `st_size`, bytes.
    pub bytes: u64,
    /// `f_bsize` of fstatfs(2): on hugetlbfs its page size.
    pub page_bytes: u64,
    /// Whether it is on hugetlbfs, by magic number. A memfd of huge pages is.
    pub is_hugetlbfs: bool,
    /// Whether it cannot get shorter: F_SEAL_SHRINK. Files of a mounted hugetlbfs cannot be sealed.
    pub is_sealed: bool,
}

// === impl FileFacts ===

impl FileFacts {
    /// Asks the kernel about a descriptor; `None` if it is not a regular file.
    ///
    /// # Errors
    ///
    /// The call that was refused, and the answer.
    pub fn of(file: &impl AsFd) -> Result<Option<Self>, (&'static str, Errno)> {
        let stat = fstat(file).map_err(|errno| ("fstat", errno))?;
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Ok(None);
        }
        let system = fstatfs(file).map_err(|errno| ("fstatfs", errno))?;
        // Not every file can be sealed, and one that cannot is not.
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
    /// The unit in which a file is mapped, if it has the pages wanted.
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
            // The smallest unit that there is a name for.
            (Self::Any, _) => PageSize::from_bytes(2 * SMALL_PAGE)
                .ok_or(TableError::NotHuge { index, page_bytes: facts.page_bytes }),
            _ => Err(TableError::NotHuge { index, page_bytes: facts.page_bytes }),
        }
    }
}
