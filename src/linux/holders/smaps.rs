//! Parses `/proc/PID/smaps` and `/proc/PID/maps`: which files with huge pages a process maps, and how many pages it has
//! touched.
//!
//! Huge pages appear only in `Shared_Hugetlb` and `Private_Hugetlb`: `Rss` and `Pss` do not count them. Source:
//! Documentation/filesystems/proc.rst.

use super::FileId;
use crate::fields::parse_kilobytes;
use crate::smaps::{Header, parse_header};
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
/// ignored.
#[must_use]
pub fn parse_smaps(text: &str) -> Vec<Area> {
    let mut areas = Vec::new();
    let mut current: Option<Mapping<'_>> = None;
    for line in text.lines() {
        if let Some(header) = parse_header(line) {
            areas.extend(current.take().and_then(Mapping::area));
            current = Some(Mapping { header, page_bytes: 0, exclusive: 0, shared: 0, is_huge: false });
        } else if let Some(mapping) = &mut current {
            mapping.take(line);
        }
    }
    areas.extend(current.and_then(Mapping::area));
    areas
}

/// Returns the device and inode of each file in the text of a maps or smaps file. Memory without a file is left out.
pub fn parse_maps(text: &str) -> impl Iterator<Item = FileId> {
    text.lines().filter_map(parse_header).map(|header| file_of(&header)).filter(|file| file.inode != 0)
}

struct Mapping<'a> {
    header: Header<'a>,
    page_bytes: u64,
    exclusive: u64,
    shared: u64,
    is_huge: bool,
}

// === impl Mapping ===

impl Mapping<'_> {
    fn take(&mut self, line: &str) {
        let Some((key, value)) = line.split_once(':') else { return };
        let bytes = || parse_kilobytes(value.trim());
        match key {
            "KernelPageSize" => self.page_bytes = bytes().unwrap_or(0),
            "Private_Hugetlb" => self.exclusive = bytes().unwrap_or(0),
            "Shared_Hugetlb" => self.shared = bytes().unwrap_or(0),
            "VmFlags" => self.is_huge = value.split_ascii_whitespace().any(|flag| flag == "ht"),
            _ => {}
        }
    }

    fn area(self) -> Option<Area> {
        if !self.is_huge && self.exclusive == 0 && self.shared == 0 {
            return None;
        }
        let size = PageSize::from_bytes(self.page_bytes)?;
        Some(Area {
            range: self.header.range.to_owned(),
            file: file_of(&self.header),
            is_sysv: self.header.path.starts_with("/SYSV"),
            is_private: self.header.is_private,
            size,
            exclusive: self.exclusive / size.bytes(),
            shared: self.shared / size.bytes(),
        })
    }
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
        let areas = parse_smaps(SEEN);
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
        let area = |fields: &str| parse_smaps(&format!("1000-2000 rw-s 0 00:28 7 /f\n{fields}"));
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
            let _ = parse_smaps(&text);
            let _ = parse_maps(&text).count();
        }
    }
}
