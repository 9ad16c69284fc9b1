//! The frontend's memory at the backend: the memory table of SET_MEM_TABLE, checked and mapped, and its addresses
//! translated.
//!
//! Everything in a memory table is untrusted. A region is mapped only if its descriptor is a regular file that has the
//! required pages and is long enough for the region. An address is translated only if all of its bytes lie in regions.
//! One thing cannot be checked in advance: whether the file keeps its length. See
//! docs/internals/adr/0004-a-peer-that-truncates.md.

mod file;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::fstat;
use vm_memory::VolatileSlice;

use super::message::{MemoryRegion, REGIONS_LIMIT};
use hugeprobe_domain::size::{HugeLen, PageSize};
use hugeprobe_linux::errno::named;
use hugeprobe_linux::map::{Fill, Mapping, Sharing};

pub use file::{FileFacts, Pages};

/// The mapped regions of a peer's memory.
#[derive(Debug, Default)]
pub struct Table {
    regions: Vec<Region>,
}

/// A mapped region.
#[derive(Debug)]
pub struct Region {
    given: MemoryRegion,
    facts: FileFacts,
    file: OwnedFd,
    mapping: Mapping,
    /// The offset of the region in the mapping. A mapping begins at a whole page.
    lead: usize,
    bytes: usize,
}

/// An error that refuses a memory table. Regions are counted from 0.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The number of descriptors differs from the number of regions.
    #[error("{regions} regions with {fds} descriptors")]
    FdCount {
        /// The number of regions.
        regions: usize,
        /// The number of descriptors.
        fds: usize,
    },
    /// The table has more than [`REGIONS_LIMIT`] regions.
    #[error("more than {REGIONS_LIMIT} regions")]
    TooMany,
    /// A region has no bytes.
    #[error("region {0} is empty")]
    Empty(usize),
    /// An address, offset or length of a region is not a multiple of 4 KiB.
    #[error("region {index}: its {what} {number:#x} is not a multiple of 4096")]
    Unaligned {
        /// The region.
        index: usize,
        /// The name of the field.
        what: &'static str,
        /// The value of the field.
        number: u64,
    },
    /// A region extends beyond the end of an address space.
    #[error("region {index}: its {what} {number:#x} and its {bytes:#x} bytes exceed 64 bits")]
    Wraps {
        /// The region.
        index: usize,
        /// The name of the field.
        what: &'static str,
        /// The value of the field.
        number: u64,
        /// The length of the region in bytes.
        bytes: u64,
    },
    /// Two regions share addresses.
    #[error("regions {first} and {second} overlap in {space} addresses")]
    Overlap {
        /// The first region.
        first: usize,
        /// The second region.
        second: usize,
        /// `guest` or `user`.
        space: &'static str,
    },
    /// The descriptor is not a regular file, but for example a socket, an eventfd or a directory.
    #[error("region {0}: its descriptor is not a regular file")]
    NotAFile(usize),
    /// The file has ordinary pages.
    #[error("region {index}: its file is not on hugetlbfs, its pages are of {page_bytes} bytes")]
    NotHuge {
        /// The region.
        index: usize,
        /// `f_bsize` of the file.
        page_bytes: u64,
    },
    /// The file has huge pages of another size.
    #[error("region {index}: its file has pages of {found} instead of {wanted}")]
    OtherSize {
        /// The region.
        index: usize,
        /// The page size of the file.
        found: String,
        /// The required page size.
        wanted: PageSize,
    },
    /// The file ends before the region does.
    #[error("region {index}: it ends at {end:#x} of its file, which has {bytes:#x} bytes")]
    PastEnd {
        /// The region.
        index: usize,
        /// The end of the region in the file.
        end: u64,
        /// The length of the file in bytes.
        bytes: u64,
    },
    /// A system call failed.
    #[error("region {index}: {call}: {}", named(.source))]
    Refused {
        /// The region.
        index: usize,
        /// The system call.
        call: &'static str,
        /// The error that it returned.
        source: io::Error,
    },
    /// REM_MEM_REG names a region that is not in the table.
    #[error("no region with guest address {:#x}, user address {:#x} and {:#x} bytes", .0.guest, .0.user, .0.bytes)]
    NotThere(MemoryRegion),
}

