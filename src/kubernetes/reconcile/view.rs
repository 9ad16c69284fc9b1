//! What the agent exposes about itself in metrics, readiness and the log.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::size_state::Blocked;
use super::state::Reconciler;
use hugeprobe_domain::check::{Finding, Verdict};
use hugeprobe_domain::report::SizeVerdict;
use hugeprobe_domain::size::PageSize;

/// A view of the reconciler's state.
#[derive(Debug)]
pub struct View<'a> {
    /// The node's verdict; `None` while the first probe is in progress.
    pub verdict: Option<Verdict>,
    /// The verdict of each size; empty while the first probe is in progress.
    pub sizes: &'a [SizeVerdict],
    /// All current findings.
    pub findings: &'a [Finding],
    /// Whether the Node exists.
    pub has_node: bool,
    /// Whether a verdict of this agent or of the previous one has been on the Node. This is the agent's readiness.
    pub first_published: bool,
    /// Whether no verdict has been on the Node yet because the first probe waits for its turn.
    pub awaits_turn: bool,
    /// What the agent does about the last request for another probe; `None` if there was none.
    pub recheck: Option<&'a str>,
    /// The probes of each size.
    pub probes: Vec<ProbeView<'a>>,
}

/// A view of the probes of one size.
#[derive(Debug)]
pub struct ProbeView<'a> {
    /// The page size.
    pub size: PageSize,
    /// When the last conclusive probe ended.
    pub last_concluded: Option<Timestamp>,
    /// How long the last conclusive probe took from the creation of its pod, in seconds; `None` if another agent
    /// created it.
    pub last_seconds: Option<f64>,
    /// Since when the node has been busy.
    pub busy_since: Option<Timestamp>,
    /// What keeps probes from running, or from being conclusive.
    pub blocked: Option<&'a Blocked>,
    /// How often probes ended in each way: pass, warn, fail, busy, waiting, prevented, inconclusive.
    pub ends: &'a BTreeMap<&'static str, u64>,
}

// === impl ===

impl Reconciler {
    /// Returns a view of the state after the last step.
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
            recheck: self.probing.recheck.log.as_deref(),
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
            blocked: state.blocked.as_ref(),
            ends: &state.ends,
        })
    }
}
