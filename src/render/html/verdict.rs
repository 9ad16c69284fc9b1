//! The verdict of each page size, its first cause, and what to do.

use maud::{Markup, html};

use super::{badge, findings, outcome_of, shown};
use crate::text::id_list;
use crate::{cause, nothing};
use hugeprobe_domain::check::{Outcome, Verdict};
use hugeprobe_domain::report::{Entry, Report, SizeVerdict};

/// Returns the first section of the page.
pub(super) fn section(report: &Report) -> Markup {
    html! {
        section aria-labelledby="verdict" {
            h2 id="verdict" { "Verdict and first cause" }
            @for one in &report.sizes { (of_size(report, one)) }
            @if report.sizes.is_empty() { @if let Some(entry) = of_machine(report) { (cause_of("machine", entry)) } }
            @if nothing::applies(report) {
                p { strong { (nothing::why(report)) } }
                @for (what, command) in nothing::commands(report) {
                    p { (what) }
                    pre { code { (command) } }
                }
            }
            @for run in &report.replayed { p.note { (shown(&run.to_string())) } }
        }
    }
}

fn of_size(report: &Report, one: &SizeVerdict) -> Markup {
    let name = one.size.resource_name();
    if let Some(entry) = cause::first(report, one.size, one.verdict) {
        return cause_of(&name, entry);
    }
    let unheard = cause::not_reported(report, one.size).filter(|_| one.verdict == Verdict::Unknown);
    html! {
        article class=(format!("cause {}", outcome_of(one.verdict))) {
            h3 { (badge::verdict(one.verdict)) " " (name) }
            @if let Some(ids) = unheard { p { (findings::not_reported(&id_list(&ids))) } }
        }
    }
}

/// Returns the entry about the machine that explains its verdict.
fn of_machine(report: &Report) -> Option<&Entry> {
    let outcome = outcome_of(report.verdict);
    report.checks.iter().find(|entry| entry.outcome == outcome && outcome > Outcome::Pass)
}

fn cause_of(name: &str, entry: &Entry) -> Markup {
    html! {
        article class=(format!("cause {}", entry.outcome)) {
            h3 { (badge::outcome(entry.outcome)) " " (name) }
            p { strong { (shown(&entry.summary)) } " "
                a href=(format!("#{}", findings::anchor(entry))) { (entry.id) } }
            (findings::remedy(&entry.remedy))
        }
    }
}
