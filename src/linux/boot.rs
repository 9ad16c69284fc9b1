//! The huge pages that the boot command line requests: `hugepagesz=`, `hugepages=` and `default_hugepagesz=` in
//! `/proc/cmdline`.
//!
//! The kernel's rules are surprising. The first `hugepages=` of a size counts, and a later one is ignored. A
//! `hugepages=` before any size overrides a request that gives the default size by name.
//!
//! Source: Documentation/admin-guide/kernel-parameters.txt, and `hugepages_setup()` and its neighbours in
//! `mm/hugetlb.c` (5.8 and later). The table in the tests is how Linux 6.1 interpreted each line.

use super::root::HostRoot;
use hugeprobe_domain::inventory::{BootPool, BootRequest};
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// Returns what the boot command line requests.
#[must_use]
pub fn read(root: &HostRoot) -> Reading<BootRequest> {
    root.table("/proc/cmdline").map(|text| parse_cmdline(&text))
}

/// Parses a boot command line.
///
/// The result also contains requests that the kernel does not fulfil: sizes that this machine does not support, and
/// NUMA nodes that are not online. The kernel ignores such a size. For such a node, it ignores the whole `hugepages=`.
#[must_use]
pub fn parse_cmdline(text: &str) -> BootRequest {
    let mut line = Line::default();
    for (name, value) in words(text) {
        // The kernel passes the words after `--` to init.
        if name == "--" && value.is_none() {
            break;
        }
        // The kernel treats a hyphen in the name of a parameter as an underscore.
        let name = name.replace('-', "_");
        let value = value.unwrap_or_default();
        let taken = match name.as_str() {
            "hugepages" => line.hugepages(value),
            "hugepagesz" => line.hugepagesz(value),
            "default_hugepagesz" => line.default_hugepagesz(value),
            "hugetlb_cma" => {
                // A size, or a list of node:size.
                line.request.cma = value.contains(|c: char| matches!(c, '1'..='9'));
                true
            }
            _ => true,
        };
        if !taken {
            line.request.not_understood.push(format!("{name}={value}"));
        }
    }
    line.request
}

/// The parser's state between two parameters. Each method returns whether the kernel accepts the parameter.
struct Line {
    request: BootRequest,
    /// All sizes named so far.
    sizes: Vec<PageSize>,
    /// The size to which the next `hugepages=` applies; `None` before the first size.
    current: Option<PageSize>,
    /// False after a size that was refused: the kernel then ignores the next `hugepages=`, but no later one.
    valid: bool,
    /// The size to which the last `hugepages=` applied: the kernel refuses a second one in a row for the same size.
    last: Option<Option<PageSize>>,
}

// === impl Line ===

impl Default for Line {
    fn default() -> Self {
        Self { request: BootRequest::default(), sizes: Vec::new(), current: None, valid: true, last: None }
    }
}

impl Line {
    fn hugepages(&mut self, value: &str) -> bool {
        if !self.valid {
            self.valid = true;
            return false;
        }
        let size = self.current;
        if self.last == Some(size) {
            return false;
        }
        self.request.pools.retain(|pool| pool.size != size);
        let Some((pages, numa)) = parse_pages(value) else { return false };
        self.request.pools.push(BootPool { size, pages, numa });
        self.last = Some(size);
        true
    }

    fn hugepagesz(&mut self, value: &str) -> bool {
        self.valid = false;
        let Some(size) = parse_size(value) else { return false };
        if self.sizes.contains(&size) {
            let asked = self.request.pools.iter().any(|pool| pool.size == Some(size) && pool.pages > 0);
            if self.request.default_size != Some(size) || asked {
                return false;
            }
        } else {
            self.sizes.push(size);
        }
        self.current = Some(size);
        self.valid = true;
        true
    }

    fn default_hugepagesz(&mut self, value: &str) -> bool {
        self.valid = false;
        if self.request.default_size.is_some() {
            return false;
        }
        let Some(size) = parse_size(value) else { return false };
        // If the size was named before, `hugepages=` still applies to the size that was named last.
        if !self.sizes.contains(&size) {
            self.sizes.push(size);
            self.current = Some(size);
        }
        self.request.default_size = Some(size);
        self.valid = true;
        let pools = &mut self.request.pools;
        if let Some(open) = pools.iter().position(|pool| pool.size.is_none() && pool.pages > 0) {
            let pool = BootPool { size: Some(size), ..pools.remove(open) };
            pools.retain(|other| other.size != Some(size));
            pools.push(pool);
        }
        true
    }
}

