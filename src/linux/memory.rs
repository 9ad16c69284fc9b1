//! `/proc/meminfo`: memory that is broken, and the size that the kernel takes when nobody names one.

use super::root::{HostRoot, quoted};
use crate::domain::reading::Reading;
use crate::domain::size::{PageSize, parse_bytes};

const MEMINFO: &str = "/proc/meminfo";

/// Bytes of memory that the kernel has put aside as broken. `Absent`: built without CONFIG_MEMORY_FAILURE.
#[must_use]
pub fn hardware_corrupted(root: &HostRoot) -> Reading<u64> {
    field(root, "HardwareCorrupted", parse_kilobytes)
}

/// The default size: of mmap and shmget without a size, of a hugetlbfs mount without `pagesize=`, and of `hugepages=`
/// before any `hugepagesz=`. `Absent`: a kernel without hugetlb.
#[must_use]
pub fn default_size(root: &HostRoot) -> Reading<PageSize> {
    field(root, "Hugepagesize", |text| parse_kilobytes(text).and_then(PageSize::from_bytes))
}

/// The text behind `key:`, without the white space around it.
#[must_use]
pub fn parse_meminfo<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| *found == key)
        .map(|(_, value)| value.trim())
}

fn field<T>(root: &HostRoot, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
    root.table(MEMINFO).and_then(|table| match parse_meminfo(&table, key) {
        None => Reading::Absent,
        Some(text) => parse(text).map_or_else(
            || Reading::Malformed(format!("{MEMINFO} holds {} for {key}", quoted(text))),
            Reading::Known,
        ),
    })
}

/// `2048 kB`, in bytes. The kernel's kB are kibibytes.
fn parse_kilobytes(text: &str) -> Option<u64> {
    parse_bytes(&format!("{}kB", text.strip_suffix("kB")?.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meminfo(text: &str) -> (tempfile::TempDir, HostRoot) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("proc")).unwrap();
        std::fs::write(directory.path().join("proc/meminfo"), text).unwrap();
        let root = HostRoot::new(directory.path());
        (directory, root)
    }

    #[test]
    fn fields_are_bytes_and_sizes() {
        let (_directory, root) =
            meminfo("MemTotal:  24 kB\nHardwareCorrupted:     8 kB\nHugepagesize:       2048 kB\n");
        assert_eq!(hardware_corrupted(&root), Reading::Known(8192));
        assert_eq!(default_size(&root), Reading::Known("2Mi".parse().unwrap()));
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

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", key in "[A-Za-z]{0,8}") {
            let _ = parse_meminfo(&text, &key);
            let _ = parse_kilobytes(&text);
        }
    }
}
