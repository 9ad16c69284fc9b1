//! The processes that hold the pages of a size, for findings about missing pages.

use serde_json::Value;

use hugeprobe_domain::catalogue::{HP101, HP102, HP103, HP105, HP109, HP509};
use hugeprobe_domain::check::{CheckId, Outcome};
use hugeprobe_domain::report::{Entry, Report};
use hugeprobe_domain::text::count;

/// The checks that report missing pages.
const SHORT_OF_PAGES: [CheckId; 5] = [HP101, HP102, HP103, HP109, HP509];
/// The maximum number of processes shown. `-o json` lists the others under HP105.
const SHOWN: usize = 4;

/// Returns `held by: dpdk-testpmd (pid 812, 14 pages)` for a finding about missing pages. The facts are those of HP105,
/// whatever its outcome.
pub(crate) fn of(report: &Report, entry: &Entry) -> Option<String> {
    if entry.outcome <= Outcome::Pass || !SHORT_OF_PAGES.contains(&entry.id) {
        return None;
    }
    let owners = report.entry(HP105, entry.size)?;
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