/// An address that is not in the memory table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes at {space} address {address:#x} are not within the regions")]
pub struct Outside {
    /// `guest` or `user`.
    pub space: &'static str,
    /// The address.
    pub address: u64,
    /// The number of bytes requested from there.
    pub bytes: u64,
}

/// The unit of a guest's memory in bytes. QEMU aligns regions to the page size of the target, which is at least this.
const SMALL_PAGE: u64 = 4096;

// === impl Table ===

impl Table {
    /// Checks and maps a memory table. If any region is refused, nothing stays mapped and no descriptor stays open.
    ///
    /// # Errors
    ///
    /// See [`TableError`].
    pub fn new(given: &[MemoryRegion], fds: Vec<OwnedFd>, pages: Pages) -> Result<Self, TableError> {
        if given.len() != fds.len() {
            return Err(TableError::FdCount { regions: given.len(), fds: fds.len() });
        }
        check_addresses(given)?;
        let regions = given
            .iter()
            .zip(fds)
            .enumerate()
            .map(|(index, (given, fd))| Region::new(index, *given, fd, pages))
            .collect::<Result<_, _>>()?;
        Ok(Self { regions })
    }

    /// Adds a region, as ADD_MEM_REG requests.
    ///
    /// # Errors
    ///
    /// See [`TableError`]. The table is unchanged then.
    pub fn add(&mut self, given: MemoryRegion, fds: Vec<OwnedFd>, pages: Pages) -> Result<(), TableError> {
        let mut all: Vec<_> = self.regions.iter().map(|region| region.given).collect();
        all.push(given);
        check_addresses(&all)?;
        match <[OwnedFd; 1]>::try_from(fds) {
            Ok([fd]) => self.regions.push(Region::new(self.regions.len(), given, fd, pages)?),
            Err(fds) => return Err(TableError::FdCount { regions: 1, fds: fds.len() }),
        }
        Ok(())
    }

    /// Removes a region, as REM_MEM_REG requests. The region's offset is ignored, as the specification says.
    ///
    /// # Errors
    ///
    /// The region is not in the table.
    pub fn remove(&mut self, given: &MemoryRegion) -> Result<(), TableError> {
        let same = |region: &Region| {
            let its = region.given;
            (its.guest, its.user, its.bytes) == (given.guest, given.user, given.bytes)
        };
        let index = self.regions.iter().position(same).ok_or(TableError::NotThere(*given))?;
        self.regions.remove(index);
        Ok(())
    }

    /// Returns the regions, in the order in which they were received.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Returns the memory at a user address. User addresses refer to the parts of a vring, each of which lies in one
    /// region.
    ///
    /// # Errors
    ///
    /// The bytes do not all lie in one region.
    pub fn user(&self, address: u64, bytes: usize) -> Result<VolatileSlice<'_>, Outside> {
        let outside = || Outside { space: "user", address, bytes: bytes as u64 };
        self.regions
            .iter()
            .find_map(|region| region.part(address.checked_sub(region.given.user)?, bytes))
            .filter(|slice| slice.len() == bytes)
            .ok_or_else(outside)
    }

    /// Returns the memory at a guest address, up to the end of its region. A buffer may continue in the next region.
    ///
    /// # Errors
    ///
    /// The address is in no region.
    pub fn guest(&self, address: u64, bytes: usize) -> Result<VolatileSlice<'_>, Outside> {
        self.regions
            .iter()
            .find_map(|region| region.part(address.checked_sub(region.given.guest)?, bytes))
            .ok_or(Outside { space: "guest", address, bytes: bytes as u64 })
    }

    /// Checks whether every file is still long enough for its region. A file may shrink right after the check.
    ///
    /// # Errors
    ///
    /// A file has become shorter: an access to the region would raise SIGBUS.
    pub fn check_files(&self) -> Result<(), TableError> {
        for (index, region) in self.regions.iter().enumerate().filter(|(_, region)| !region.facts.is_sealed) {
            let bytes = fstat(&region.file).map_err(refused(index, "fstat"))?.st_size.cast_unsigned();
            let end = region.given.offset.saturating_add(region.given.bytes);
            if end > bytes {
                return Err(TableError::PastEnd { index, end, bytes });
            }
        }
        Ok(())
    }
}

