//! The findings of one group: those that need attention in full, the others folded.

use maud::{Markup, html};
use serde_json::Value;

use super::{badge, in_words, shown};
use crate::text::adds;
use crate::{cause, holders};
use hugeprobe_domain::catalogue::{self, Group};
use hugeprobe_domain::check::{CheckId, Outcome};
use hugeprobe_domain::report::{Entry, Report};
use hugeprobe_domain::text::count;

/// Returns what is shown of one group. `entries` are not empty. `more` is shown below them.
pub(super) fn group(report: &Report, group: &Group, entries: &[&Entry], more: &Markup) -> Markup {
    let of = |outcome: Outcome| entries.iter().filter(move |entry| entry.outcome == outcome).copied();
    let cause_of = |entry: &Entry| cause::of(report, entry);
    let mut open: Vec<&Entry> =
        entries.iter().filter(|entry| entry.outcome > Outcome::Pass).copied().collect();
    open.sort_by_key(|entry| (std::cmp::Reverse(entry.outcome), entry.id));
    let (blocked, open): (Vec<_>, Vec<_>) =
        (open.into_iter()).partition(|entry| entry.outcome != Outcome::Fail && cause_of(entry).is_some());
    html! {
        div.group {
            h3 { (group.title) }
            @for entry in open { (finding(report, entry, cause_of(entry))) }
            @if let Some(cause) = blocked.iter().find_map(|entry| cause_of(entry)) {
                (folded(&format!("{} blocked by {cause}", count(blocked.len(), "check")), &blocked))
            }
            @for (outcome, word) in [(Outcome::Pass, "passed"), (Outcome::Skip, "skipped")] {
                @let entries: Vec<_> = of(outcome).collect();
                @if !entries.is_empty() { (folded(&format!("{} {word}", count(entries.len(), "check")), &entries)) }
            }
            (more)
        }
    }
}

/// Returns the anchor of a finding.
pub(super) fn anchor(entry: &Entry) -> String {
    let about = entry.size.map_or_else(|| "machine".to_owned(), |size| size.to_string());
    format!("{}-{about}", entry.id)
}

/// Returns the words for mandatory checks without a result.
pub(super) fn not_reported(ids: &str) -> String {
    if ids.is_empty() {
        "No check reported a result.".to_owned()
    } else {
        format!("Mandatory for a pass, but did not run: {ids}.")
    }
}

/// Returns a remedy: its sentences, and its indented lines as commands.
pub(super) fn remedy(text: &str) -> Markup {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return html! {};
    }
    let is_command = |line: &str| line.starts_with(' ');
    let blocks = lines.chunk_by(|one, next| is_command(one) == is_command(next));
    html! {
        div.remedy {
            p.label { "What to do" }
            @for block in blocks {
                @if block.first().is_some_and(|line| is_command(line)) {
                    pre { code { @for line in block { (shown(line.trim())) "\n" } } }
                } @else {
                    @for line in block { p { (shown(line)) } }
                }
            }
        }
    }
}

fn finding(report: &Report, entry: &Entry, cause: Option<CheckId>) -> Markup {
    let [expected, seen] =
        [&entry.expected, &entry.seen].map(|text| adds(text, &entry.summary).then(|| shown(text)));
    let title = catalogue::find(entry.id).map_or("", |check| check.title);
    html! {
        article.finding.(entry.outcome) id=(anchor(entry)) {
            h4 { (badge::outcome(entry.outcome)) " " span.id title=(title) { (entry.id) } " " (shown(&entry.summary)) }
            @if let Some(cause) = cause {
                p.note { "Follows from " (cause) "." }
            } @else {
                @if expected.is_some() || seen.is_some() {
                    dl {
                        @if let Some(text) = expected { dt { "expected" } dd { (text) } }
                        @if let Some(text) = seen { dt { "actual" } dd { (text) } }
                    }
                }
                @if let Some(text) = holders::of(report, entry) { p { (shown(&text)) } }
                (remedy(&entry.remedy))
            }
            (evidence(entry))
            @if entry.outcome > Outcome::Warn { p.note { code { "hugeprobe explain " (entry.id) } } }
        }
    }
}

/// Returns the evidence, folded. Nested facts are in one line each.
fn evidence(entry: &Entry) -> Markup {
    if entry.evidence.is_empty() {
        return html! {};
    }
    let text = |value: &Value| match value {
        Value::Object(_) => value.to_string(),
        other => in_words(other),
    };
    html! {
        details {
            summary { "Evidence" }
            dl.evidence { @for (key, value) in &entry.evidence { dt { (shown(key)) } dd { (shown(&text(value))) } } }
        }
    }
}

fn folded(title: &str, entries: &[&Entry]) -> Markup {
    html! {
        details {
            summary { (title) }
            ul.checks {
                @for entry in entries {
                    li id=(anchor(entry)) { span.id { (entry.id) } " " (shown(&entry.summary)) }
                }
            }
        }
    }
}
