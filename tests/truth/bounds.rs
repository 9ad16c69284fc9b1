//! What may not slip: the number of rows may not drop, and that of exceptions may not grow.
//!
//! Both are committed, in `tests/truth/bounds` and `tests/truth/exceptions`; `.ci/truth` holds them against the history.

use std::fs;
use std::path::Path;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/truth");

/// The rows that are known to differ: the part of each line before its reason.
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

/// Whether as many rows were run as there have to be; says so if not.
pub(crate) fn hold(rows: usize) -> bool {
    let least = bound("rows");
    if rows < least {
        eprintln!("{rows} rows were run, and tests/truth/bounds asks for {least}");
    } else if rows > least {
        eprintln!("{rows} rows were run: tests/truth/bounds may say so, it asks for {least}");
    }
    rows >= least
}

fn bound(name: &str) -> usize {
    let text = fs::read_to_string(Path::new(HERE).join("bounds")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(its, _)| *its == name).unwrap_or_else(|| panic!("no bound {name}")).1.parse().unwrap()
}
