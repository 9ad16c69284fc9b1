//! The frontend's memory: mapped files of whole pages, divided into the regions of the memory table.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use vm_memory::VolatileSlice;

use crate::message::MemoryRegion;
use hugeprobe_domain::size::HugeLen;
use hugeprobe_linux::map::{Fill, Mapping, Sharing};

/// The memory to share.
#[derive(Debug, Default)]
pub struct Memory {
    files: Vec<Mapped>,
    regions: Vec<Region>,
}

/// A file and its mapping.
#[derive(Debug)]
struct Mapped {
    file: OwnedFd,
    mapping: Mapping,
}

/// A part of a file, as the memory table describes it.
#[derive(Debug, Clone, Copy)]
struct Region {
    file: usize,
    given: MemoryRegion,
}

/// A region, and how much of it is in use.
#[derive(Debug)]
pub struct Area<'m> {
    memory: VolatileSlice<'m>,
    given: MemoryRegion,
    taken: usize,
}

/// A part of a region, with all its addresses.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'m> {
    /// The memory.
    pub memory: VolatileSlice<'m>,
    /// The guest address.
    pub guest: u64,
    /// The user address.
    pub user: u64,
}

/// The first guest address, and the distance between regions. Guest addresses are far from the user addresses, so that
/// a backend that confuses the two is detected.
const GUEST_START: u64 = 0x1_0000_0000;
const GUEST_STEP: u64 = 0x100_0000_0000;

// === impl Memory ===

impl Memory {
    /// Maps the first `len` of a file and divides it into `regions` regions of equal length. The last region also gets
    /// the remainder.
    ///
    /// Regions end at multiples of 4 KiB, and at whole pages if their number allows it. The file is sealed against
    /// shrinking if possible, as QEMU does, because a peer that receives it could otherwise truncate it.
    ///
    /// # Errors
    ///
    /// mmap(2) failed, with ENOMEM if the pages cannot be reserved, or a region would be shorter than 4 KiB.
    pub fn add(
        &mut self,
        file: BorrowedFd<'_>,
        len: HugeLen,
        sharing: Sharing,
        regions: u64,
    ) -> io::Result<()> {
        const SMALL: u64 = 4096;
        let mapping = Mapping::file(file, len, 0, sharing, Fill::OnTouch)?;
        let _ = mapping.keep_out_of_dumps();
        let each = (len.bytes() / regions.max(1)) & !(SMALL - 1);
        if each == 0 {
            return Err(io::Error::other(format!("{regions} regions of {} bytes", len.bytes())));
        }
        for number in 0..regions.max(1) {
            let (offset, index) = (number * each, self.regions.len() as u64);
            let bytes = if number + 1 == regions.max(1) { len.bytes() - offset } else { each };
            // In ascending order, as in the tables of QEMU and virtio_user: rust-vmm's backends accept no other.
            let guest = GUEST_START + index.min(63) * GUEST_STEP;
            let given = MemoryRegion { guest, bytes, user: mapping.address() + offset, offset };
            self.regions.push(Region { file: self.files.len(), given });
        }
        // Files of a mounted hugetlbfs cannot be sealed; see docs/internals/adr/0004-a-peer-that-truncates.md.
        let _ = fcntl(file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW));
        self.files.push(Mapped { file: file.try_clone_to_owned()?, mapping });
        Ok(())
    }

    /// Returns the memory table of the first `count` regions, with a descriptor for each.
    #[must_use]
    pub fn table(&self, count: usize) -> (Vec<MemoryRegion>, Vec<BorrowedFd<'_>>) {
        let regions = || self.regions.iter().take(count);
        let fds = regions().filter_map(|region| Some(self.files.get(region.file)?.file.as_fd()));
        (regions().map(|region| region.given).collect(), fds.collect())
    }

    /// Returns the number of regions.
    #[must_use]
    pub const fn regions(&self) -> usize {
        self.regions.len()
    }

    /// Returns the mappings, one for each file.
    pub fn mappings(&self) -> impl Iterator<Item = &Mapping> {
        self.files.iter().map(|file| &file.mapping)
    }

    /// Returns the files.
    pub fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.files.iter().map(|file| file.file.as_fd())
    }

    /// Returns the first `count` regions as areas with nothing in use.
    #[must_use]
    pub fn areas(&self, count: usize) -> Vec<Area<'_>> {
        let area = |region: &Region| {
            let offset = usize::try_from(region.given.offset).ok()?;
            let bytes = usize::try_from(region.given.bytes).ok()?;
            let memory = self.files.get(region.file)?.mapping.volatile().subslice(offset, bytes).ok()?;
            Some(Area { memory, given: region.given, taken: 0 })
        };
        self.regions.iter().take(count).filter_map(area).collect()
    }
}

// === impl Area ===

impl<'m> Area<'m> {
    /// Returns the whole memory of the area.
    #[must_use]
    pub const fn memory(&self) -> VolatileSlice<'m> {
        self.memory
    }

    /// Releases everything that was taken.
    pub const fn clear(&mut self) {
        self.taken = 0;
    }

    /// Takes the next `bytes` bytes, at a multiple of `alignment`. Returns `None` if fewer are left.
    pub fn take(&mut self, bytes: usize, alignment: usize) -> Option<Piece<'m>> {
        let at = self.taken.checked_next_multiple_of(alignment)?;
        let memory = self.memory.subslice(at, bytes).ok()?;
        self.taken = at + bytes;
        Some(Piece { memory, guest: self.given.guest + at as u64, user: self.given.user + at as u64 })
    }
}
