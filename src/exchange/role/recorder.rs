//! The findings of a worker, check by check, including the checks that it did not reach.
//!
//! The main session has a separate check for each observation. Every other session has a single check. The single
//! check of a session that shares memory passes if all observations of the main session were made and were good.

use std::io;

use serde_json::{Map, Value};

use hugeprobe_domain::catalogue::HP605;
use hugeprobe_domain::check::{Because, CheckId, Finding, Outcome};
use hugeprobe_domain::movement::Step;
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::sharing::{AGREED, Session};
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::smaps::MappingFacts;

/// The findings of one worker.
pub(super) struct Recorder<'a> {
    output: &'a mut dyn WorkerOutput,
    session: Session,
    size: PageSize,
    reported: Vec<CheckId>,
    /// The observations so far, in a session with a single check.
    single: Single,
    /// Why the session stopped, if it did.
    stopped: Option<String>,
}

#[derive(Default)]
struct Single {
    /// Which side touched the pages first, and what was charged to which cgroup.
    first: Option<String>,
    evidence: Map<String, Value>,
    agreed: Map<String, Value>,
}

/// An observation that was as expected.
pub(super) struct Good {
    pub(super) summary: String,
    /// The values that both sides must have seen alike.
    pub(super) agreed: Value,
    pub(super) evidence: Value,
}

/// An observation that was not as expected.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) outcome: Outcome,
    pub(super) summary: String,
    pub(super) expected: String,
    pub(super) seen: String,
    /// Advice that is more specific than the catalogue's.
    pub(super) advice: Option<Box<Advice>>,
}

/// A remedy, and the evidence for it.
#[derive(Debug)]
pub(super) struct Advice {
    pub(super) remedy: String,
    pub(super) evidence: Value,
}

// === impl Recorder ===

impl<'a> Recorder<'a> {
    pub(super) fn new(session: Session, size: PageSize, output: &'a mut dyn WorkerOutput) -> Self {
        let (reported, single) = (Vec::new(), Single::default());
        Self { output, session, size, reported, single, stopped: None }
    }

    /// Announces the next step.
    pub(super) fn step(&mut self, id: CheckId, what: &str) -> io::Result<()> {
        self.output.step(self.own(id), what)
    }

    /// Announces the next step and its effect on the pool.
    pub(super) fn page_step(&mut self, id: CheckId, what: &str, effect: Step) -> io::Result<()> {
        self.output.page_step(self.own(id), what, effect)
    }

    /// Records an observation that was as expected.
    pub(super) fn good(&mut self, id: CheckId, good: Good) -> io::Result<()> {
        if self.session.checks().contains(&id) {
            let mut finding = Finding::pass(id, self.size, good.summary).with(AGREED, good.agreed);
            finding.evidence.extend(into_map(good.evidence));
            return self.report(finding);
        }
        if id == HP605 {
            self.single.first = Some(good.summary);
        }
        for (key, value) in into_map(good.agreed) {
            self.single.agreed.insert(format!("{id}.{key}"), value);
        }
        self.single.evidence.insert(id.to_string(), good.evidence);
        Ok(())
    }

    /// Records an observation that was not as expected. The session stops after it.
    pub(super) fn bad(&mut self, id: CheckId, bad: Bad) -> io::Result<()> {
        let own = self.own(id);
        let mut because = Because::new(bad.expected, bad.seen);
        let mut evidence = std::mem::take(&mut self.single.evidence);
        if let Some(advice) = bad.advice {
            because = because.remedy(advice.remedy);
            evidence.extend(into_map(advice.evidence));
        }
        self.stopped.get_or_insert(bad.summary.clone());
        let mut finding = Finding::not_pass(own, self.size, bad.outcome, bad.summary, because);
        finding.evidence.extend(evidence);
        if self.reported.contains(&own) { Ok(()) } else { self.report(finding) }
    }

    /// Returns whether the session has stopped.
    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Reports every check that has no finding yet.
    pub(super) fn close(mut self) -> io::Result<()> {
        for id in self.session.checks() {
            if self.reported.contains(id) {
                continue;
            }
            let finding = match (&self.stopped, self.session.checks()) {
                (None, [_]) if self.single.is_whole() => {
                    let single = std::mem::take(&mut self.single);
                    let in_short = self.session.in_short().to_owned();
                    let summary =
                        single.first.filter(|_| self.session == Session::BackendFirst).unwrap_or(in_short);
                    let mut finding = Finding::pass(*id, self.size, summary).with(AGREED, single.agreed);
                    finding.evidence.extend(single.evidence);
                    finding
                }
                (stopped, _) => {
                    let why = stopped.clone().unwrap_or_else(|| "the session ended earlier".to_owned());
                    let because = Because::new(
                        "the session reaches this check",
                        format!("the session stopped before it: {why}"),
                    );
                    Finding::not_pass(
                        *id,
                        self.size,
                        Outcome::Unknown,
                        format!("not reached: {why}"),
                        because,
                    )
                }
            };
            self.report(finding)?;
        }
        Ok(())
    }

    /// Returns the check of this session to which an observation belongs.
    fn own(&self, id: CheckId) -> CheckId {
        match self.session.checks() {
            [only] => *only,
            _ => id,
        }
    }

    fn report(&mut self, finding: Finding) -> io::Result<()> {
        self.reported.push(finding.id);
        self.output.found(finding)
    }
}

// === impl Single ===