// === impl Region ===

impl Region {
    fn new(index: usize, given: MemoryRegion, file: OwnedFd, pages: Pages) -> Result<Self, TableError> {
        let facts = FileFacts::of(&file).map_err(|(call, errno)| refused(index, call)(errno))?;
        let facts = facts.ok_or(TableError::NotAFile(index))?;
        let unit = pages.unit(index, &facts)?;
        // The sum does not exceed 64 bits: `check_addresses` has checked it.
        let end = given.offset.saturating_add(given.bytes);
        if end > facts.bytes {
            return Err(TableError::PastEnd { index, end, bytes: facts.bytes });
        }
        let first_page = given.offset / unit.bytes();
        let lead = given.offset % unit.bytes();
        let too_long = || refused(index, "mmap")(Errno::EOVERFLOW);
        let len = HugeLen::new(unit, (lead + given.bytes).div_ceil(unit.bytes())).ok_or_else(too_long)?;
        let mapping = Mapping::file(file.as_fd(), len, first_page, Sharing::Shared, Fill::OnTouch)
            .map_err(|source| TableError::Refused { index, call: "mmap", source })?;
        // Ignore an error: without this advice, a core dump is only larger.
        let _ = mapping.keep_out_of_dumps();
        let lead = usize::try_from(lead).map_err(|_| too_long())?;
        let bytes = usize::try_from(given.bytes).map_err(|_| too_long())?;
        Ok(Self { given, facts, file, mapping, lead, bytes })
    }

    /// Returns the region as the peer described it.
    #[must_use]
    pub const fn given(&self) -> &MemoryRegion {
        &self.given
    }

    /// Returns what the kernel reports about the region's file.
    #[must_use]
    pub const fn facts(&self) -> &FileFacts {
        &self.facts
    }

    /// Returns the mapping. It consists of whole pages, and the region may be a part of it.
    #[must_use]
    pub const fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Returns the memory of the region.
    #[must_use]
    pub fn volatile(&self) -> Option<VolatileSlice<'_>> {
        self.part(0, self.bytes)
    }

    /// Returns at most `bytes` bytes from offset `at` of the region, or `None` if the offset is outside the region.
    fn part(&self, at: u64, bytes: usize) -> Option<VolatileSlice<'_>> {
        let at = usize::try_from(at).ok()?;
        let left = self.bytes.checked_sub(at).filter(|left| *left > 0)?;
        self.mapping.volatile().subslice(self.lead + at, bytes.min(left)).ok()
    }
}

// === helpers ===

fn check_addresses(regions: &[MemoryRegion]) -> Result<(), TableError> {
    if regions.len() > REGIONS_LIMIT {
        return Err(TableError::TooMany);
    }
    for (index, region) in regions.iter().enumerate() {
        if region.bytes == 0 {
            return Err(TableError::Empty(index));
        }
        let addresses =
            [("guest address", region.guest), ("user address", region.user), ("offset", region.offset)];
        for (what, number) in addresses.into_iter().chain([("length", region.bytes)]) {
            if number % SMALL_PAGE != 0 {
                return Err(TableError::Unaligned { index, what, number });
            }
        }
        for (what, number) in addresses {
            if number.checked_add(region.bytes).is_none() {
                return Err(TableError::Wraps { index, what, number, bytes: region.bytes });
            }
        }
        for (other, before) in regions.iter().enumerate().take(index) {
            let meet =
                |a: u64, b: u64| a < b.saturating_add(before.bytes) && b < a.saturating_add(region.bytes);
            for (space, a, b) in [("guest", region.guest, before.guest), ("user", region.user, before.user)] {
                if meet(a, b) {
                    return Err(TableError::Overlap { first: other, second: index, space });
                }
            }
        }
    }
    Ok(())
}

fn refused(index: usize, call: &'static str) -> impl Fn(Errno) -> TableError {
    move |errno| TableError::Refused { index, call, source: errno.into() }
}

#[cfg(test)]
mod tests;
