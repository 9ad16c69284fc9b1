//! The frontend's memory as the backend has it: the table of SET_MEM_TABLE, checked, mapped, and addresses translated.
//!
//! Everything in a table comes from a stranger. A region is mapped only if its file is one, has the pages asked for and
//! reaches as far as the region says; an address is translated only if all of it lies in regions. The one thing that
//! cannot be known beforehand is whether the file stays as long as it is: see docs/internals/adr/0004-a-peer-that-truncates.md.

mod file;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::fstat;
use vm_memory::VolatileSlice;

use super::message::{MemoryRegion, REGIONS_LIMIT};
use crate::domain::size::{HugeLen, PageSize};
use crate::linux::errno::named;
use crate::linux::map::{Fill, Mapping, Sharing};

pub use file::{FileFacts, Pages};

/// The regions of a peer's memory, mapped.
#[derive(Debug, Default)]
pub struct Table {
    regions: Vec<Region>,
}

/// One region, mapped.
#[derive(Debug)]
pub struct Region {
    given: MemoryRegion,
    facts: FileFacts,
    file: OwnedFd,
    mapping: Mapping,
    /// Where in the mapping the region begins: a mapping begins at a whole page.
    lead: usize,
    bytes: usize,
}

/// A table that is refused. Regions are counted from 0.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Each region has its own descriptor.
    #[error("{regions} regions with {fds} descriptors")]
    FdCount {
        /// How many regions.
        regions: usize,
        /// How many descriptors.
        fds: usize,
    },
    /// More regions than there may be.
    #[error("more than {REGIONS_LIMIT} regions")]
    TooMany,
    /// A region of no bytes.
    #[error("region {0} is empty")]
    Empty(usize),
    /// A number of a region is not a multiple of 4 KiB.
    #[error("region {index}: its {what} {number:#x} is not a multiple of 4096")]
    Unaligned {
        /// Which region.
        index: usize,
        /// What of it.
        what: &'static str,
        /// That number.
        number: u64,
    },
    /// A region goes beyond the end of an address space.
    #[error("region {index}: its {what} {number:#x} and its {bytes:#x} bytes exceed 64 bits")]
    Wraps {
        /// Which region.
        index: usize,
        /// What of it.
        what: &'static str,
        /// That number.
        number: u64,
        /// Its length.
        bytes: u64,
    },
    /// Two regions share addresses.
    #[error("regions {first} and {second} overlap in {space} addresses")]
    Overlap {
        /// The one.
        first: usize,
        /// The other.
        second: usize,
        /// `guest` or `user`.
        space: &'static str,
    },
    /// The descriptor is a socket, an eventfd, a directory…
    #[error("region {0}: its descriptor is not a regular file")]
    NotAFile(usize),
    /// The file has ordinary pages.
    #[error("region {index}: its file is not on hugetlbfs, its pages are of {page_bytes} bytes")]
    NotHuge {
        /// Which region.
        index: usize,
        /// `f_bsize`.
        page_bytes: u64,
    },
    /// The file has huge pages of another size.
    #[error("region {index}: its file has pages of {found} instead of {wanted}")]
    OtherSize {
        /// Which region.
        index: usize,
        /// What it has.
        found: String,
        /// The end of the region.
        wanted: PageSize,
    },
    /// The file ends before the region does.
    #[error("region {index}: it ends at {end:#x} of its file, which has {bytes:#x} bytes")]
    PastEnd {
        /// Which region.
        index: usize,
        /// Where in the file it ends.
        end: u64,
        /// How long the file is.
        bytes: u64,
    },
    /// A system call was refused.
    #[error("region {index}: {call}: {}", named(.source))]
    Refused {
        /// Which region.
        index: usize,
        /// The call.
        call: &'static str,
        /// The answer.
        source: io::Error,
    },
    /// REM_MEM_REG of a region that is not in the table.
    #[error("no region with guest address {:#x}, user address {:#x} and {:#x} bytes", .0.guest, .0.user, .0.bytes)]
    NotThere(MemoryRegion),
}

/// An address that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes at {space} address {address:#x} are not within the regions")]
pub struct Outside {
    /// `guest` or `user`.
    pub space: &'static str,
    /// The address.
    pub address: u64,
    /// How many bytes from there on were wanted.
    pub bytes: u64,
}

/// What guests are made of: QEMU aligns regions to the page size of the target, which is at least this.
const SMALL_PAGE: u64 = 4096;

// === impl Table ===

impl Table {
    /// Checks and maps a table. Nothing stays mapped, and no descriptor open, if any region is refused.
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

    /// Adds a region: ADD_MEM_REG.
    ///
    /// # Errors
    ///
    /// See [`TableError`]; the table is as before.
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

    /// Takes a region away: REM_MEM_REG. Its offset is ignored, as the specification says.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub fn remove(&mut self, given: &MemoryRegion) -> Result<(), TableError> {
        let same = |region: &Region| {
            let its = region.given;
            (its.guest, its.user, its.bytes) == (given.guest, given.user, given.bytes)
        };
        let index = self.regions.iter().position(same).ok_or(TableError::NotThere(*given))?;
        self.regions.remove(index);
        Ok(())
    }

    /// The regions, in the order given.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The memory at a user address: the parts of a vring, which lie in one region each.
    ///
    /// # Errors
    ///
    /// Not all of it is within one region.
    pub fn user(&self, address: u64, bytes: usize) -> Result<VolatileSlice<'_>, Outside> {
        let outside = || Outside { space: "user", address, bytes: bytes as u64 };
        self.regions
            .iter()
            .find_map(|region| region.part(address.checked_sub(region.given.user)?, bytes))
            .filter(|slice| slice.len() == bytes)
            .ok_or_else(outside)
    }

    /// The memory at a guest address, as far as one region has it: a buffer may go on in the next.
    ///
    /// # Errors
    ///
    /// Its beginning is in no region.
    pub fn guest(&self, address: u64, bytes: usize) -> Result<VolatileSlice<'_>, Outside> {
        self.regions
            .iter()
            .find_map(|region| region.part(address.checked_sub(region.given.guest)?, bytes))
            .ok_or(Outside { space: "guest", address, bytes: bytes as u64 })
    }

    /// Checks whether every file still covers its region. It may shrink a moment later.
    ///
    /// # Errors
    ///
    /// A file has become shorter: touching the region would end in SIGBUS.
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
        // Not beyond 64 bits: `check_addresses` has looked.
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
        // Advice only: a kernel without it makes a larger core dump.
        let _ = mapping.keep_out_of_dumps();
        let lead = usize::try_from(lead).map_err(|_| too_long())?;
        let bytes = usize::try_from(given.bytes).map_err(|_| too_long())?;
        Ok(Self { given, facts, file, mapping, lead, bytes })
    }

    /// As the peer described it.
    #[must_use]
    pub const fn given(&self) -> &MemoryRegion {
        &self.given
    }

    /// What the kernel says about its file.
    #[must_use]
    pub const fn facts(&self) -> &FileFacts {
        &self.facts
    }

    /// Its mapping: whole pages, of which the region may be a part.
    #[must_use]
    pub const fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Its memory.
    #[must_use]
    pub fn volatile(&self) -> Option<VolatileSlice<'_>> {
        self.part(0, self.bytes)
    }

    /// At most `bytes` from `at` on; `None` if not even the first is within the region.
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
