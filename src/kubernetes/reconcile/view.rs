//! What the agent shows of itself: for metrics, readiness and the log.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::state::Reconciler;
use crate::domain::check::{Finding, Verdict};
use crate::domain::report::SizeVerdict;
use crate::domain::size::PageSize;

/// The state of things.
#[derive(Debug)]
pub struct View<'a> {
    /// The node's verdict; none while the first probe is under way.
    pub verdict: Option<Verdict>,
    /// Of each size; empty while the first probe is under way.
    pub sizes: &'a [SizeVerdict],
    /// All that stand.
    pub findings: &'a [Finding],
    /// Whether there is a Node to write to.
    pub has_node: bool,
    /// Whether a verdict has been on the Node, by this agent or the one before: readiness.
    pub first_published: bool,
    /// Whether none has been, because the first probe waits for its turn.
    pub awaits_turn: bool,
    /// Per size.
    pub probes: Vec<ProbeView<'a>>,
}

/// The probes of one size.
#[derive(Debug)]
pub struct ProbeView<'a> {
    /// The size.
    pub size: PageSize,
    /// When the last conclusive one ended.
    pub last_concluded: Option<Timestamp>,
    /// How long it took, from the pod's creation; none if another agent made it.
    pub last_seconds: Option<f64>,
    /// Since when the node is busy.
    pub busy_since: Option<Timestamp>,
    /// What keeps probes from running, or from telling.
    pub blocked: Option<Blocked<'a>>,
    /// How probes ended: pass, warn, fail, busy, waiting, prevented, inconclusive.
    pub ends: &'a BTreeMap<&'static str, u64>,
}

/// What keeps probes of a size from running, or from telling.
#[derive(Debug, Clone, Copy)]
pub struct Blocked<'a> {
    /// `busy`, `waiting`, `prevented` or `inconclusive`.
    pub kind: &'static str,
    /// `pages`, `cpu`, `quota`, ...: one of a few words.
    pub reason: &'static str,
    /// The same in a sentence.
    pub why: &'a str,
    /// Since when it is of this kind.
    pub since: Timestamp,
}

// === impl ===

impl Reconciler {
    /// The state of things, as of the last step.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        let judged = self.judged.as_ref().filter(|_| self.publishing.decided || self.publishing.first_out);
        View {
            verdict: judged.map(|judged| judged.verdict),
            sizes: judged.map_or(&[], |judged| &judged.sizes),
            findings: &self.findings,
            has_node: self.node().is_some(),
            first_published: self.publishing.first_out,
            awaits_turn: self.awaits_turn(),
            probes: self.probes().collect(),
        }
    }

    fn probes(&self) -> impl Iterator<Item = ProbeView<'_>> {
        self.sizes.iter().map(|(size, state)| ProbeView {
            size: *size,
            last_concluded: state.probe_result.as_ref().map(|result| result.at),
            last_seconds: state
                .took
                .and_then(|took| u32::try_from(took).ok())
                .map(|took| f64::from(took) / 1000.0),
            busy_since: state.busy_since(),
            blocked: state.hindrance.as_ref().map(|hindrance| Blocked {
                kind: hindrance.kind.as_str(),
                reason: hindrance.reason,
                why: &hindrance.why,
                since: hindrance.since,
            }),
            ends: &state.ends,
        })
    }
}
