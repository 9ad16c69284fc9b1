//! The state of one page size: the result of its last conclusive probe, what that probe tested, and what keeps the
//! next probe from running.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::clock::Moment;
use crate::backoff::Backoff;
use crate::publication::seconds;
use hugeprobe_domain::check::{Finding, Outcome, Verdict};
use hugeprobe_domain::inspect::kubernetes::Admission;
use hugeprobe_domain::size::PageSize;

/// The state of one page size.
#[derive(Debug, Default)]
pub(super) struct SizeState {
    /// The digests of what a probe would test now; `None` if the boot id is not known. Without it there is no verdict.
    pub(super) about: Option<About>,
    /// Whether there is anything to probe: the pool has pages, and the kubelet has counted them.
    pub(super) may_be_tried: bool,
    /// The result of the last conclusive probe.
    pub(super) probe_result: Option<ProbeResult>,
    /// The findings of the last probe, if it was inconclusive.
    pub(super) inconclusive: Vec<Finding>,
    /// What keeps probes from running, or from being conclusive.
    pub(super) blocked: Option<Blocked>,
    /// [`About::due`] of the last probe that ended.
    pub(super) tried: Option<String>,
    /// Whether to probe although nothing has changed.
    pub(super) renew: bool,
    /// Whether to probe once more after the probe that is running, because it began before an operator asked for one.
    pub(super) again: bool,
    /// The earliest time of the next probe.
    pub(super) not_before: Moment,
    /// How often in a row the probe did not pass.
    pub(super) failures: u32,
    /// Since when pages have been in use outside pods.
    pub(super) outside_since: Option<Moment>,
    /// How often probes ended in each way.
    pub(super) ends: BTreeMap<&'static str, u64>,
    /// How long the last conclusive probe took from the creation of its pod, in milliseconds.
    pub(super) took: Option<u64>,
}

/// What a probe tests, as two digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    /// The digest of the facts to which a verdict applies: boot, configured pages, mounts, needs, and the identity
    /// under which the probe runs. A change of any of them invalidates the verdict.
    pub(super) configuration: String,
    /// The digest of these facts and of those whose change requires another probe, but does not invalidate the
    /// verdict.
    pub(super) due: String,
}

/// The result of a conclusive probe.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ProbeResult {
    /// The [`About::configuration`] to which it applies.
    pub(super) configuration: String,
    /// The verdict: pass, warn or fail.
    pub(super) verdict: Verdict,
    /// The findings without their evidence. A result that was taken over from the Node has only those that did not
    /// pass.
    pub(super) findings: Vec<Finding>,
    /// The result of the sharing checks, as a line of text.
    pub(super) share: Option<String>,
    /// When the probe ended.
    pub(super) at: Timestamp,
    /// When the result becomes invalid, unless the node is busy.
    pub(super) expires: Moment,
    /// When the result becomes invalid even if the node is busy.
    pub(super) stale: Moment,
}

/// What keeps probes of one size from running, or from being conclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// What kind of thing it is.
    pub kind: BlockedKind,
    /// What is missing or wrong as one word from a fixed set, for a label of the metrics: `pages`, `cpu`, `quota`, ...
    pub reason: &'static str,
    /// The reason as a sentence.
    pub why: String,
    /// Since when probes have been blocked in this way.
    pub since: Timestamp,
}

/// In which way probes are blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockedKind {
    /// Other pods use the pages or another resource.
    Busy,
    /// The probe waits for its turn.
    Waiting,
    /// The probe could not run.
    Prevented,
    /// The probe ran and was inconclusive.
    Inconclusive,
}

/// The delay before the next probe after a fail, in milliseconds. It is shorter than the time to a renewal, because
/// pages that become free do not start a probe.
const AFTER_FAIL_MS: u64 = 60_000;
/// The first delay after a probe that could not run or was inconclusive, in milliseconds. It doubles each time, up to
/// the time to a renewal.
pub const AFTER_BLOCKED_MS: u64 = 30_000;
/// The longest delay between the first tries of a size that has no result yet, in milliseconds.
pub const BEFORE_FIRST_MS: u64 = 60_000;
const FIRST_TRIES: u32 = 6;
/// How long the Node keeps showing its present state while probes are running, in milliseconds. The first verdict,
/// and a verdict after a change, is then written once.
pub const HOLD_MS: u64 = 20_000;
/// As [`HOLD_MS`], for a Node that shows nothing while its first probe is running or cannot run yet.
pub(super) const FIRST_MS: u64 = 300_000;
/// As [`FIRST_MS`], while the first probe waits for its turn because other nodes are probed first.
pub(super) const TURN_MS: u64 = 3_600_000;
/// The backoff while the probe waits for its turn. On a large cluster thousands of agents wait for the quota, and
/// each try of each agent is a write to the API server.
const AFTER_QUOTA: Backoff = Backoff { first: 5_000, most: 300_000 };

