//! Reads from numa_maps on which NUMA nodes the pages of one of this process's own mappings are.
//!
//! For huge pages, the counts are in huge pages. Source: `/proc/self/numa_maps`, numa(7), and `gather_hugetlb_stats()`
//! in the kernel's `fs/proc/task_mmu.c`.

use super::root::{HostRoot, quoted};
use hugeprobe_domain::reading::Reading;

/// Returns the pairs (NUMA node, pages) of the mapping of this process that begins at `address`; `Absent` if there is
/// none, or if the kernel has no NUMA support.
#[must_use]
pub fn nodes_of_mapping_at(address: u64) -> Reading<Vec<(u32, u64)>> {
    HostRoot::default()
        .entry("/proc/self/numa_maps", |line| begins_at(line, address), |_| true)
        .and_then(|text| parse(&text, address))
}

/// Returns the pairs (NUMA node, pages) of the mapping that begins at `address`, from the text of a numa_maps file.
#[must_use]
pub fn parse(text: &str, address: u64) -> Reading<Vec<(u32, u64)>> {
    let Some(line) = text.lines().find(|line| begins_at(line, address)) else { return Reading::Absent };
    // The kernel escapes blanks and equal signs in file names, so each word with an equal sign is a field.
    let on_node = |word: &str| {
        let (name, pages) = word.split_once('=')?;
        let node = name.strip_prefix('N').filter(|node| node.starts_with(|c: char| c.is_ascii_digit()))?;
        Some(node.parse().ok().zip(pages.parse().ok()))
    };
    let nodes: Option<Vec<(u32, u64)>> = line.split_whitespace().filter_map(on_node).collect();
    nodes.map_or_else(
        || Reading::Malformed(format!("/proc/self/numa_maps holds {}", quoted(line))),
        Reading::Known,
    )
}

fn begins_at(line: &str, address: u64) -> bool {
    line.split(' ').next().and_then(|start| u64::from_str_radix(start, 16).ok()) == Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
55d0c0000000 default file=/usr/bin/a mapped=1 N0=1 kernelpagesize_kB=4
7f3480000000 bind:1 file=/anon_hugepage\\040(deleted) huge anon=3 dirty=3 N0=1 N1=2 kernelpagesize_kB=2048
7f3490000000 default file=/dev/hugepages/N0\\0752 huge
7f34a0000000 default huge N0=-1 kernelpagesize_kB=2048
";

    #[test]
    fn pages_are_counted_per_node() {
        for (address, expected) in [
            (0x7f34_8000_0000, Reading::Known(vec![(0, 1), (1, 2)])),
            (0x7f34_9000_0000, Reading::Known(vec![])),
            (0x7f34_8020_0000, Reading::Absent),
        ] {
            assert_eq!(parse(TEXT, address), expected, "{address:x}");
        }
        assert!(
            matches!(parse(TEXT, 0x7f34_a000_0000), Reading::Malformed(why) if why.contains("7f34a0000000"))
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", address: u64) {
            let _ = parse(&text, address);
            let _ = parse(&format!("{address:x} {text}"), address);
        }

        #[test]
        fn every_count_survives(address: u64, nodes in prop::collection::vec(any::<(u32, u64)>(), 0..5)) {
            let words: String = nodes.iter().map(|(node, pages)| format!(" N{node}={pages}")).collect();
            let text = format!("{address:08x} default huge dirty=1{words} kernelpagesize_kB=2048\n");
            prop_assert_eq!(parse(&text, address), Reading::Known(nodes));
        }
    }
}
