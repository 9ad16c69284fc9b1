//! `/proc/PID/smaps`: the mappings of a process, and their page size and huge pages.
//!
//! Other processes do not change these numbers, so they count only the pages of that process, unlike the counters of
//! the machine. Huge pages appear only in `Shared_Hugetlb` and `Private_Hugetlb`: `Rss` and `Pss` do not count them.
//! Source: Documentation/filesystems/proc.rst.

use serde::Serialize;

use super::fields::{self, parse_kilobytes};
use super::root::HostRoot;
use hugeprobe_domain::reading::Reading;

const SMAPS: &str = "/proc/self/smaps";

/// The first line of a mapping, in smaps as in maps: `7f00-7f20 rw-s 00000000 00:28 1580402      /dev/hugepages/file`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The addresses as the kernel prints them.
    pub range: &'a str,
    /// The first address.
    pub start: u64,
    /// The address after the last.
    pub end: u64,
    /// Whether the mapping is MAP_PRIVATE.
    pub is_private: bool,
    /// The major and minor number of the file's device.
    pub device: (u64, u64),
    /// The file's inode; 0 without a file.
    pub inode: u64,
    /// The path of the file, or the text in its place, such as `[heap]`.
    pub path: &'a str,
}

/// A mapping in a smaps file: its first line, and the fields below it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The first line.
    pub header: Header<'a>,
    /// The text of the other lines.
    fields: &'a str,
    /// The text of all lines.
    pub text: &'a str,
}

/// The page size and the huge pages of one mapping, in bytes.
///
/// Only the sum of private and shared is evidence; see [`MappingFacts::held_bytes`]. The kernel decides with
/// `hugetlb_pmd_shared()` which of the two a page counts as, whatever the size of the page (fs/proc/task_mmu.c
/// `smaps_hugetlb_range`, include/linux/hugetlb.h). Since "mm/hugetlb: fix hugetlb_pmd_shared()" (December 2025; stable
/// 6.18 has it), that function reads `pt_share_count` of the page table that holds the entry. The field shares its
/// memory with other fields (include/linux/mm_types.h `struct ptdesc`) and is set to 0 only for PMD tables. The entries
/// of 1Gi pages are in a PUD table, where the field holds an arbitrary value. Seen on 6.18.44: of 60 processes that
/// were the only ones to map a 1Gi page, 31 had it as `Shared_Hugetlb`. 2Mi pages are counted correctly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MappingFacts {
    /// `KernelPageSize`.
    pub page_bytes: u64,
    /// `Private_Hugetlb`: the huge pages that, according to the kernel, only this process maps.
    pub private_bytes: u64,
    /// `Shared_Hugetlb`: the huge pages that, according to the kernel, another process maps too.
    pub shared_bytes: u64,
}

/// Returns the mapping of this process that contains `address`; `Absent` if there is none, or if the kernel has no
/// smaps.
#[must_use]
pub fn mapping_at(address: u64) -> Reading<MappingFacts> {
    let wanted = |line: &str| parse_header(line).is_some_and(|header| header.contains(address));
    HostRoot::default()
        .entry(SMAPS, wanted, |line| parse_header(line).is_some())
        .and_then(|text| parse(&text, address))
}

/// Parses the first line of a mapping. Returns `None` for any other line; those begin with a word and a colon.
#[must_use]
pub fn parse_header(line: &str) -> Option<Header<'_>> {
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
    let mut fields = line.splitn(6, ' ');
    let range = fields.next()?;
    let (start, end) = range.split_once('-')?;
    let is_private = fields.next()?.ends_with('p');
    let _offset = fields.next()?;
    let (major, minor) = fields.next()?.split_once(':')?;
    Some(Header {
        range,
        start: hexadecimal(start)?,
        end: hexadecimal(end)?,
        is_private,
        device: (hexadecimal(major)?, hexadecimal(minor)?),
        inode: fields.next()?.trim_end().parse().ok()?,
        path: fields.next().unwrap_or_default().trim(),
    })
}

/// Returns the huge pages that a process maps, in bytes, from its `smaps_rollup` (since Linux 4.14). `Absent` means
/// that the process does not exist.
#[must_use]
pub fn held_by(pid: u32) -> Reading<u64> {
    HostRoot::default().parsed(format!("/proc/{pid}/smaps_rollup"), parse_rollup)
}

/// Returns the bytes of huge pages in the text of a smaps_rollup file.
#[must_use]
pub fn parse_rollup(text: &str) -> Option<u64> {
    let bytes = |name| parse_kilobytes(fields::value(text, name)?);
    Some(bytes("Private_Hugetlb")?.saturating_add(bytes("Shared_Hugetlb")?))
}

impl MappingFacts {
    /// Returns the bytes of huge pages that the mapping holds, shared or not.
    #[must_use]
    pub const fn held_bytes(&self) -> u64 {
        self.private_bytes.saturating_add(self.shared_bytes)
    }
}

/// Returns the mapping that contains `address`, from the text of a smaps file.
#[must_use]
pub fn parse(text: &str, address: u64) -> Reading<MappingFacts> {
    entries(text).find(|entry| entry.header.contains(address)).map_or(Reading::Absent, |entry| entry.facts())
}

/// Returns the mappings in the text of a smaps file, in its order. Lines before the first mapping are ignored.
pub fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let whole = rest;
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            if let Some(header) = parse_header(line) {
                let is_field = |line: &&str| parse_header(line).is_none();
                let length = rest.split_inclusive('\n').take_while(is_field).map(str::len).sum();
                let (fields, after) = rest.split_at_checked(length)?;
                rest = after;
                let text = whole.get(..whole.len().saturating_sub(after.len())).unwrap_or_default();
                return Some(Entry { header, fields, text });
            }
        }
        None
    })
}

