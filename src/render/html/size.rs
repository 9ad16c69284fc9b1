//! What was found about one page size, and about the machine.

use maud::{Markup, html};

use super::{badge, exchange, findings, holders, limits, pool};
use hugeprobe_domain::catalogue::GROUPS;
use hugeprobe_domain::check::{Outcome, Verdict};
use hugeprobe_domain::report::{Entry, Report};
use hugeprobe_domain::size::PageSize;

/// The digit of the group of pools, of limits and of sharing.
const POOLS: u16 = 1;
const LIMITS: u16 = 4;
const SHARING: u16 = 6;

/// Returns the section of one page size.
pub(super) fn section(report: &Report, size: PageSize) -> Markup {
    let verdict = report.sizes.iter().find(|one| one.size == size).map(|one| one.verdict);
    let id = format!("size-{size}");
    let is_shown = |entry: &Entry| verdict != Some(Verdict::None) || entry.outcome > Outcome::Pass;
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (size.resource_name()) " " @if let Some(verdict) = verdict { (badge::verdict(verdict)) } }
            (pool::figures(report.pools.iter().find(|pool| pool.size == size)))
            @for group in GROUPS {
                @let entries: Vec<_> = report.group(Some(size), group).filter(|entry| is_shown(entry)).collect();
                @if !entries.is_empty() {
                    @let more = match group.digit {
                        POOLS => holders::tables(report, size),
                        LIMITS => limits::of_size(report, size),
                        SHARING => exchange::sequence(&entries),
                        _ => html! {},
                    };
                    (findings::group(report, group, &entries, &more))
                }
            }
        }
    }
}

/// Returns the section of the findings about the whole machine.
pub(super) fn machine(report: &Report) -> Markup {
    if report.checks.iter().all(|entry| entry.size.is_some()) {
        return html! {};
    }
    html! {
        section aria-labelledby="machine" {
            h2 id="machine" { "Machine" }
            @for group in GROUPS {
                @let entries: Vec<_> = report.group(None, group).collect();
                @if !entries.is_empty() {
                    @let more = if group.digit == LIMITS { limits::of_machine(report) } else { html! {} };
                    (findings::group(report, group, &entries, &more))
                }
            }
        }
    }
}
