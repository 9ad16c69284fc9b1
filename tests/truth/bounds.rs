//! Limits that must not be weakened: the number of rows may not decrease, and the number of exceptions may not
//! increase.
//!
//! Both are committed, in `tests/truth/bounds` and `tests/truth/exceptions`. `.ci/truth` compares them with the
//! history. Rows that need pages of 1Gi count as rows even if they were left out because the kernel had too few.
//! `rows-without-1Gi` is the number of rows that need no page of 1Gi, so every machine runs them. `rows-run-with-1Gi` is
//! the number that runs on a machine with two of these pages; only rows that need more pages are left out then.

use std::fs;
use std::path::Path;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/truth");

/// Returns the rows that are known to differ: the part of each line before its reason.
///
/// A line is `FAULT | SIZE | WORKLOAD: REASON`.
pub(crate) fn exceptions() -> Vec<String> {
    let text = fs::read_to_string(Path::new(HERE).join("exceptions")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let names: Vec<String> = lines
        .map(|line| {
            let (name, reason) = line.split_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
            assert!(reason.len() > 20, "no reason that says anything: {line}");
            name.to_owned()
        })
        .collect();
    let allowed = bound("exceptions");
    assert!(names.len() <= allowed, "{} exceptions, and tests/truth/bounds allows {allowed}", names.len());
    names
}

/// Returns whether there are enough rows, and whether enough of them were run. Prints each number that differs.
pub(crate) fn hold(rows: usize, run: usize) -> bool {
    let holds = |name, number| {
        let least = bound(name);
        if number != least {
            eprintln!("tests/truth/bounds asks for {least} {name}, and there are {number}");
        }
        number >= least
    };
    let enough = holds("rows", rows);
    let without = std::env::var_os("HUGEPROBE_WITHOUT").is_some_and(|size| size == "1Gi");
    let name = if without { "rows-without-1Gi" } else { "rows-run-with-1Gi" };
    // More rows than the minimum run if the kernel had one page, or more than two.
    enough & (run >= rows || holds(name, run))
}

fn bound(name: &str) -> usize {
    let text = fs::read_to_string(Path::new(HERE).join("bounds")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(its, _)| *its == name).unwrap_or_else(|| panic!("no bound {name}")).1.parse().unwrap()
}
