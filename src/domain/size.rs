//! Huge page sizes, in all the spellings that the kernel, its file systems and Kubernetes use.
//!
//! Sizes are data and not an enum: arm64 has 64Ki, 2Mi, 32Mi, 512Mi, 1Gi and 16Gi depending on its base page, and the
//! next architecture will have others. The sizes that this machine offers are read from sysfs (`linux::pools`).

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The size of one huge page in bytes: a power of two, 8 KiB to 1 TiB.
///
/// Printed as in Kubernetes (`2Mi`, `1Gi`, `64Ki`). Parsed from every spelling in use, see [`PageSize::from_str`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PageSize(NonZeroU64);

/// The error for a text that is not a huge page size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid huge page size '{text}': {why} (write it as Kubernetes does: 2Mi, 1Gi, 64Ki)")]
pub struct PageSizeError {
    text: String,
    why: &'static str,
}

/// A whole number of huge pages of one size: the only length that mmap, munmap and ftruncate of huge pages accept.
///
/// On hugetlbfs, munmap fails with EINVAL if the length is not a multiple of the page size (seen on 6.18). A length is
/// therefore made from a number of pages, never from bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HugeLen {
    size: PageSize,
    pages: u64,
}

// === impl PageSize ===

const SMALLEST: u64 = 8 << 10;
const LARGEST: u64 = 1 << 40;

impl PageSize {
    /// Creates a page size from bytes; `None` unless it is a power of two from 8 KiB to 1 TiB.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        if bytes < SMALLEST || bytes > LARGEST || !bytes.is_power_of_two() {
            return None;
        }
        match NonZeroU64::new(bytes) {
            Some(bytes) => Some(Self(bytes)),
            None => None,
        }
    }

    /// Returns the size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0.get()
    }

    /// Returns log2 of the size in bytes: 21 for 2Mi. `MAP_HUGE_SHIFT` and `MFD_HUGE_SHIFT` encode it (mmap(2)).
    #[must_use]
    pub const fn log2(self) -> u32 {
        self.0.trailing_zeros()
    }

    /// Returns the name of the directory under `/sys/kernel/mm/hugepages`: `hugepages-2048kB`.
    #[must_use]
    pub fn sysfs_name(self) -> String {
        format!("hugepages-{}kB", self.bytes() >> 10)
    }

    /// Returns the size as in the file names of the hugetlb cgroup controller: `2MB`, `1GB`, `64KB`.
    ///
    /// Source: `mem_fmt()` in the kernel's `mm/hugetlb_cgroup.c`.
    #[must_use]
    pub fn cgroup_name(self) -> String {
        let (number, suffix) = self.scaled(["K", "M", "G"]);
        format!("{number}{suffix}B")
    }

    /// Returns the name of the resource in Kubernetes: `hugepages-2Mi`.
    #[must_use]
    pub fn resource_name(self) -> String {
        format!("hugepages-{self}")
    }

    /// Returns the size as hugetlbfs shows it in its mount options: `2M`, `1024M` for 1Gi, `64K`.
    ///
    /// Source: `hugetlbfs_show_options()` in `fs/hugetlbfs/inode.c`: mebibytes from 1 MiB up, kibibytes below.
    #[must_use]
    pub fn mount_option(self) -> String {
        if self.bytes() >= 1 << 20 {
            format!("{}M", self.bytes() >> 20)
        } else {
            format!("{}K", self.bytes() >> 10)
        }
    }

    /// Returns the size in the largest unit, up to Gi, that divides it.
    fn scaled(self, units: [&'static str; 3]) -> (u64, &'static str) {
        let [kibi, mebi, gibi] = units;
        let bytes = self.bytes();
        if bytes >= 1 << 30 {
            (bytes >> 30, gibi)
        } else if bytes >= 1 << 20 {
            (bytes >> 20, mebi)
        } else {
            (bytes >> 10, kibi)
        }
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, suffix) = self.scaled(["Ki", "Mi", "Gi"]);
        f.pad(&format!("{number}{suffix}"))
    }
}

impl fmt::Debug for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PageSize {
    type Err = PageSizeError;

    /// Parses `2Mi` and `hugepages-2Mi` as in Kubernetes, `2048kB` and `hugepages-2048kB` as in sysfs, `2MB` as in
    /// cgroups, `2M` as in mount options and on the kernel command line, and plain bytes.
    ///
    /// Every suffix is a power of 1024, as in the kernel's `memparse()`, in upper or lower case.
    fn from_str(text: &str) -> Result<Self, PageSizeError> {
        let fail = |why| PageSizeError { text: text.chars().take(40).collect(), why };
        let number = text.strip_prefix("hugepages-").unwrap_or(text);
        let bytes = parse_bytes(number).ok_or_else(|| fail("not a number with a unit"))?;
        if !bytes.is_power_of_two() {
            return Err(fail("not a power of two"));
        }
        Self::from_bytes(bytes).ok_or_else(|| fail("outside 8Ki to 1024Gi"))
    }
}

impl TryFrom<String> for PageSize {
    type Error = PageSizeError;

    fn try_from(text: String) -> Result<Self, PageSizeError> {
        text.parse()
    }
}