// === impl Header, Entry ===

impl Header<'_> {
    fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }
}

impl Entry<'_> {
    /// Returns the bytes in the line of a field such as `Private_Hugetlb`; `Absent` if there is no such line.
    #[must_use]
    pub fn bytes(&self, field: &str) -> Reading<u64> {
        fields::parsed(SMAPS, self.fields, field, parse_kilobytes)
    }

    /// Returns whether the mapping is of hugetlb pages: flag `ht` of `VmFlags`.
    #[must_use]
    pub fn is_hugetlb(&self) -> bool {
        fields::value(self.fields, "VmFlags")
            .is_some_and(|flags| flags.split_ascii_whitespace().any(|flag| flag == "ht"))
    }

    /// Returns whether the mapping is of huge pages, or has some.
    #[must_use]
    pub fn has_huge_pages(&self) -> bool {
        let has = |field| self.bytes(field).get().is_some_and(|bytes| bytes > 0);
        self.is_hugetlb() || has("Private_Hugetlb") || has("Shared_Hugetlb")
    }

    /// Returns the page size and the huge pages; `Malformed` if one of their lines is missing.
    fn facts(&self) -> Reading<MappingFacts> {
        let field = |name| match self.bytes(name) {
            Reading::Absent => Reading::Malformed(format!("{SMAPS} lacks {name}")),
            reading => reading,
        };
        field("KernelPageSize").and_then(|page_bytes| {
            field("Private_Hugetlb").and_then(|private_bytes| {
                field("Shared_Hugetlb").map(|shared_bytes| MappingFacts {
                    page_bytes,
                    private_bytes,
                    shared_bytes,
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
55d0c0000000-55d0c0001000 r--p 00000000 08:01 1234                       /usr/bin/a-b-c
Size:                  4 kB
KernelPageSize:        4 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
VmFlags: rd mr mw me sd
7f3480000000-7f3480400000 rw-p 00000000 00:10 2085                       /anon_hugepage (deleted)
Size:               4096 kB
KernelPageSize:     2048 kB
MMUPageSize:        2048 kB
Rss:                   0 kB
Shared_Hugetlb:     2048 kB
Private_Hugetlb:    4096 kB
VmFlags: rd wr mr mw me de ht sd
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
Size:                132 kB
";

    #[test]
    fn the_mapping_around_an_address_is_found() {
        let huge = MappingFacts { page_bytes: 2 << 20, private_bytes: 4 << 20, shared_bytes: 2 << 20 };
        for (address, expected) in [
            (0x7f34_8000_0000, Reading::Known(huge)),
            (0x7f34_803f_ffff, Reading::Known(huge)),
            (0x7f34_8040_0000, Reading::Absent),
            (0, Reading::Absent),
            (
                0x55d0_c000_0000,
                Reading::Known(MappingFacts { page_bytes: 4096, private_bytes: 0, shared_bytes: 0 }),
            ),
        ] {
            assert_eq!(parse(TEXT, address), expected, "{address:x}");
        }
        assert_eq!(huge.held_bytes(), 6 << 20);
    }

    #[test]
    fn a_mapping_without_its_figures_is_malformed() {
        assert!(matches!(parse(TEXT, 0x7ffc_0000_0000), Reading::Malformed(why) if why.contains("lacks")));
        for (from, to) in [("2048 kB", "many kB"), ("2048 kB", "-1 kB"), ("2048 kB", "2048"), ("2048 kB", "")]
        {
            assert!(parse(&TEXT.replace(from, to), 0x7f34_8000_0000).is_trouble(), "{to}");
        }
    }

    #[test]
    fn the_total_of_a_process_is_read() {
        let text = "55d0-7ffc ---p 00000000 00:00 0    [rollup]\nRss: 2048 kB\nShared_Hugetlb:     4096 kB\n\
                    Private_Hugetlb:    2048 kB\nSwap: 0 kB\n";
        assert_eq!(parse_rollup(text), Some(6 << 20));
        for (from, to) in [("2048 kB\nSwap", "x kB\nSwap"), ("Shared_Hugetlb", "Shared"), (" kB", "")] {
            assert_eq!(parse_rollup(&text.replace(from, to)), None, "{to}");
        }
        assert!(held_by(std::process::id()).get().is_some());
        assert_eq!(held_by(0), Reading::Absent);
    }

    #[test]
    fn our_own_are_there() {
        let local = 0_u8;
        assert!(mapping_at(&raw const local as u64).known().is_some_and(|facts| facts.page_bytes >= 4096));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", address: u64) {
            let _ = parse(&text, address);
            let _ = parse_rollup(&text);
        }

        #[test]
        fn a_cut_or_changed_text_does_not_panic(cut in 0_usize..800, byte in "[ -~]") {
            let mut text = TEXT.to_owned();
            let cut = cut % text.len();
            text.replace_range(cut..=cut, &byte);
            let _ = parse(&text, 0x7f34_8000_0000);
            let _ = parse(&text[..cut], 0x7f34_8000_0000);
        }

        #[test]
        fn every_figure_survives(start in 0_u64..1 << 40, page in 1_u64..1 << 30, private in 0_u64..1 << 40, shared in 0_u64..1 << 40) {
            let text = format!(
                "{start:x}-{:x} rw-s 0 0:1 2 /a b\nKernelPageSize: {page} kB\nShared_Hugetlb: {shared} kB\nPrivate_Hugetlb: {private} kB\n",
                start + 1
            );
            let facts = MappingFacts { page_bytes: page << 10, private_bytes: private << 10, shared_bytes: shared << 10 };
            prop_assert_eq!(parse(&text, start), Reading::Known(facts));
        }
    }
}