// === impl SizeState ===

impl SizeState {
    /// Returns the result that applies to the current configuration; `None` without a conclusive probe, or if the
    /// result has expired.
    pub(super) fn valid_result(&self, now: Moment) -> Option<&ProbeResult> {
        let about = self.about.as_ref()?;
        let busy = self.blocked.as_ref().is_some_and(|blocked| blocked.kind == BlockedKind::Busy);
        let probe_result =
            self.probe_result.as_ref().filter(|result| result.configuration == about.configuration)?;
        let until = if busy { probe_result.stale } else { probe_result.expires };
        (now < until).then_some(probe_result)
    }

    /// Returns the state of the probe pod, for HP203.
    pub(super) fn admission(&self, now: Moment) -> Admission {
        let Some(blocked) = &self.blocked else {
            return if self.valid_result(now).is_some() { Admission::Ran } else { Admission::NotYet };
        };
        let why = blocked.why.clone();
        match (self.valid_result(now), blocked.kind) {
            (Some(_), kind) => {
                Admission::Stands { why, ordinary: matches!(kind, BlockedKind::Busy | BlockedKind::Waiting) }
            }
            (None, _) => Admission::Never(why),
        }
    }

    /// Returns whether the last probe tested the current state, and no renewal is wanted. Also true if there is
    /// nothing to probe.
    pub(super) fn is_settled(&self) -> bool {
        !self.may_be_tried || !self.renew && self.is_tried()
    }

    /// Returns whether there is no verdict only because the first probe has not ended: it waits for its turn or for
    /// resources, or is running.
    pub(super) fn waits(&self, now: Moment) -> bool {
        let kind = self.blocked.as_ref().map(|blocked| blocked.kind);
        self.may_be_tried
            && self.about.is_some()
            && self.valid_result(now).is_none()
            && matches!(kind, None | Some(BlockedKind::Busy | BlockedKind::Waiting))
    }

    /// Returns how long a Node that shows nothing may continue to show nothing, in milliseconds; 0 if there is
    /// nothing to wait for.
    pub(super) fn patience(&self, now: Moment) -> u64 {
        let kind = self.blocked.as_ref().map(|blocked| blocked.kind);
        match kind {
            _ if !self.may_be_tried => 0,
            _ if self.about.is_none() => HOLD_MS,
            _ if self.is_settled() && self.valid_result(now).is_some() => 0,
            Some(BlockedKind::Waiting) => TURN_MS,
            // The agent may run before the image has been pulled, or before permissions have been granted.
            Some(BlockedKind::Prevented) => FIRST_MS,
            _ if !self.is_settled() => FIRST_MS,
            _ => 0,
        }
    }

    /// Returns when the next probe may start; `None` if no probe is wanted.
    pub(super) fn due(&self, now: Moment) -> Option<Moment> {
        let is_valid = self.valid_result(now).is_some_and(|result| result.verdict != Verdict::Fail);
        let wanted = !self.is_settled() || self.blocked.is_some() || !is_valid;
        (self.may_be_tried && self.about.is_some() && wanted).then_some(self.not_before)
    }

    /// Sets the digests of what a probe would test. If `due` has changed, the failures so far no longer delay the next
    /// probe.
    pub(super) fn is_about(&mut self, about: Option<About>, soonest: Moment) {
        let due = |about: &Option<About>| about.as_ref().map(|about| about.due.clone());
        if due(&about) != due(&self.about) && self.about.is_some() {
            self.failures = 0;
            self.not_before = self.not_before.min(soonest);
        }
        self.about = about;
    }

    /// Probes again at once, because an operator asked for it. `is_running`: a probe of this size is running.
    pub(super) fn recheck(&mut self, is_running: bool, now: Moment) {
        self.renew = true;
        self.again = is_running;
        self.not_before = now;
    }

    /// Counts the end of a probe, and updates the number of failures in a row.
    pub(super) fn ended(&mut self, end: &'static str, failed: bool) {
        let count = self.ends.entry(end).or_default();
        *count = count.saturating_add(1);
        self.renew = std::mem::take(&mut self.again);
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
    }

    /// Records what kept the probe from running or from being conclusive. The start time stays the same while the
    /// kind does.
    pub(super) fn hindered(&mut self, kind: BlockedKind, reason: &'static str, why: &str, now: Timestamp) {
        let since = match &self.blocked {
            Some(before) if before.kind == kind => before.since,
            _ => now,
        };
        self.blocked = Some(Blocked { kind, reason, why: why.to_owned(), since });
        self.ended(kind.as_str(), true);
    }

