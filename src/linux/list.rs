//! The kernel's list format, such as `0-3,8,10-11`: the CPUs of a NUMA node, the nodes that are online, or the CPUs and
//! nodes that a process may use.

use hugeprobe_domain::digits::parse_digits;
pub use hugeprobe_domain::text::format_list;

/// The maximum length of a list. Linux supports at most 8192 CPUs and 1024 NUMA nodes, so a longer list is malformed.
/// The limit keeps `0-4294967295` from taking gigabytes.
pub const MOST: usize = 65_536;

/// Parses a list and returns its numbers, ascending and without duplicates; `None` if the text is not a list, or names
/// more than [`MOST`] numbers.
///
/// An empty text is the empty list, which the kernel shows for a NUMA node without CPUs. The form `0-31:1/2` (the first
/// of every two) is accepted as well: the kernel reads it, although it never prints it.
///
/// Source: Documentation/admin-guide/kernel-parameters.rst, "cpu lists".
#[must_use]
pub fn parse_list(text: &str) -> Option<Vec<u32>> {
    let text = text.trim();
    let mut numbers = Vec::new();
    if text.is_empty() {
        return Some(numbers);
    }
    for part in text.split(',') {
        let (range, group) = match part.split_once(':') {
            Some((range, group)) => (range, group),
            None => (part, "1/1"),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (parse_digits(first)?, parse_digits(last)?);
        let (used, size) = group.split_once('/')?;
        let (used, size): (u32, u32) = (parse_digits(used)?, parse_digits(size)?);
        let length = usize::try_from(last.checked_sub(first)?).ok()?.checked_add(1)?;
        if used == 0 || used > size || length > MOST.checked_sub(numbers.len())? {
            return None;
        }
        numbers.extend((first..=last).filter(|number| (number - first) % size < used));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_read_as_the_kernel_prints_them() {
        for (text, numbers) in [
            ("", &[][..]),
            ("\n", &[]),
            ("0\n", &[0]),
            ("0-3,8,10-11", &[0, 1, 2, 3, 8, 10, 11]),
            ("0-7:1/2", &[0, 2, 4, 6]),
            ("0-6:2/4,9", &[0, 1, 4, 5, 9]),
            ("3,1-2,2", &[1, 2, 3]),
            ("4294967295", &[u32::MAX]),
        ] {
            assert_eq!(parse_list(text).as_deref(), Some(numbers), "{text}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            "a",
            "0-",
            "-1",
            "3-0",
            "0,,1",
            "0,",
            "+1",
            "0x1",
            "1 2",
            "0-3:",
            "0-3:1",
            "0-3:0/2",
            "0-3:3/2",
            "0-3:1/0",
            "0-0-0",
            "4294967296",
        ] {
            assert_eq!(parse_list(text), None, "{text}");
        }
    }

    #[test]
    fn a_list_longer_than_any_machine_is_refused_before_it_is_made() {
        assert_eq!(parse_list("0-4294967295"), None);
        assert_eq!(parse_list("0-65536"), None);
        assert_eq!(parse_list(&["0-65535"; 3].join(",")), None);
        assert_eq!(parse_list("0-65535").map(|numbers| numbers.len()), Some(MOST));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9,:/ -]{0,40}|\\PC*") {
            if let Some(numbers) = parse_list(&text) {
                prop_assert!(numbers.len() <= MOST);
                prop_assert!(numbers.is_sorted());
            }
        }

        #[test]
        fn every_set_survives_being_printed(numbers in proptest::collection::btree_set(0_u32..9000, 0..200)) {
            let numbers: Vec<u32> = numbers.into_iter().collect();
            let text = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            prop_assert_eq!(parse_list(&text), Some(numbers.clone()));
            prop_assert_eq!(parse_list(&format_list(&numbers)), Some(numbers));
        }
    }
}
