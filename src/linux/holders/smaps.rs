//! The files with huge pages that a process maps, and how many pages it has touched, from smaps and maps.

use super::FileId;
use crate::smaps::{Entry, Header, entries, parse_header};
use hugeprobe_domain::size::PageSize;

/// A mapping of huge pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// Its address range as named in `/proc/PID/map_files`: `7f00-7f20`.
    pub range: String,
    /// The mapped file. Anonymous memory has a file that is internal to the kernel.
    pub file: FileId,
    /// Whether it is a SysV segment. Its inode is the segment's id, which is unique only within one IPC namespace.
    pub is_sysv: bool,
    /// Whether it is MAP_PRIVATE. Pages that were written then belong to this process and not to the file.
    pub is_private: bool,
    /// The page size.
    pub size: PageSize,
    /// The number of pages that only this process maps.
    pub exclusive: u64,
    /// The number of pages that another process, or another mapping, also maps.
    pub shared: u64,
}

/// Returns the mappings of huge pages in the text of a smaps file. Lines that do not have the format of smaps are
/// ignored, and a number that is malformed or missing counts as 0.
pub fn parse_smaps(text: &str) -> impl Iterator<Item = Area> {
    entries(text).filter_map(|entry| area(&entry))
}

/// Returns the device and inode of each file in the text of a maps or smaps file. Memory without a file is left out.
pub fn parse_maps(text: &str) -> impl Iterator<Item = FileId> {
    text.lines().filter_map(parse_header).map(|header| file_of(&header)).filter(|file| file.inode != 0)
}

/// Returns the mapping, if it is of huge pages.
fn area(entry: &Entry<'_>) -> Option<Area> {
    let bytes = |field| entry.bytes(field).get().unwrap_or(0);
    let (exclusive, shared) = (bytes("Private_Hugetlb"), bytes("Shared_Hugetlb"));
    if !entry.has_huge_pages() {
        return None;
    }
    let size = PageSize::from_bytes(bytes("KernelPageSize"))?;
    Some(Area {
        range: entry.header.range.to_owned(),
        file: file_of(&entry.header),
        is_sysv: entry.header.path.starts_with("/SYSV"),
        is_private: entry.header.is_private,
        size,
        exclusive: exclusive / size.bytes(),
        shared: shared / size.bytes(),
    })
}

fn file_of(header: &Header<'_>) -> FileId {
    let (major, minor) = header.device;
    FileId { major, minor, inode: header.inode, namespace: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The output of Linux 6.18, shortened.
    const SEEN: &str = "\
558000000000-558000001000 r--p 00000000 fe:00 131 /usr/bin/testpmd\nSize: 4 kB\nKernelPageSize: 4 kB\nRss: 4 kB
Shared_Hugetlb:        0 kB\nPrivate_Hugetlb:       0 kB\nVmFlags: rd mr mw me sd
7ffba4200000-7ffba4600000 rw-p 00000000 00:28 1580402                    /mnt/named
Size:               4096 kB\nKernelPageSize:     2048 kB\nMMUPageSize:        2048 kB\nRss:                   0 kB
Shared_Hugetlb:        0 kB\nPrivate_Hugetlb:    4096 kB\nVmFlags: rd wr mr mw me de ht sd
7ffba4e00000-7ffba5200000 rw-s 00000000 00:28 1580402                    /mnt/with space
KernelPageSize:     2048 kB\nShared_Hugetlb:     2048 kB\nPrivate_Hugetlb:       0 kB\nVmFlags: rd wr sh mr mw me ms de ht sd
7f59bd000000-7f59bd400000 rw-s 00000000 00:11 0                          /SYSV00000000 (deleted)
KernelPageSize:  1048576 kB\nShared_Hugetlb:        0 kB\nPrivate_Hugetlb:       0 kB\nVmFlags: rd wr sh ht
7ffba5b1c000-7ffba5b1f000 rw-p 00000000 00:00 0 \nSize:                 12 kB\nKernelPageSize:        4 kB\nVmFlags: rd wr
";

    #[test]
    fn mappings_of_huge_pages_are_found_among_the_others() {
        let areas: Vec<_> = parse_smaps(SEEN).collect();
        let shown: Vec<_> = areas
            .iter()
            .map(|a| {
                (
                    a.file.minor,
                    a.file.inode,
                    a.size.to_string(),
                    a.is_private,
                    a.is_sysv,
                    a.exclusive,
                    a.shared,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (0x28, 1_580_402, "2Mi".to_owned(), true, false, 2, 0),
                (0x28, 1_580_402, "2Mi".to_owned(), false, false, 0, 1),
                (0x11, 0, "1Gi".to_owned(), false, true, 0, 0),
            ]
        );
        assert_eq!(areas[0].range, "7ffba4200000-7ffba4600000");
    }

    #[test]
    fn maps_name_the_files_by_device_and_inode() {
        let files: Vec<_> = parse_maps(SEEN).map(|file| (file.major, file.minor, file.inode)).collect();
        assert_eq!(files, [(0xfe, 0, 131), (0, 0x28, 1_580_402), (0, 0x28, 1_580_402)]);
    }

    #[test]
    fn numbers_that_are_none_hold_no_pages() {
        let area = |fields: &str| -> Vec<Area> {
            parse_smaps(&format!("1000-2000 rw-s 0 00:28 7 /f\n{fields}")).collect()
        };
        for fields in
            ["", "VmFlags: ht", "KernelPageSize: 3 kB\nVmFlags: ht", "KernelPageSize: 2048\nVmFlags: ht"]
        {
            assert_eq!(area(fields), [], "{fields}");
        }
        let huge = area("KernelPageSize: 2048 kB\nPrivate_Hugetlb: 99999999999999999999 kB\nVmFlags: ht");
        assert_eq!((huge.len(), huge[0].exclusive), (1, 0));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([0-9a-f]{1,20}-[0-9a-f]{1,20} rw-[ps] 0 [0-9a-f]{1,3}:[0-9a-f]{1,3} [0-9]{1,22} /x\n|(KernelPageSize|Private_Hugetlb|VmFlags): ?[0-9]{0,22} ?(kB|ht)\n|\\PC*){0,9}") {
            let _ = parse_smaps(&text).count();
            let _ = parse_maps(&text).count();
        }
    }
}
