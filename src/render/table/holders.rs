//! Which processes hold the pages of a size, for the lines about pages that are missing.

use serde_json::Value;

use crate::domain::catalogue::{HP101, HP102, HP103, HP105, HP109, HP509};
use crate::domain::check::{CheckId, Outcome};
use crate::domain::report::{Entry, Report};
use crate::domain::text::count;

/// Checks that find pages missing.
const SHORT_OF_PAGES: [CheckId; 5] = [HP101, HP102, HP103, HP109, HP509];
/// Processes that are shown; HP105 has the others in `-o json`.
const SHOWN: usize = 4;

/// `held by: dpdk-testpmd (pid 812, 14 pages)`, under a finding about missing pages. HP105 has the facts, pass or not.
pub(super) fn of(report: &Report, entry: &Entry) -> Option<String> {
    if entry.outcome <= Outcome::Pass || !SHORT_OF_PAGES.contains(&entry.id) {
        return None;
    }
    let owners = report.checks.iter().find(|other| other.id == HP105 && other.size == entry.size)?;
    let holders = owners.evidence.get("holders")?.as_array()?;
    let shown: Vec<String> = holders.iter().take(SHOWN).filter_map(in_words).collect();
    let more = match holders.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    (!shown.is_empty()).then(|| format!("held by: {}{more}", shown.join(", ")))
}

fn in_words(holder: &Value) -> Option<String> {
    let (command, pid, pages) =
        (holder.get("command")?.as_str()?, holder.get("pid")?.as_u64()?, holder.get("pages")?.as_u64()?);
    Some(format!("{command} (pid {pid}, {})", count(pages, "page")))
}
