//! An outcome or a verdict: its mark and its name, so that the colour is never all that tells them apart.

use maud::{Markup, html};

use super::outcome_of;
use crate::style::Marks;
use hugeprobe_domain::check::{Outcome, Verdict};

/// Returns the mark and the name of a verdict.
pub(super) fn verdict(verdict: Verdict) -> Markup {
    badge(outcome_of(verdict), verdict.as_str())
}

/// Returns the mark and the name of an outcome.
pub(super) fn outcome(outcome: Outcome) -> Markup {
    badge(outcome, &outcome.to_string())
}

fn badge(outcome: Outcome, name: &str) -> Markup {
    html! {
        span class=(format!("badge {outcome}")) { span aria-hidden="true" { (Marks::Unicode.of(outcome)) } " " (name) }
    }
}
