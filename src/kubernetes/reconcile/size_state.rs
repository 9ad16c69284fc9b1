//! What is known of one size: what its last conclusive probe said, what it was about, and what keeps the next one from running.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::clock::Moment;
use crate::domain::check::{Finding, Outcome, Verdict};
use crate::domain::inspect::kubernetes::Admission;
use crate::domain::size::PageSize;
use crate::kubernetes::backoff::Backoff;
use crate::kubernetes::publication::seconds;

/// All about one size.
#[derive(Debug, Default)]
pub(super) struct SizeState {
    /// What a probe would be about now; none if the boot is not known, and nothing can be said.
    pub(super) about: Option<About>,
    /// Whether there is anything to try: pages, and a kubelet that knows of them.
    pub(super) may_be_tried: bool,
    /// What the last conclusive probe said.
    pub(super) probe_result: Option<ProbeResult>,
    /// What the last probe found that could not tell.
    pub(super) inconclusive: Vec<Finding>,
    /// What keeps probes from running, or from telling.
    pub(super) hindrance: Option<Hindrance>,
    /// [`About::due`] of the last probe that ended.
    pub(super) tried: Option<String>,
    /// Whether a probe is wanted though nothing has changed.
    pub(super) renew: bool,
    /// Not to be tried before.
    pub(super) not_before: Moment,
    /// How often in a row it did not pass.
    pub(super) failures: u32,
    /// Since when pages are seen in use outside pods.
    pub(super) outside_since: Option<Moment>,
    /// How probes ended, by word.
    pub(super) ends: BTreeMap<&'static str, u64>,
    /// How long the last conclusive one took, from the pod's creation, milliseconds.
    pub(super) took: Option<u64>,
}

/// What a probe is about, each in a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    /// What a verdict does not survive: boot, configured pages, mounts, needs, as whom it runs.
    pub(super) configuration: String,
    /// What is reason enough for another probe.
    pub(super) due: String,
}

/// A conclusive verdict.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ProbeResult {
    /// [`About::configuration`] that it is about.
    pub(super) configuration: String,
    /// Pass, warn or fail.
    pub(super) verdict: Verdict,
    /// The findings that do not pass.
    pub(super) findings: Vec<Finding>,
    /// The result of sharing.
    pub(super) share: Option<String>,
    /// When.
    pub(super) at: Timestamp,
    /// From when on it does not stand, unless the node is busy.
    pub(super) expires: Moment,
    /// From when on it does not stand in any case.
    pub(super) stale: Moment,
}

/// What keeps probes from running, or from telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hindrance {
    pub(super) kind: Kind,
    /// What is lacking or wrong, in a word: a label of the metrics.
    pub(super) reason: &'static str,
    pub(super) why: String,
    pub(super) since: Timestamp,
}

/// Of what kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Other pods have the pages.
    Busy,
    /// It waits for its turn.
    Waiting,
    /// It could not run.
    Prevented,
    /// It ran, and could not tell.
    Inconclusive,
}

/// A pass is renewed in its time; a fail is looked at again sooner, since free pages that come back start no probe.
const AFTER_FAIL_MS: u64 = 60_000;
/// After a probe that could not run, or could not tell; then twice as long, up to a renewal.
pub const AFTER_HINDRANCE_MS: u64 = 30_000;
/// The same at most between the first tries of a size that has no verdict yet.
pub const BEFORE_FIRST_MS: u64 = 60_000;
const FIRST_TRIES: u32 = 6;
/// How long the Node keeps showing what it shows while probes are under way that will tell: so that a first verdict, and one
/// after a change, is one write.
pub const HOLD_MS: u64 = 20_000;
/// The same for a Node that shows nothing, while its first probe runs, or cannot run yet.
pub(super) const FIRST_MS: u64 = 300_000;
/// The same while the first probe waits for its turn: other nodes are probed first.
pub(super) const TURN_MS: u64 = 3_600_000;
/// On a large cluster thousands of agents wait for a place: each try of each is a write.
const AFTER_QUOTA: Backoff = Backoff { first: 5_000, most: 300_000 };

// === impl SizeState ===

impl SizeState {
    /// The verdict that applies to the current state; `None` without a conclusive probe, or if it was too long ago.
    pub(super) fn valid_result(&self, now: Moment) -> Option<&ProbeResult> {
        let about = self.about.as_ref()?;
        let busy = self.hindrance.as_ref().is_some_and(|hindrance| hindrance.kind == Kind::Busy);
        let probe_result =
            self.probe_result.as_ref().filter(|result| result.configuration == about.configuration)?;
        let until = if busy { probe_result.stale } else { probe_result.expires };
        (now < until).then_some(probe_result)
    }

    /// HP203's question.
    pub(super) fn admission(&self, now: Moment) -> Admission {
        let Some(hindrance) = &self.hindrance else {
            return if self.valid_result(now).is_some() { Admission::Ran } else { Admission::NotYet };
        };
        let why = hindrance.why.clone();
        match (self.valid_result(now), hindrance.kind) {
            (Some(_), kind) => {
                Admission::Stands { why, ordinary: matches!(kind, Kind::Busy | Kind::Waiting) }
            }
            (None, _) => Admission::Never(why),
        }
    }

    /// Whether the last probe was about what is there now, and none is wanted on top.
    pub(super) fn is_settled(&self) -> bool {
        !self.may_be_tried || !self.renew && self.is_tried()
    }

    /// Whether there is no verdict only because the first probe is not over yet: it waits for its turn or for pages, or runs.
    pub(super) fn waits(&self, now: Moment) -> bool {
        let kind = self.hindrance.as_ref().map(|hindrance| hindrance.kind);
        self.may_be_tried
            && self.about.is_some()
            && self.valid_result(now).is_none()
            && matches!(kind, None | Some(Kind::Busy | Kind::Waiting))
    }

