//! Compares the desired state with what the Node shows. Sends an apply if they differ, and when it is time to renew.

pub(super) mod events;
pub(super) mod node_state;

use jiff::Timestamp;

use super::action::Action;
use super::clock::Moment;
use super::node::NodeView;
use super::refusal::Refusal;
use super::size_state::{BlockedKind, FIRST_MS, HOLD_MS, ProbeResult, SizeState, TURN_MS};
use super::state::{Applied, Judged, Reconciler, Sent};
use crate::backoff::Backoff;
use crate::config::Profile;
use crate::publication::{Content, Facts, Target, Times};
use hugeprobe_domain::check::Verdict;
use node_state::{NodeState, with_scrub};

/// How long a watch may lag behind the agent's own apply, in milliseconds. After this time, a Node with a lower
/// version is not an echo and is accepted.
const LAG_MS: u64 = 60_000;

/// The least time between two applies, in milliseconds, even if other clients write to the Node.
const APART_MS: u64 = 2_000;

/// The backoff after an apply that got no response, or an error that may be temporary, such as a server error.
pub const OUTAGE: Backoff = Backoff { first: 1_000, most: 60_000 };
const REFUSED: Backoff = Backoff { first: 30_000, most: 600_000 };

impl Reconciler {
    /// Handles an observation of the Node. For [`LAG_MS`] after an apply, a version lower than the known one is
    /// ignored as an echo.
    pub(super) fn see_node(&mut self, node: Option<NodeView>) {
        let now = self.clock.now();
        let lags = self.publishing.applied.as_ref().is_some_and(|applied| now.since(applied.at) < LAG_MS);
        if let (Some(Some(known)), Some(new)) = (&self.observed.node, &node)
            && known.uid == new.uid
            && new.version < known.version
            && lags
        {
            return;
        }
        self.observed.node = Some(node);
    }

    /// Applies the desired state if the Node shows another, renews it in time, and records events.
    pub(super) fn publish(&mut self, actions: &mut Vec<Action>) {
        self.renew();
        let hold = self.holds();
        self.publishing.decided |= !hold;
        if let Some(action) = self.apply(hold) {
            actions.push(action);
        }
        actions.extend(self.publishing.recorder.emit(self.clock.now()));
    }

    /// Returns when a decision about writing is due.
    pub(super) fn publishing_times(&self) -> Vec<Moment> {
        let publishing = &self.publishing;
        let since = publishing.unsettled_since.into_iter();
        let hold = since.flat_map(|since| [HOLD_MS, FIRST_MS, TURN_MS].map(|wait| since.after(wait)));
        let results = self.sizes.values().filter_map(|state| state.probe_result.as_ref());
        let expiry = results.flat_map(|result| [result.expires, result.stale]);
        let outside = self.sizes.values().filter_map(|state| Some(state.outside_since?.after(60_000)));
        let apply = publishing.sent.is_none().then_some(publishing.not_before);
        [apply, publishing.renew_at, publishing.recorder.time()]
            .into_iter()
            .flatten()
            .chain(hold)
            .chain(expiry)
            .chain(outside)
            .collect()
    }

    /// Returns the apply that is due, if any.
    fn apply(&mut self, hold: bool) -> Option<Action> {
        let now = self.clock.now();
        if self.publishing.sent.is_some() || now < self.publishing.not_before || hold {
            return None;
        }
        let (content, event_text) = self.content()?;
        let node = self.node()?;
        let (desired, observed) = (NodeState::desired(&content), NodeState::observed(node));
        let futile = self.publishing.applied.as_ref().is_some_and(|applied| {
            applied.uid == node.uid
                && applied.futile.as_ref().is_some_and(|(sent, then)| *sent == desired && *then == observed)
        });
        let differs = desired != observed && !futile;
        let renewed = self.publishing.renewing && self.is_renewed();
        if !differs && !renewed && !self.has_bad_times(node) {
            return None;
        }
        let (uid, since) = (node.uid.clone(), node_state::same_status_since(&content, node));
        let (sent, scrubs) = with_scrub(content, node);
        let target = Target {
            name: &self.identity.node,
            uid: &uid,
            now: self.clock.shown(),
            same_status_since: since,
        };
        let body = sent.body(self.times(), target);
        let event = self.publishing.recorder.pending(&uid, &self.identity, event_text, self.clock.shown());
        self.publishing.sent = Some(Sent { uid, desired, scrubs, event });
        Some(Action::Apply(body))
    }

