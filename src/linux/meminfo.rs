//! `/proc/meminfo`: total and available memory, memory with hardware errors, swap space, and the default huge page
//! size.

use super::fields::{self, parse_kilobytes};
use super::root::HostRoot;
use hugeprobe_domain::digits::parse_digits;
use hugeprobe_domain::inventory::Pool;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::reserve::Memory;
use hugeprobe_domain::size::PageSize;

const MEMINFO: &str = "/proc/meminfo";

/// Returns the bytes of memory that the kernel no longer uses because of hardware errors. `Absent` if the kernel was
/// built without CONFIG_MEMORY_FAILURE.
#[must_use]
pub fn hardware_corrupted(root: &HostRoot) -> Reading<u64> {
    field(root, "HardwareCorrupted", parse_kilobytes)
}

/// Returns the bytes of swap space. `Absent` if the kernel was built without CONFIG_SWAP.
#[must_use]
pub fn swap_total(root: &HostRoot) -> Reading<u64> {
    field(root, "SwapTotal", parse_kilobytes)
}

/// Returns the machine's memory; `None` if either of its lines is missing or malformed.
#[must_use]
pub fn memory(root: &HostRoot) -> Option<Memory> {
    let bytes = |key| field(root, key, parse_kilobytes).get();
    Some(Memory { total: bytes("MemTotal")?, available: bytes("MemAvailable")? })
}

/// Returns the default huge page size. It applies to mmap and shmget without a size, to a hugetlbfs mount without
/// `pagesize=`, and to `hugepages=` before any `hugepagesz=`. `Absent` if the kernel has no hugetlb.
#[must_use]
pub fn default_size(root: &HostRoot) -> Reading<PageSize> {
    field(root, "Hugepagesize", |text| parse_kilobytes(text).and_then(PageSize::from_bytes))
}

/// Returns the pool of the default size, without its share of each NUMA node; `None` if the kernel has no hugetlb, or if the
/// file cannot be read.
///
/// Source: `hugetlb_report_meminfo()` in `mm/hugetlb.c`.
#[must_use]
pub fn default_pool(root: &HostRoot) -> Option<Pool> {
    let number = |key| field(root, key, parse_digits);
    Some(Pool {
        size: default_size(root).get()?,
        total: number("HugePages_Total"),
        free: number("HugePages_Free"),
        reserved: number("HugePages_Rsvd"),
        surplus: number("HugePages_Surp"),
        overcommit: root.number("/proc/sys/vm/nr_overcommit_hugepages"),
        mempolicy: Reading::Absent,
        numa: Vec::new(),
    })
}

fn field<T>(root: &HostRoot, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
    root.table(MEMINFO).and_then(|text| fields::parsed(MEMINFO, &text, key, parse))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meminfo(text: &str) -> (tempfile::TempDir, HostRoot) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("proc")).unwrap();
        std::fs::write(directory.path().join("proc/meminfo"), text).unwrap();
        let root = HostRoot::new(directory.path());
        (directory, root)
    }

    #[test]
    fn fields_are_bytes_and_sizes() {
        let (_directory, root) = meminfo(
            "MemTotal:  24 kB\nSwapTotal:  2097148 kB\nHardwareCorrupted:     8 kB\nHugepagesize:       2048 kB\n",
        );
        assert_eq!(hardware_corrupted(&root), Reading::Known(8192));
        assert_eq!(swap_total(&root), Reading::Known(2_097_148 << 10));
        assert_eq!(default_size(&root), Reading::Known("2Mi".parse().unwrap()));
        assert!(swap_total(&HostRoot::default()).known().is_some());
    }

    #[test]
    fn the_pool_of_the_default_size() {
        let (_directory, root) = meminfo(
            "HugePages_Total:      64\nHugePages_Free:       60\nHugePages_Rsvd:        2\nHugePages_Surp:        1\n\
             Hugepagesize:       2048 kB\n",
        );
        let pool = default_pool(&root).unwrap();
        let read = [&pool.total, &pool.free, &pool.reserved, &pool.surplus].map(Reading::get);
        assert_eq!((pool.size.to_string().as_str(), read), ("2Mi", [64, 60, 2, 1].map(Some)));
        assert_eq!(default_pool(&meminfo("HugePages_Total: 1\n").1), None);
    }

    #[test]
    fn memory_needs_both_of_its_lines() {
        let read = |text| {
            let (_directory, root) = meminfo(text);
            memory(&root)
        };
        let text = "MemTotal:       24576000 kB\nMemFree:        1 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(read(text), Some(Memory { total: 24_576_000 << 10, available: 2 << 20 }));
        for text in
            ["", "MemTotal: 1 kB", "MemTotal: 1 kB\nMemAvailable: x kB", "MemTotal: 1\nMemAvailable: 1"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_that_is_missing_is_absent_and_one_that_holds_no_number_malformed() {
        let (_directory, root) = meminfo("MemTotal: 24 kB\n");
        assert_eq!(hardware_corrupted(&root), Reading::Absent);
        assert_eq!(default_size(&root), Reading::Absent);
        for text in ["", "0", "kB", "-1 kB", "x kB", "3 kB", "99999999999999999999 kB"] {
            let (_directory, root) = meminfo(&format!("Hugepagesize: {text}\n"));
            assert!(
                matches!(default_size(&root), Reading::Malformed(why) if why.contains("Hugepagesize")),
                "{text}"
            );
        }
    }

    #[test]
    fn no_swap_is_zero_and_what_is_no_number_is_malformed() {
        let (_directory, root) = meminfo("SwapTotal:             0 kB\n");
        assert_eq!(swap_total(&root), Reading::Known(0));
        for text in ["", "much kB", "unlimited kB", "18446744073709551615 kB"] {
            let (_directory, root) = meminfo(&format!("SwapTotal: {text}\n"));
            assert!(matches!(swap_total(&root), Reading::Malformed(_)), "{text}");
        }
    }
}