    /// How long a Node that shows nothing may go on so, milliseconds; 0 if there is nothing to wait for.
    pub(super) fn patience(&self, now: Moment) -> u64 {
        let kind = self.hindrance.as_ref().map(|hindrance| hindrance.kind);
        match kind {
            _ if !self.may_be_tried => 0,
            _ if self.about.is_none() => HOLD_MS,
            _ if self.is_settled() && self.valid_result(now).is_some() => 0,
            Some(Kind::Waiting) => TURN_MS,
            // Images are pulled, and rights granted, while the agent already runs.
            Some(Kind::Prevented) => FIRST_MS,
            _ if !self.is_settled() => FIRST_MS,
            _ => 0,
        }
    }

    /// When the next probe may start; none if none is wanted.
    pub(super) fn due(&self, now: Moment) -> Option<Moment> {
        let is_valid = self.valid_result(now).is_some_and(|result| result.verdict != Verdict::Fail);
        let wanted = !self.is_settled() || self.hindrance.is_some() || !is_valid;
        (self.may_be_tried && self.about.is_some() && wanted).then_some(self.not_before)
    }

    /// What it is about now. What was held against it before no longer counts if that has changed.
    pub(super) fn is_about(&mut self, about: Option<About>, soonest: Moment) {
        let due = |about: &Option<About>| about.as_ref().map(|about| about.due.clone());
        if due(&about) != due(&self.about) && self.about.is_some() {
            self.failures = 0;
            self.not_before = self.not_before.min(soonest);
        }
        self.about = about;
    }

    /// Counts an end, and says how long to wait before the next.
    pub(super) fn ended(&mut self, end: &'static str, failed: bool) {
        let count = self.ends.entry(end).or_default();
        *count = count.saturating_add(1);
        self.renew = false;
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
    }

    /// Something kept the probe from running, or from telling. The same thing keeps its time.
    pub(super) fn hindered(&mut self, kind: Kind, reason: &'static str, why: &str, now: Timestamp) {
        let since = match &self.hindrance {
            Some(before) if before.kind == kind => before.since,
            _ => now,
        };
        self.hindrance = Some(Hindrance { kind, reason, why: why.to_owned(), since });
        self.ended(kind.as_str(), true);
    }

    /// How long to wait until the next try.
    pub(super) fn backoff(&self, renew: u64) -> Backoff {
        match self.hindrance.as_ref().map(|hindrance| hindrance.kind) {
            Some(Kind::Waiting) => AFTER_QUOTA,
            // Before a first verdict it is tried again while the Node still waits for it.
            Some(Kind::Prevented) if self.probe_result.is_none() && self.failures <= FIRST_TRIES => {
                Backoff { first: AFTER_HINDRANCE_MS.min(renew), most: BEFORE_FIRST_MS.min(renew) }
            }
            // From there on twice as long each time, and not as if all the tries before had counted.
            Some(Kind::Prevented) if self.probe_result.is_none() => {
                Backoff { first: AFTER_HINDRANCE_MS / 16, most: renew }
            }
            Some(_) => Backoff { first: AFTER_HINDRANCE_MS.min(renew), most: renew },
            None => Backoff { first: AFTER_FAIL_MS.min(renew), most: renew },
        }
    }

    /// The result of the probe that can be relied on: the valid verdict, or why there is none.
    pub(super) fn findings(&self, now: Moment) -> &[Finding] {
        match self.valid_result(now) {
            Some(probe_result) => &probe_result.findings,
            None if self.is_tried() => &self.inconclusive,
            None => &[],
        }
    }

    /// Since when the node is busy.
    pub(super) fn busy_since(&self) -> Option<Timestamp> {
        self.hindrance
            .as_ref()
            .filter(|hindrance| hindrance.kind == Kind::Busy)
            .map(|hindrance| hindrance.since)
    }

    fn is_tried(&self) -> bool {
        self.tried.is_some() && self.tried.as_ref() == self.about.as_ref().map(|about| &about.due)
    }
}

// === impl ProbeResult, Hindrance ===

impl ProbeResult {
    /// `pass 2026-11-23T05:38:15Z 9f3c0a1b22334455`: what the next agent may keep.
    pub(super) fn annotation(&self) -> String {
        format!("{} {} {}", self.verdict, seconds(self.at), self.configuration)
    }

    /// The same without the time: a renewal alone changes nothing.
    pub(super) fn without_time(annotation: &str) -> String {
        let mut words: Vec<_> = annotation.split(' ').collect();
        if words.len() == 3 {
            words.remove(1);
        }
        words.join(" ")
    }
}

impl Hindrance {
    /// `busy since T: 1Gi Insufficient hugepages-1Gi`.
    pub(super) fn annotation(&self, size: PageSize) -> String {
        format!("{} since {}: {size} {}", self.kind.as_str(), seconds(self.since), self.why)
    }
}

impl Kind {
    /// As it is published and counted.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Waiting => "waiting",
            Self::Prevented => "prevented",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The result of sharing, in a line; `None` if none of it was tried.
pub(super) fn share(findings: &[Finding]) -> Option<String> {
    let about = || findings.iter().rev().filter(|finding| finding.id.number() / 100 == 6);
    let tried = about().filter(|finding| finding.outcome != Outcome::Skip).count();
    let hold = about().filter(|finding| matches!(finding.outcome, Outcome::Pass | Outcome::Warn)).count();
    // Backwards, so that of equals it is the first.
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
