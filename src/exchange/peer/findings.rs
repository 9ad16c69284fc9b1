//! The findings of a worker about its peer, including the checks that it did not reach.

use std::io;

use serde::Serialize;
use serde_json::Value;

use hugeprobe_domain::check::{Because, CheckId, Finding, Outcome};
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::peer::PEER;
use hugeprobe_domain::size::PageSize;

/// The findings of one session.
pub(super) struct Findings<'a> {
    output: &'a mut dyn WorkerOutput,
    size: PageSize,
    reported: Vec<CheckId>,
    /// Why the session stopped, if it did.
    stopped: Option<String>,
}

/// The reason why a session ends early.
pub(super) enum Stop {
    /// A check did not pass.
    Found(CheckId, Box<Bad>),
    /// The reader of the output is gone.
    Gone(io::Error),
}

/// A result other than a pass.
pub(super) struct Bad {
    outcome: Outcome,
    summary: String,
    expected: String,
    seen: String,
    evidence: Vec<(&'static str, Value)>,
}

// === impl Findings ===

impl<'a> Findings<'a> {
    pub(super) fn new(size: PageSize, output: &'a mut dyn WorkerOutput) -> Self {
        Self { output, size, reported: Vec::new(), stopped: None }
    }

    /// Announces the next step.
    pub(super) fn step(&mut self, id: CheckId, what: &str) -> io::Result<()> {
        self.output.step(id, what)
    }

    pub(super) fn pass(&mut self, id: CheckId, summary: String, evidence: Value) -> io::Result<()> {
        let mut finding = Finding::pass(id, self.size, summary);
        if let Value::Object(facts) = evidence {
            finding.evidence = facts;
        }
        self.report(finding)
    }

    pub(super) fn skip(&mut self, id: CheckId, why: &str) -> io::Result<()> {
        self.report(Finding::skip(id, self.size, why))
    }

    pub(super) fn bad(&mut self, id: CheckId, bad: Bad) -> io::Result<()> {
        let Bad { outcome, summary, expected, seen, evidence } = bad;
        self.stopped.get_or_insert(summary.clone());
        let finding = Finding::not_pass(id, self.size, outcome, summary, Because::new(expected, seen));
        self.report(evidence.into_iter().fold(finding, |finding, (key, value)| finding.with(key, value)))
    }

    /// Reports every check that has no finding yet as not reached.
    pub(super) fn close(mut self) -> io::Result<()> {
        for id in PEER {
            let why = self.stopped.clone().unwrap_or_else(|| "the session ended earlier".to_owned());
            let because = Because::new(
                "the session reaches this check",
                format!("the session stopped before it: {why}"),
            )
            .remedy("see what failed before it");
            let summary = format!("not reached: {why}");
            self.report(Finding::not_pass(id, self.size, Outcome::Unknown, summary, because))?;
        }
        Ok(())
    }

    /// Reports a finding, unless its check already has one.
    fn report(&mut self, finding: Finding) -> io::Result<()> {
        if self.reported.contains(&finding.id) {
            return Ok(());
        }
        self.reported.push(finding.id);
        self.output.found(finding)
    }
}

// === impl Stop ===

impl Stop {
    pub(super) fn found(
        id: CheckId,
        outcome: Outcome,
        summary: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        let (summary, expected, seen) = (summary.into(), expected.into(), seen.into());
        Self::Found(id, Box::new(Bad { outcome, summary, expected, seen, evidence: Vec::new() }))
    }

    /// Adds a fact to the evidence. A fact that cannot be serialised is left out, because evidence never decides.
    pub(super) fn with(mut self, key: &'static str, fact: impl Serialize) -> Self {
        if let (Self::Found(_, bad), Ok(fact)) = (&mut self, serde_json::to_value(fact)) {
            bad.evidence.push((key, fact));
        }
        self
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// Returns an inconclusive result, for a reason that the peer did not cause.
#[allow(clippy::needless_pass_by_value, reason = "errors come by value, to be reported and dropped")]
pub(super) fn unknown(id: CheckId, summary: &str, expected: impl Into<String>, seen: impl ToString) -> Stop {
    Stop::found(id, Outcome::Unknown, summary, expected, seen.to_string())
}