impl From<PageSize> for String {
    fn from(size: PageSize) -> Self {
        size.to_string()
    }
}

/// Parses a byte count in one of the spellings that [`PageSize`] accepts. It may have any value, because the mount
/// option `size=` and cgroup limits are not page sizes.
///
/// `None` if the text is not such a number or does not fit in 64 bits.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 10,
        "m" | "mb" | "mi" | "mib" => 20,
        "g" | "gb" | "gi" | "gib" => 30,
        "t" | "tb" | "ti" | "tib" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Formats bytes for the user, truncated to one decimal: `1.5 GiB`, `512 MiB`, `17 B`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        let whole = bytes >> shift;
        if whole > 0 {
            let tenth = ((bytes - (whole << shift)) >> (shift - 7)) * 10 / 128;
            return if tenth == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") };
        }
    }
    format!("{bytes} B")
}

// === impl HugeLen ===

impl HugeLen {
    /// Creates the length of `pages` pages of `size`; `None` if `pages` is 0, or if the bytes do not fit in `isize`,
    /// which mmap could not map.
    #[must_use]
    pub fn new(size: PageSize, pages: u64) -> Option<Self> {
        let bytes = size.bytes().checked_mul(pages)?;
        if pages == 0 || isize::try_from(bytes).is_err() {
            return None;
        }
        Some(Self { size, pages })
    }

    /// Returns the page size.
    #[must_use]
    pub const fn size(self) -> PageSize {
        self.size
    }

    /// Returns the number of pages.
    #[must_use]
    pub const fn pages(self) -> u64 {
        self.pages
    }

    /// Returns the length in bytes, a multiple of the page size.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.size.bytes() * self.pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_names_the_same_size() {
        for (bytes, spellings) in [
            (64 << 10, &["64Ki", "64kB", "64KB", "64K", "65536", "hugepages-64kB", "hugepages-64Ki"][..]),
            (
                2 << 20,
                &[
                    "2Mi",
                    "2M",
                    "2MB",
                    "2m",
                    "2048kB",
                    "2048K",
                    "2097152",
                    "hugepages-2Mi",
                    "hugepages-2048kB",
                ],
            ),
            (32 << 20, &["32Mi", "32768kB", "32MB"]),
            (512 << 20, &["512Mi", "524288kB", "512M"]),
            (
                1 << 30,
                &["1Gi", "1G", "1GB", "1g", "1024M", "1048576kB", "hugepages-1048576kB", "hugepages-1Gi"],
            ),
            (16 << 30, &["16Gi", "16777216kB", "16GB"]),
        ] {
            for text in spellings {
                assert_eq!(text.parse::<PageSize>().map(PageSize::bytes), Ok(bytes), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_huge_page_size_says_why() {
        for (text, why) in [
            ("", "not a number"),
            ("Mi", "not a number"),
            ("3Mi", "not a power of two"),
            ("0", "not a power of two"),
            ("4Ki", "outside"),
            ("2048Gi", "outside"),
            ("2 Mi", "not a number"),
            ("2Mi ", "not a number"),
            ("-2Mi", "not a number"),
            ("99999999999999999999", "not a number"),
            ("18446744073709551615Gi", "not a number"),
        ] {
            let error = text.parse::<PageSize>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_those_of_each_interface() {
        let of = |text: &str| text.parse::<PageSize>().unwrap();
        assert_eq!(of("2Mi").sysfs_name(), "hugepages-2048kB");
        assert_eq!(of("1Gi").sysfs_name(), "hugepages-1048576kB");
        assert_eq!(of("2Mi").cgroup_name(), "2MB");
        assert_eq!(of("16Gi").cgroup_name(), "16GB");
        assert_eq!(of("64Ki").cgroup_name(), "64KB");
        assert_eq!(of("1Gi").mount_option(), "1024M");
        assert_eq!(of("64Ki").mount_option(), "64K");
        assert_eq!(of("1Gi").resource_name(), "hugepages-1Gi");
        assert_eq!(of("2Mi").log2(), 21);
    }

    #[test]
    fn bytes_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (17, "17 B"),
            (1536, "1.5 KiB"),
            (2 << 20, "2 MiB"),
            (14 << 30, "14 GiB"),
            (3 << 39, "1.5 TiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn every_size_survives_each_of_its_own_spellings(shift in 13_u32..=40) {
            let size = PageSize::from_bytes(1 << shift).unwrap();
            for text in [size.to_string(), size.sysfs_name(), size.cgroup_name(), size.resource_name(), size.mount_option()] {
                prop_assert_eq!(text.parse::<PageSize>(), Ok(size));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<PageSize>();
        }

        #[test]
        fn a_length_is_whole_pages_or_nothing(shift in 13_u32..=40, pages: u64) {
            let size = PageSize::from_bytes(1 << shift).unwrap();
            if let Some(len) = HugeLen::new(size, pages) {
                prop_assert_eq!(len.bytes() % size.bytes(), 0);
                prop_assert_eq!(len.bytes() / size.bytes(), pages);
            }
        }

        #[test]
        fn no_byte_count_breaks_the_human_form(bytes: u64) {
            prop_assert!(!human_bytes(bytes).is_empty());
        }
    }
}