/// Splits a command line into words, each with its name and value. White space within quotes does not end a word, and
/// quotes around a word or a value are removed (`next_arg()` in the kernel's `lib/cmdline.c`).
fn words(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut in_quotes = false;
    text.split(move |c: char| {
        in_quotes ^= c == '"';
        c.is_ascii_whitespace() && !in_quotes
    })
    .filter(|word| !word.is_empty())
    .map(|word| {
        let word = word.strip_prefix('"').map_or(word, |rest| rest.strip_suffix('"').unwrap_or(rest));
        match word.split_once('=') {
            Some((name, value)) => (
                name,
                Some(value.strip_prefix('"').map_or(value, |rest| rest.strip_suffix('"').unwrap_or(rest))),
            ),
            None => (word, None),
        }
    })
}

/// Parses a number of pages such as `512`, or pages per NUMA node such as `0:4,1:4`. Returns the total and the nodes.
///
/// If a node is named twice, the last number counts. As in the kernel, anything after the number is ignored.
fn parse_pages(value: &str) -> Option<(u64, Vec<(u32, u64)>)> {
    let (pages, mut rest) = leading_number(value)?;
    if !rest.starts_with(':') {
        return Some((pages, Vec::new()));
    }
    let mut numa: Vec<(u32, u64)> = Vec::new();
    let mut node = pages;
    loop {
        let (pages, after) = leading_number(rest.strip_prefix(':')?)?;
        let number = u32::try_from(node).ok()?;
        numa.retain(|(other, _)| *other != number);
        numa.push((number, pages));
        match after.strip_prefix(',') {
            None | Some("") => break,
            Some(next) => (node, rest) = leading_number(next)?,
        }
    }
    let total = numa.iter().try_fold(0_u64, |sum, (_, pages)| sum.checked_add(*pages))?;
    Some((total, numa))
}

