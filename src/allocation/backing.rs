//! The sources of huge pages for a sequence of steps, and the mappings made from them.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::stat::{major, minor};
use vm_memory::Bytes as _;

use hugeprobe_domain::inventory::HugeMount;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::{HugeLen, PageSize};
use hugeprobe_linux::errno::{is_not_offered, named};
use hugeprobe_linux::hugefile::{FileSource, HugeFile, HugeFileError};
use hugeprobe_linux::map::{Fill, Mapping, Sharing};
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::smaps::MappingFacts;
use hugeprobe_linux::{mounts, numa_maps, smaps};

/// A source of huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backing<'a> {
    /// MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB.
    Anonymous,
    /// memfd_create(MFD_HUGETLB), mapped shared.
    Memfd,
    /// A file in a directory of a mounted hugetlbfs, mapped shared.
    Directory(&'a Path),
    /// A file in a hugetlbfs that is not attached to any path, mapped shared.
    Unattached,
}

/// A mapping, and its file if it has one. Dropping this unmaps the memory and closes the file.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) mapping: Mapping,
    /// Closed after the memory is unmapped, because the file's pages are freed with the file.
    file: Option<HugeFile>,
}

/// Why memory could not be mapped.
#[derive(Debug, thiserror::Error)]
pub(super) enum MapError {
    /// The file could not be opened or created; no page was requested yet.
    #[error(transparent)]
    File(#[from] HugeFileError),
    /// The kernel refused the mapping.
    #[error("{call}: {}", named(.source))]
    Map {
        /// The call: mmap or, for SysV, one of the calls used instead.
        call: &'static str,
        /// The error.
        source: io::Error,
    },
}

/// What the kernel shows about a mapping of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Observed {
    /// The page size, and the huge pages held.
    pub(super) smaps: Reading<MappingFacts>,
    /// Pairs (NUMA node, pages).
    pub(super) numa_maps: Reading<Vec<(u32, u64)>>,
}

// === impl Backing ===

impl<'a> Backing<'a> {
    /// Uses `directory`, or a private hugetlbfs if there is none.
    pub(super) fn hugetlbfs(directory: Option<&'a str>) -> Self {
        directory.map_or(Self::Unattached, |path| Self::Directory(Path::new(path)))
    }

    /// Maps `len`. [`Fill::AtOnce`] uses MAP_POPULATE.
    pub(super) fn map(self, len: HugeLen, fill: Fill) -> Result<Held, MapError> {
        let place = match self {
            Self::Anonymous => {
                let mapping = Mapping::anonymous(len, fill).map_err(MapError::mmap)?;
                return Ok(Held::new(mapping, None));
            }
            Self::Memfd => FileSource::Memfd,
            Self::Directory(path) => FileSource::Directory(path),
            Self::Unattached => FileSource::Unattached,
        };
        let file = HugeFile::new(place, len)?;
        let mapping = Mapping::file(file.as_fd(), len, 0, Sharing::Shared, fill).map_err(MapError::mmap)?;
        Ok(Held::new(mapping, Some(file)))
    }

    /// Returns the number of pages that the mount has reserved for its files (`min_size=`). A file there does not
    /// reserve these pages a second time.
    pub(super) fn held_by_mount(self, size: PageSize) -> u64 {
        let Self::Directory(path) = self else { return 0 };
        let Ok(device) = std::fs::metadata(path).map(|facts| facts.dev()) else { return 0 };
        let device = format!("{}:{}", major(device), minor(device));
        let mounts = mounts::read(&HostRoot::default());
        let of_this = |mount: &&HugeMount| mount.device == device;
        let mount = mounts.known().and_then(|mounts| mounts.iter().find(of_this));
        mount.and_then(|mount| mount.min_bytes).unwrap_or(0) / size.bytes()
    }

    /// Describes how the memory is mapped, for messages.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Anonymous => "MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB".to_owned(),
            Self::Memfd => "of a memfd, MAP_SHARED".to_owned(),
            Self::Directory(path) => format!("of a file in {}, MAP_SHARED", path.display()),
            Self::Unattached => "of a file in a private hugetlbfs, MAP_SHARED".to_owned(),
        }
    }
}

