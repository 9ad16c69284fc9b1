//! What to do if there is nothing to check.

use hugeprobe_domain::check::{Outcome, Verdict};
use hugeprobe_domain::pool_id::PoolId;
use hugeprobe_domain::report::Report;
use hugeprobe_domain::size::PageSize;

/// From this size on, two pages suffice for every step.
const GIGANTIC: u64 = 512 << 20;

/// Returns whether there was nothing to check, and no finding that says more.
pub(crate) fn applies(report: &Report) -> bool {
    report.verdict == Verdict::None && report.checks.iter().all(|entry| entry.outcome <= Outcome::Warn)
}

/// Returns why there was nothing to check.
pub(crate) fn why(report: &Report) -> String {
    format!(
        "Nothing to check: no pool has pages{}, and none were required.",
        match report.sizes.len() {
            0 => "",
            1 => " of this size",
            _ => " of these sizes",
        }
    )
}

/// Returns the commands that add pages, each with what it is for.
pub(crate) fn commands(report: &Report) -> [(&'static str, String); 2] {
    let size = report.sizes.first().map(|one| one.size).or(PageSize::from_bytes(2 << 20));
    let file = |size| PoolId::machine(size).file("nr_hugepages");
    let (name, file) = size.map_or_else(Default::default, |size| (size.to_string(), file(size)));
    let pages = if size.is_some_and(|size| size.bytes() >= GIGANTIC) { 2 } else { 16 };
    [
        ("To add pages for one run, as root:", format!("hugeprobe check --reserve {name}={pages}")),
        ("To set a pool until the next boot:", format!("echo {pages} > {file}")),
    ]
}
