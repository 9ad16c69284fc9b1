//! The vhost-user exchange as a sequence: what the frontend and the backend report of each step, in order.

use maud::{Markup, html};
use serde_json::Value;

use super::{badge, in_words, shown};
use crate::style::Marks;
use hugeprobe_domain::catalogue::{
    HP601, HP602, HP603, HP604, HP605, HP606, HP607, HP608, HP609, HP610, HP611,
};
use hugeprobe_domain::check::{CheckId, Outcome};
use hugeprobe_domain::report::Entry;
use hugeprobe_domain::sharing::AGREED;

/// A step: its check, the direction of its message, and what happens.
struct Step {
    id: CheckId,
    arrow: &'static str,
    what: &'static str,
}

/// The steps of the main session, in their order, then the other sessions.
const STEPS: [Step; 11] = [
    Step { id: HP601, arrow: "→", what: "SET_MEM_TABLE: the descriptor of a file with one region" },
    Step { id: HP602, arrow: "→", what: "the size of its pages" },
    Step { id: HP603, arrow: "↔", what: "bytes that one side writes and the other reads" },
    Step { id: HP605, arrow: "→", what: "which side touches the pages first" },
    Step { id: HP604, arrow: "⇄", what: "frames over the virtqueues, each sent back" },
    Step { id: HP611, arrow: "→", what: "SET_MEM_TABLE with one more region, while the rings run" },
    Step { id: HP610, arrow: "⇄", what: "frames with buffers in both regions" },
    Step { id: HP606, arrow: "←", what: "a session in which the backend touches the pages first" },
    Step { id: HP607, arrow: "⇄", what: "the same two sessions with a memfd" },
    Step {
        id: HP608, arrow: "→", what: "control: a private mapping, whose bytes the backend must not see"
    },
    Step { id: HP609, arrow: "→", what: "control: pages of 4 KiB, which the backend must refuse" },
];

/// What one side reports of a step.
struct Report<'a> {
    session: &'a str,
    facts: &'a Value,
}

/// Returns the sequence; nothing if no worker reported a step.
pub(super) fn sequence(entries: &[&Entry]) -> Markup {
    let of = |step: &Step| entries.iter().find(|entry| entry.id == step.id).copied();
    let steps: Vec<(&Step, &Entry)> = STEPS.iter().filter_map(|step| Some((step, of(step)?))).collect();
    if steps
        .iter()
        .all(|(_, entry)| reports(entry, "frontend").is_empty() && reports(entry, "backend").is_empty())
    {
        return html! {};
    }
    html! {
        figure {
            figcaption { "The exchange, in order" }
            div.lanes aria-hidden="true" { span { "frontend" } span {} span { "backend" } }
            ol.exchange { @for (step, entry) in steps { (row(step, entry)) } }
        }
    }
}

fn row(step: &Step, entry: &Entry) -> Markup {
    html! {
        li class=(entry.outcome.to_string()) {
            (side("frontend", entry))
            div.message {
                span.arrow aria-hidden="true" { (step.arrow) }
                p { span.id { (step.id) } " " (step.what) }
                p { (badge::outcome(entry.outcome)) " " (shown(&entry.summary)) }
            }
            (side("backend", entry))
        }
    }
}

/// Returns the cell of one side: its outcome in each session, and the values that both sides must have seen alike.
fn side(role: &str, entry: &Entry) -> Markup {
    let reports = reports(entry, role);
    html! {
        div.side {
            span.role { (role) ": " }
            @for report in &reports {
                p { (report.mark()) @if reports.len() > 1 { " " (shown(report.session)) } }
                @if let Some(summary) = report.text("summary") { p { (shown(summary)) } }
                @if reports.len() == 1 { @for value in report.values() { p.value { (value) } } }
            }
            @if reports.is_empty() { p { "no report" } }
        }
    }
}

/// Returns the reports of `role` about a step. The evidence has one for each session, under `frontend:SESSION`.
fn reports<'a>(entry: &'a Entry, role: &str) -> Vec<Report<'a>> {
    let of_role = |(key, facts): (&'a String, &'a Value)| {
        let session = key.strip_prefix(role)?.strip_prefix(':')?;
        facts.is_object().then_some(Report { session, facts })
    };
    entry.evidence.iter().filter_map(of_role).collect()
}

// === impl Report ===

impl Report<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.facts.get(key)?.as_str()
    }

    /// Returns the mark and the name of the outcome.
    fn mark(&self) -> Markup {
        let outcome = self.facts.get("outcome").cloned().unwrap_or_default();
        match serde_json::from_value::<Outcome>(outcome) {
            Ok(outcome) => badge::outcome(outcome),
            Err(_) => html! { (Marks::Unicode.of(Outcome::Unknown)) " not known" },
        }
    }

    /// Returns the agreed values, one text each. Those of a whole session (`HP601.inode`) are left out: they repeat the
    /// steps above.
    fn values(&self) -> Vec<String> {
        let values = self.facts.get(AGREED).and_then(Value::as_object);
        let own = values.into_iter().flatten().filter(|(key, _)| !key.contains('.'));
        own.map(|(key, value)| format!("{} {}", shown(key).replace('_', " "), in_words(value))).collect()
    }
}