    /// Handles the result of `Apply`.
    pub(super) fn applied(&mut self, result: Result<NodeView, Refusal>) {
        let Some(sent) = self.publishing.sent.take() else { return };
        let now = self.clock.now();
        let node = match result {
            Ok(node) => node,
            Err(refusal) => return self.not_applied(&refusal),
        };
        (self.publishing.failures, self.publishing.refusals) = (0, 0);
        self.publishing.not_before = now.after(APART_MS);
        self.publishing.first_out = true;
        if self.is_renewed() {
            self.publishing.renewing = false;
        }
        let observed = NodeState::observed(&node);
        let futile = (observed != sent.desired && !sent.scrubs).then_some((sent.desired, observed));
        self.publishing.applied = Some(Applied { uid: sent.uid, at: now, futile });
        self.observed.node = Some(Some(node));
        if let Some(event) = sent.event {
            self.publishing.recorder.record(event);
        }
        self.publishing.renew_at = Some(self.next_renewal());
    }

    /// Returns when to renew what the Node shows now: after the configured time, but no later than half of the
    /// remaining validity.
    pub(super) fn next_renewal(&mut self) -> Moment {
        let next = self.renew_ms().min(self.valid_for() / 2);
        self.clock.now().after(self.clock.jittered(next))
    }

    fn not_applied(&mut self, refusal: &Refusal) {
        let publishing = &mut self.publishing;
        let (backoff, count) = match refusal {
            Refusal::Forbidden(_) | Refusal::Invalid(_) => (REFUSED, &mut publishing.refusals),
            _ => (OUTAGE, &mut publishing.failures),
        };
        *count = count.saturating_add(1);
        publishing.not_before = self.clock.after_refusal(backoff, *count, refusal);
    }