// === impl MapError ===

impl MapError {
    pub(super) const fn mmap(source: io::Error) -> Self {
        Self::Map { call: "mmap", source }
    }
}

// === impl Held ===

impl Held {
    fn new(mapping: Mapping, file: Option<HugeFile>) -> Self {
        // Huge pages are useless in a core dump. Ignore errors, because a dump that contains them does no harm.
        let _ = mapping.keep_out_of_dumps();
        Self { mapping, file }
    }

    /// Returns what the kernel shows about the mapping.
    pub(super) fn observe(&self) -> Observed {
        Observed::of(&self.mapping)
    }

    /// Unmaps the memory and closes the file.
    pub(super) fn release(self) -> io::Result<()> {
        let Self { mapping, file } = self;
        let unmapped = mapping.unmap();
        drop(file);
        unmapped
    }
}

// === impl Observed ===

impl Observed {
    pub(super) fn of(mapping: &Mapping) -> Self {
        let smaps = smaps::mapping_at(mapping.address());
        let numa_maps = match &smaps {
            // A mapping without pages has none on any node.
            Reading::Known(facts) if facts.held_bytes() == 0 => Reading::Known(Vec::new()),
            _ => numa_maps::nodes_of_mapping_at(mapping.address()),
        };
        Self { smaps, numa_maps }
    }

    /// Returns the number of pages that the mapping holds, if it is known.
    pub(super) fn pages(&self, size: PageSize) -> Option<u64> {
        self.smaps.known().map(|facts| facts.held_bytes() / size.bytes())
    }

    /// Returns the pairs (NUMA node, pages), as far as they are known.
    pub(super) fn numa(&self) -> &[(u32, u64)] {
        self.numa_maps.known().map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the pairs (NUMA node, pages) of the pages added since `before`.
    pub(super) fn numa_since(&self, before: &Self) -> Vec<(u32, u64)> {
        let had = |node: u32| before.numa().iter().filter(|(n, _)| *n == node).map(|(_, n)| *n).sum::<u64>();
        let new = self.numa().iter().map(|(node, pages)| (*node, pages.saturating_sub(had(*node))));
        new.filter(|(_, pages)| *pages > 0).collect()
    }
}

/// Allocates a page that was reserved and writes its first byte. If the kernel does not support MADV_POPULATE_WRITE,
/// the write allocates the page.
pub(super) fn touch(mapping: &Mapping, page: u64, size: PageSize) -> io::Result<()> {
    match mapping.populate_write(page..page + 1) {
        Err(error) if !is_not_offered(&error) => return Err(error),
        _ => {}
    }
    let at = usize::try_from(page * size.bytes()).map_err(io::Error::other)?;
    mapping.volatile().write_obj(1_u8, at).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(numa_maps: Reading<Vec<(u32, u64)>>) -> Observed {
        let facts = MappingFacts { page_bytes: 2 << 20, private_bytes: 2 << 20, shared_bytes: 4 << 20 };
        Observed { smaps: Reading::Known(facts), numa_maps }
    }

    #[test]
    fn a_touch_is_placed_on_the_node_that_has_one_page_more() {
        let before = observed(Reading::Known(vec![(0, 2)]));
        let after = observed(Reading::Known(vec![(0, 2), (1, 1)]));
        assert_eq!(after.numa_since(&before), [(1, 1)]);
        assert_eq!(observed(Reading::Absent).numa_since(&before), []);
    }

    #[test]
    fn pages_are_counted_shared_or_not() {
        assert_eq!(observed(Reading::Absent).pages(PageSize::from_bytes(2 << 20).unwrap()), Some(3));
    }

    #[test]
    fn a_directory_that_is_no_hugetlbfs_holds_nothing() {
        let size = PageSize::from_bytes(2 << 20).unwrap();
        for path in ["/", "/none"] {
            assert_eq!(Backing::Directory(Path::new(path)).held_by_mount(size), 0);
        }
        assert_eq!(Backing::Memfd.held_by_mount(size), 0);
    }
}