/// Parses a page size as the kernel's `memparse()` does: a decimal or hexadecimal number, and one letter.
fn parse_size(value: &str) -> Option<PageSize> {
    let hexadecimal = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => PageSize::from_bytes(u64::from_str_radix(digits, 16).ok()?),
        None => value.parse().ok(),
    }
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Formats pools as `SIZE=PAGES[ NODE:PAGES…]`, with `-` for the default size; then the default size; then what is
    /// ignored.
    fn shown(text: &str) -> String {
        let request = parse_cmdline(text);
        let mut parts: Vec<String> = Vec::new();
        for pool in &request.pools {
            let size = pool.size.map_or("-".to_owned(), |size| size.to_string());
            let numa: String = pool.numa.iter().map(|(node, pages)| format!(" {node}:{pages}")).collect();
            parts.push(format!("{size}={}{numa}", pool.pages));
        }
        parts.extend(request.default_size.map(|size| format!("default {size}")));
        parts.extend(request.not_understood.iter().map(|word| format!("not {word}")));
        parts.join("; ")
    }

    /// Each line was booted with Linux 6.1 in an emulated machine with two NUMA nodes, and the pools were compared.
    #[test]
    fn a_command_line_means_what_linux_makes_of_it() {
        for (line, meaning) in [
            (
                "hugepagesz=2M hugepages=8 hugepagesz=2M hugepages=16",
                "2Mi=8; not hugepagesz=2M; not hugepages=16",
            ),
            ("hugepages=8 hugepages=16", "-=8; not hugepages=16"),
            ("hugepages=8 default_hugepagesz=1G hugepagesz=2M hugepages=5", "1Gi=8; 2Mi=5; default 1Gi"),
            ("default_hugepagesz=1G hugepagesz=1G hugepages=1", "1Gi=1; default 1Gi"),
            ("hugepagesz=2M hugepages=0:4,1:6", "2Mi=10 0:4 1:6"),
            ("hugepagesz=2M hugepages=0:4,0:6", "2Mi=6 0:6"),
            ("hugepages=5 hugepagesz=2M hugepages=9", "-=5; 2Mi=9"),
            ("hugepagesz=2MB hugepages=\"7\"", "2Mi=7"),
            ("hugepagesz=0x200000 hugepages=12x", "2Mi=12"),
            ("hugepagesz=3M hugepages=4 hugepages=6", "-=6; not hugepagesz=3M; not hugepages=4"),
            (
                "hugepagesz=1G hugepages=1 hugepagesz=2M default_hugepagesz=1G hugepages=3",
                "1Gi=1; 2Mi=3; default 1Gi",
            ),
            ("default-hugepagesz=1G hugepages=1", "1Gi=1; default 1Gi"),
            ("-- hugepages=5", ""),
            ("hugepages=4 hugepagesz=2M", "-=4"),
        ] {
            assert_eq!(shown(line), meaning, "{line}");
        }
    }

    #[test]
    fn other_words_quotes_and_garbage_are_told_apart() {
        for (line, meaning) in [
            ("", ""),
            ("quiet ro root=/dev/sda1 transparent_hugepage=never nohugepages=4 xhugepages=4", ""),
            ("dyndbg=\"file a.c +p; hugepages=4\" hugepages=2", "-=2"),
            ("\"hugepages=3\"\n", "-=3"),
            ("hugepages", "not hugepages="),
            ("hugepages=", "not hugepages="),
            ("hugepages=many hugepages=2", "-=2; not hugepages=many"),
            ("hugepages=-1", "not hugepages=-1"),
            ("hugepages=99999999999999999999", "not hugepages=99999999999999999999"),
            ("hugepagesz=1G hugepages=0:4,1:", "not hugepages=0:4,1:"),
            ("hugepagesz=1G hugepages=0:4,", "1Gi=4 0:4"),
            ("hugepagesz=1G hugepages=0:4;1:4", "1Gi=4 0:4"),
            ("hugepagesz=1G hugepages=4294967296:4", "not hugepages=4294967296:4"),
            ("hugepages=0", "-=0"),
            (
                "default_hugepagesz=2M default_hugepagesz=1G hugepages=4",
                "default 2Mi; not default_hugepagesz=1G; not hugepages=4",
            ),
            ("hugepagesz=64K hugepages=4 hugepagesz=16G hugepages=1", "64Ki=4; 16Gi=1"),
        ] {
            assert_eq!(shown(line), meaning, "{line}");
        }
    }

    #[test]
    fn memory_kept_for_gigantic_pages_is_seen() {
        for (line, cma) in [
            ("hugetlb_cma=8G hugepagesz=1G hugepages=8", true),
            ("hugetlb_cma=0:2G,1:0", true),
            ("hugetlb_cma=0", false),
            ("hugetlb_cma_only=1", false),
            ("hugepages=8", false),
        ] {
            let request = parse_cmdline(line);
            assert_eq!((request.cma, request.not_understood.len()), (cma, 0), "{line}");
        }
    }

    #[test]
    fn pages_without_a_size_are_those_of_the_default_size() {
        let request = parse_cmdline("hugepages=5 hugepagesz=2M hugepages=9 hugepagesz=1G hugepages=1");
        let size = |text: &str| text.parse::<PageSize>().unwrap();
        let pages = |of, default| request.asked(of, default).map(|pool| pool.pages);
        assert_eq!(pages(size("2Mi"), Some(size("2Mi"))), Some(5));
        assert_eq!(pages(size("2Mi"), Some(size("64Ki"))), Some(9));
        assert_eq!(pages(size("2Mi"), None), Some(9));
        assert_eq!(pages(size("32Mi"), Some(size("2Mi"))), None);
        assert!(request.leaves_size_open());
        assert!(!parse_cmdline("hugepagesz=2M hugepages=9").leaves_size_open());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "((default_)?hugepages(z)?=|[0-9:, \"kMG=-]){0,40}|\\PC*") {
            let request = parse_cmdline(&line);
            for (index, pool) in request.pools.iter().enumerate() {
                prop_assert!(request.pools.iter().skip(index + 1).all(|other| other.size != pool.size));
                prop_assert!(pool.numa.is_empty() || pool.numa.iter().map(|(_, pages)| pages).sum::<u64>() == pool.pages);
            }
        }

        #[test]
        fn every_pool_survives_being_written(pages: u64, nodes in proptest::collection::btree_map(0_u32..64, 0_u64..1000, 0..8)) {
            let value = if nodes.is_empty() {
                pages.to_string()
            } else {
                nodes.iter().map(|(node, pages)| format!("{node}:{pages}")).collect::<Vec<_>>().join(",")
            };
            let request = parse_cmdline(&format!("quiet hugepagesz=2M hugepages={value} ro"));
            let numa: Vec<_> = nodes.into_iter().collect();
            let pages = if numa.is_empty() { pages } else { numa.iter().map(|(_, pages)| pages).sum() };
            prop_assert_eq!(request.pools, vec![BootPool { size: PageSize::from_bytes(2 << 20), pages, numa }]);
        }
    }
}