    /// Starts a renewal when it is time: every size is probed again, except those whose probes cannot run. A verdict
    /// that is kept because the node is busy is valid for another period.
    fn renew(&mut self) {
        let now = self.clock.now();
        if self.publishing.renewing || self.publishing.renew_at.is_none_or(|at| now < at) {
            return;
        }
        self.publishing.renewing = true;
        let expires = now.after(self.renew_ms().saturating_mul(2));
        for state in self.sizes.values_mut() {
            let kind = state.blocked.as_ref().map(|blocked| blocked.kind);
            let is_valid = state.valid_result(now).is_some();
            match (kind, state.probe_result.as_mut()) {
                (None, _) => state.renew = true,
                (Some(BlockedKind::Busy), Some(probe_result)) if is_valid => {
                    probe_result.expires = expires.min(probe_result.stale);
                }
                _ => {}
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.sizes.values().all(SizeState::is_settled)
    }

    /// Returns whether a renewal is complete: every size has been probed again, or could not be. A size that waits for
    /// its turn is still to be probed. Writing the old result before would be an apply for nothing.
    fn is_renewed(&self) -> bool {
        let now = self.clock.now();
        self.is_settled() && !self.sizes.values().any(|state| state.renewal_waits(now))
    }

    /// Returns whether to wait for a probe that is running or about to start, before anything is written. A Node that
    /// shows nothing waits longer, because a first probe that has not had its turn is not worth reporting.
    fn holds(&mut self) -> bool {
        let now = self.clock.now();
        let shows = self.node().is_some_and(NodeView::shows_anything);
        let fails = self.judged.as_ref().is_some_and(|judged| judged.verdict == Verdict::Fail);
        let settled = if self.is_settled() { 0 } else { HOLD_MS };
        let first = self.sizes.values().map(|state| state.patience(now)).max().unwrap_or(0);
        let patience = if shows { settled } else { first };
        if patience == 0 {
            self.publishing.unsettled_since = None;
            return false;
        }
        let since = *self.publishing.unsettled_since.get_or_insert(now);
        let Some(node) = self.node() else { return true };
        // What another client or an agent of another boot wrote is overwritten without waiting.
        let may_stand = !shows || self.is_trusted(node);
        let patience = if fails { patience.min(HOLD_MS) } else { patience };
        now.since(since) < patience && may_stand && !(fails && shows)
    }

    /// Returns whether verdicts are unknown only because first probes wait for their turn or for resources, or are
    /// running.
    fn only_waits(&self, judged: &Judged) -> bool {
        let now = self.clock.now();
        let mut unknown = judged.sizes.iter().filter(|one| one.verdict == Verdict::Unknown).peekable();
        unknown.peek().is_some()
            && unknown.all(|one| self.sizes.get(&one.size).is_some_and(|state| state.waits(now)))
    }

    /// Returns whether no verdict has been published yet because the first probe waits for its turn.
    pub(super) fn awaits_turn(&self) -> bool {
        let kinds = || self.sizes.values().filter_map(|state| Some(state.blocked.as_ref()?.kind));
        !self.publishing.first_out
            && kinds().any(|kind| kind == BlockedKind::Waiting)
            && kinds().all(|kind| kind != BlockedKind::Prevented)
    }

    /// Returns whether the Node's times are missing, invalid, expired, or too far in the future. Expired times only
    /// count if an apply would extend them.
    fn has_bad_times(&self, node: &NodeView) -> bool {
        let read = |key: &str| node.annotations.get(key).and_then(|text| text.parse::<Timestamp>().ok());
        let now = self.clock.shown();
        let (Some(checked), Some(until)) = (read(crate::names::CHECKED_AT), read(crate::names::VALID_UNTIL))
        else {
            return true;
        };
        let longest = jiff::SignedDuration::from_mins(
            i64::try_from(self.config.renew_minutes).unwrap_or(i64::MAX / 256) * 4,
        );
        let is_over = until <= now && self.valid_for() > 1000;
        is_over || checked.duration_since(now) > longest || until.duration_since(now) > longest
    }

    /// Returns how long the current verdict is valid from now on, in milliseconds.
    fn valid_for(&self) -> u64 {
        let now = self.clock.now();
        let results = self
            .sizes
            .values()
            .filter(|state| state.may_be_tried)
            .filter_map(|state| state.valid_result(now));
        let busy = |result: &ProbeResult| result.expires.since(now);
        results.map(busy).min().unwrap_or(u64::MAX).min(self.renew_ms().saturating_mul(2))
    }

    fn times(&self) -> Times {
        let (now, shown) = (self.clock.now(), self.clock.shown());
        let oldest = self
            .sizes
            .values()
            .filter(|state| state.may_be_tried)
            .filter_map(|state| state.valid_result(now));
        // If the clock was set back, the result would otherwise have been found in the future.
        let checked_at = oldest.map(|result| result.at).min().unwrap_or(shown).min(shown);
        Times { checked_at, valid_until: self.clock.at(now.after(self.valid_for())) }
    }

    /// Returns the desired content of the Node, and the text of an event about it.
    fn content(&self) -> Option<(Content, events::EventText)> {
        let judged = self.judged.as_ref()?;
        let boot = self.observed.inventory.as_ref()?.host.boot_id.known().map_or("", String::as_str);
        let now = self.clock.now();
        let tried = || self.sizes.iter().filter(|(_, state)| state.may_be_tried);
        let valid = || tried().filter_map(|(size, state)| Some((*size, state.valid_result(now)?)));
        let blocked: Vec<_> =
            tried().filter_map(|(size, state)| Some(state.shown_block(now)?.annotation(*size))).collect();
        let facts = Facts {
            verdict: judged.verdict,
            sizes: &judged.sizes,
            findings: &self.findings,
            inventory: &self.configured,
            boot_id: boot,
            profile: self.config.profile.name(),
            shares: valid().filter_map(|(size, result)| Some((size, result.share.clone()?))).collect(),
            probes: valid().map(|(size, result)| (size, result.annotation())).collect(),
            blocked: (!blocked.is_empty()).then(|| blocked.join("; ")),
            rechecked: self.probing.recheck.answered.clone(),
            waits: self.only_waits(judged),
        };
        let text = events::EventText {
            verdict: judged.verdict,
            reason: facts.reason().to_owned(),
            note: facts.message(),
        };
        Some((Content::of(&facts), text))
    }

    /// Handles the result of `Emit`.
    pub(super) fn emitted(&mut self, name: &str, result: &Result<(), Refusal>) {
        self.publishing.recorder.answered(name, result, &mut self.clock);
    }
}

impl Profile {
    /// Returns the name that is published.
    const fn name(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Privileged => "privileged",
        }
    }
}