impl Single {
    /// Returns whether there is an observation for each check of the main session. A session that ended early proves
    /// nothing.
    fn is_whole(&self) -> bool {
        Session::FrontendFirst.checks().iter().all(|id| self.evidence.contains_key(&id.to_string()))
    }
}

// === impl Bad ===

impl Bad {
    /// Creates a failure: a workload would fail here.
    pub(super) fn fail(
        summary: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        let (summary, expected, seen) = (summary.into(), expected.into(), seen.into());
        Self { outcome: Outcome::Fail, summary, expected, seen, advice: None }
    }

    /// Creates an inconclusive result.
    pub(super) fn unknown(
        summary: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        Self { outcome: Outcome::Unknown, ..Self::fail(summary, expected, seen) }
    }
}

/// Checks for HP603 that smaps shows huge pages in the mapping. The bytes of the other side prove that the pages are
/// shared. Whether smaps counts them as shared is not evidence; see [`MappingFacts`].
pub(super) fn holds_pages(facts: &Reading<MappingFacts>) -> Result<(), Bad> {
    let expected = "Private_Hugetlb or Shared_Hugetlb above 0";
    match facts.known().map(MappingFacts::held_bytes) {
        Some(0) => Err(Bad::fail("the mapping holds no huge page", expected, "both are 0")),
        Some(_) => Ok(()),
        None => {
            let why = facts.why_unknown().unwrap_or_default();
            Err(Bad::unknown("cannot read smaps of the mapping", expected, why))
        }
    }
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use hugeprobe_domain::catalogue::{HP601, HP602, HP606};

    #[test]
    fn a_mapping_without_huge_pages_fails_and_one_that_cannot_be_read_is_unknown() {
        let holding = |private_bytes, shared_bytes| {
            Reading::Known(MappingFacts { page_bytes: 1 << 30, private_bytes, shared_bytes })
        };
        assert!(holds_pages(&holding(1 << 30, 0)).is_ok());
        assert!(holds_pages(&holding(0, 1 << 30)).is_ok());
        let outcome = |facts| holds_pages(&facts).map_err(|bad| bad.outcome);
        assert_eq!(outcome(holding(0, 0)), Err(Outcome::Fail));
        assert_eq!(outcome(Reading::Absent), Err(Outcome::Unknown));
        assert_eq!(outcome(Reading::Malformed("no such line".to_owned())), Err(Outcome::Unknown));
    }

    #[derive(Default)]
    struct Collected(Vec<Finding>);

    impl WorkerOutput for Collected {
        fn step(&mut self, _: CheckId, _: &str) -> io::Result<()> {
            Ok(())
        }
        fn found(&mut self, finding: Finding) -> io::Result<()> {
            self.0.push(finding);
            Ok(())
        }
    }

    fn heard(session: Session, act: impl FnOnce(&mut Recorder<'_>)) -> Vec<Finding> {
        let mut heard = Collected::default();
        let mut recorder = Recorder::new(session, PageSize::from_bytes(2 << 20).unwrap(), &mut heard);
        act(&mut recorder);
        recorder.close().unwrap();
        heard.0
    }

    fn good() -> Good {
        Good { summary: "fine".into(), agreed: json!({"inode": 1}), evidence: json!({"more": 2}) }
    }

    #[test]
    fn every_check_of_a_session_is_reported_once_whatever_happens() {
        for session in Session::ALL {
            let nothing = heard(session, |_| ());
            let ids: Vec<_> = nothing.iter().map(|finding| finding.id).collect();
            assert_eq!(ids, session.checks());
            assert!(nothing.iter().all(|finding| finding.outcome == Outcome::Unknown));
        }
        let some = heard(Session::FrontendFirst, |recorder| {
            recorder.good(HP601, good()).unwrap();
            recorder.bad(HP602, Bad::fail("4 KiB", "2 MiB", "4 KiB")).unwrap();
            recorder.bad(HP602, Bad::fail("again", "2 MiB", "4 KiB")).unwrap();
        });
        let outcomes: Vec<_> = some.iter().map(|finding| finding.outcome).collect();
        assert_eq!(outcomes[..3], [Outcome::Pass, Outcome::Fail, Outcome::Unknown]);
        assert_eq!(some.len(), 7);
        assert!(some[2].summary.contains("not reached: 4 KiB"));
    }

    #[test]
    fn a_session_of_one_check_passes_if_all_of_it_does() {
        let things = Session::FrontendFirst.checks();
        let all = heard(Session::BackendFirst, |recorder| {
            things.iter().for_each(|id| recorder.good(*id, good()).unwrap());
        });
        assert_eq!((all.len(), all[0].id, all[0].outcome), (1, HP606, Outcome::Pass));
        assert_eq!(all[0].evidence[AGREED]["HP601.inode"], 1);
        for left_out in things {
            let others = heard(Session::BackendFirst, |recorder| {
                things.iter().filter(|id| *id != left_out).for_each(|id| recorder.good(*id, good()).unwrap());
            });
            assert_eq!((others.len(), others[0].outcome), (1, Outcome::Unknown), "without {left_out}");
        }
        let one_bad = heard(Session::BackendFirst, |recorder| {
            recorder.good(HP601, good()).unwrap();
            recorder.bad(HP602, Bad::fail("4 KiB", "2 MiB", "4 KiB")).unwrap();
        });
        assert_eq!((one_bad.len(), one_bad[0].outcome), (1, Outcome::Fail));
    }
}