    /// Returns the backoff before the next probe.
    pub(super) fn backoff(&self, renew: u64) -> Backoff {
        match self.blocked.as_ref().map(|blocked| blocked.kind) {
            Some(BlockedKind::Waiting) => AFTER_QUOTA,
            // Before the first verdict the probe is retried often, because the Node shows nothing until then.
            Some(BlockedKind::Prevented) if self.probe_result.is_none() && self.failures <= FIRST_TRIES => {
                Backoff { first: AFTER_BLOCKED_MS.min(renew), most: BEFORE_FIRST_MS.min(renew) }
            }
            // After these tries the delay doubles each time. The first delay is smaller here, because the number of
            // failures includes the tries before.
            Some(BlockedKind::Prevented) if self.probe_result.is_none() => {
                Backoff { first: AFTER_BLOCKED_MS / 16, most: renew }
            }
            Some(_) => Backoff { first: AFTER_BLOCKED_MS.min(renew), most: renew },
            None => Backoff { first: AFTER_FAIL_MS.min(renew), most: renew },
        }
    }

    /// Returns what blocks the probe, if the Node shows it. A probe that waits for its turn is not shown while the last
    /// result is valid: many nodes are renewed or upgraded at once, and each that waits would be written twice for
    /// nothing.
    pub(super) fn shown_block(&self, now: Moment) -> Option<&Blocked> {
        self.blocked.as_ref().filter(|_| !self.renewal_waits(now))
    }

    /// Returns whether a probe waits for its turn while the last result is valid.
    pub(super) fn renewal_waits(&self, now: Moment) -> bool {
        self.blocked.as_ref().is_some_and(|blocked| blocked.kind == BlockedKind::Waiting)
            && self.valid_result(now).is_some()
    }

    /// Returns the findings of the valid result. Without one, returns those of the last probe if it was inconclusive.
    pub(super) fn findings(&self, now: Moment) -> &[Finding] {
        match self.valid_result(now) {
            Some(probe_result) => &probe_result.findings,
            None if self.is_tried() => &self.inconclusive,
            None => &[],
        }
    }

    /// Returns since when the node has been busy.
    pub(super) fn busy_since(&self) -> Option<Timestamp> {
        self.blocked.as_ref().filter(|blocked| blocked.kind == BlockedKind::Busy).map(|blocked| blocked.since)
    }

    fn is_tried(&self) -> bool {
        self.tried.is_some() && self.tried.as_ref() == self.about.as_ref().map(|about| &about.due)
    }
}

// === impl ProbeResult, Blocked ===

impl ProbeResult {
    /// Returns the value of the annotation from which the next agent takes over the result, such as
    /// `pass 2026-11-23T05:38:15Z 9f3c0a1b22334455`.
    pub(super) fn annotation(&self) -> String {
        format!("{} {} {}", self.verdict, seconds(self.at), self.configuration)
    }

    /// Returns the annotation without the time, because a renewal alone is not a change.
    pub(super) fn without_time(annotation: &str) -> String {
        let mut words: Vec<_> = annotation.split(' ').collect();
        if words.len() == 3 {
            words.remove(1);
        }
        words.join(" ")
    }
}

impl Blocked {
    /// Returns the value of the annotation, such as `busy since T: 1Gi Insufficient hugepages-1Gi`.
    pub(super) fn annotation(&self, size: PageSize) -> String {
        format!("{} since {}: {size} {}", self.kind.as_str(), seconds(self.since), self.why)
    }
}

impl BlockedKind {
    /// Returns the word for the annotation and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Waiting => "waiting",
            Self::Prevented => "prevented",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// Summarizes the sharing checks (HP6xx) in one line; `None` if none of them was tried.
pub(super) fn share(findings: &[Finding]) -> Option<String> {
    let about = || findings.iter().rev().filter(|finding| finding.id.number() / 100 == 6);
    let tried = about().filter(|finding| finding.outcome != Outcome::Skip).count();
    let hold = about().filter(|finding| matches!(finding.outcome, Outcome::Pass | Outcome::Warn)).count();
    // The iterator is reversed because `max_by_key` returns the last of equal items, and the first is wanted.
    let worst =
        about().filter(|finding| finding.outcome > Outcome::Pass).max_by_key(|finding| finding.outcome);
    if tried == 0 {
        return None;
    }
    Some(match worst {
        None => format!("pass: {hold} of {tried} checks between two containers passed"),
        Some(worst) => {
            format!("{}: {hold} of {tried} checks between two containers passed, {}", worst.outcome, worst.id)
        }
    })
}
