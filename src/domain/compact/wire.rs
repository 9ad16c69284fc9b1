//! The JSON of a message. It is written to fit, and read as data from a stranger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::catalogue;
use super::super::check::{Because, CheckId, Finding, Outcome};
use super::super::merge::{Ending, WorkerReport};
use super::super::part::{Part, PartError};
use super::super::plan::Role;
use super::super::sharing::AGREED;
use super::super::size::PageSize;
use super::super::text::line;
use super::{Container, MESSAGE_LIMIT, Message, Run, digest};

/// The version of the JSON below.
const VERSION: u8 = 2;

/// How long texts may be, in bytes, from the most to the least: summaries and reasons, and the other texts of a finding. The
/// first pair with which the message fits is taken, so the longest texts are cut first.
const CUTS: [Cut; 8] = [(480, 480), (240, 240), (120, 120), (60, 60), (60, 0), (30, 0), (12, 0), (0, 0)];

type Cut = (usize, usize);

/// The longest name of a signal.
const SIGNAL_NAME: usize = 12;

/// A message that cannot be used. The error repeats nothing of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// It is longer than [`MESSAGE_LIMIT`].
    #[error("longer than {MESSAGE_LIMIT} bytes")]
    TooLong,
    /// It is not the JSON of a message, or its beginning or its end is missing.
    #[error("not a complete message of this version")]
    Malformed,
    /// It belongs to another run: a message of another pod was handed in.
    #[error("it belongs to another run")]
    OtherRun,
    /// It is from the other container, or about another size.
    #[error("it is from another container or about another size")]
    Other,
    /// It reports what its container has not to report, or in a way that no container does.
    #[error("it contains a report that this container does not produce")]
    Stray,
    /// Its verdict does not follow from its outcomes.
    #[error("its verdict contradicts its outcomes")]
    Verdict,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u8,
    container: Container,
    size: PageSize,
    run: Run,
    verdict: Outcome,
    checks: Checks,
    workers: BTreeMap<Role, Worker>,
}

type Checks = BTreeMap<CheckId, Check>;

/// An outcome, and its texts or its digest.
#[derive(Serialize, Deserialize)]
struct Check(Outcome, Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Worker {
    ending: Ending,
    /// Whether its part has its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
    /// Why its part cannot be used, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invalid: Option<String>,
    /// The last step, of a part without its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<(CheckId, String)>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    checks: Checks,
}

// === impl Message ===

impl Message {
    /// The JSON, at most [`MESSAGE_LIMIT`] bytes: outcomes are never left out, texts are cut until it fits.
    ///
    /// Without texts it always fits, because a container has only so many workers and a worker only so many checks.
    #[must_use]
    pub fn write(&self) -> String {
        let mut texts = CUTS.iter().map(|cut| self.json(*cut));
        texts.find(|text| text.len() <= MESSAGE_LIMIT).unwrap_or_default()
    }

    fn json(&self, cut: Cut) -> String {
        let known = |id: &CheckId| self.container.inspections().contains(id);
        let findings = self.findings.iter().filter(|finding| known(&finding.id));
        let worker = |role: Role| self.workers.iter().find(|worker| worker.role == role);
        let wire = Wire {
            v: VERSION,
            container: self.container,
            size: self.size,
            run: self.run.clone(),
            verdict: self.verdict(),
            checks: findings.map(|finding| (finding.id, Check::of(finding, false, cut))).collect(),
            workers: self
                .container
                .roles()
                .filter_map(|role| Some((role, Worker::of(worker(role)?, cut))))
                .collect(),
        };
        // Maps with text as keys cannot fail to be written; an empty message would be one that is missing.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// Reads the message of `container` about `size` in run `run`.
    ///
    /// It may come from anybody who can write to the container's termination log: only the checks and workers of this
    /// container are accepted, and texts are made printable. The summary of a pass is the title of the catalogue.
    ///
    /// # Errors
    ///
    /// See [`CompactError`].
    pub fn parse(text: &str, container: Container, size: PageSize, run: &Run) -> Result<Self, CompactError> {
        if text.len() > MESSAGE_LIMIT {
            return Err(CompactError::TooLong);
        }
        let wire: Wire = serde_json::from_str(text).map_err(|_| CompactError::Malformed)?;
        if wire.v != VERSION {
            return Err(CompactError::Malformed);
        }
        if wire.run != *run {
            return Err(CompactError::OtherRun);
        }
        if (wire.container, wire.size) != (container, size) {
            return Err(CompactError::Other);
        }
        let of_catalogue = |id| catalogue::find(id).filter(|check| check.per_size).map(|_| size);
        let findings = findings(wire.checks, container.inspections(), false, of_catalogue);
        let workers = wire.workers.into_iter().map(|(role, worker)| {
            let known = container.roles().any(|its| its == role);
            known.then(|| worker.report(role, size)).flatten()
        });
        let message = Self {
            container,
            size,
            run: run.clone(),
            findings: findings.ok_or(CompactError::Stray)?,
            workers: workers.collect::<Option<_>>().ok_or(CompactError::Stray)?,
        };
        if message.verdict() == wire.verdict { Ok(message) } else { Err(CompactError::Verdict) }
    }
}

// === impl Worker ===

impl Worker {
    fn of(report: &WorkerReport, cut: Cut) -> Self {
        let part = report.part.as_ref().map_err(ToString::to_string).and_then(|part| {
            match stray(part, report.role) {
                Some(id) => Err(format!("{id} was reported but not requested")),
                None => Ok(part),
            }
        });
        let step = |part: &Part| {
            let (id, step) = part.last_step.as_ref().filter(|_| !part.ended)?;
            Some((*id, shorten(step, cut.0)))
        };
        let findings = part.iter().flat_map(|part| &part.findings);
        Self {
            ending: plain(&report.ending, cut.0),
            ended: part.as_ref().is_ok_and(|part| part.ended),
            invalid: part.as_ref().err().map(|why| shorten(why, cut.0)),
            step: part.as_ref().ok().and_then(|part| step(part)),
            checks: findings
                .map(|finding| (finding.id, Check::of(finding, is_session(report.role), cut)))
                .collect(),
        }
    }

    /// `None` if it reports what this worker has not to report.
    fn report(self, role: Role, size: PageSize) -> Option<WorkerReport> {
        let size = Some(size).filter(|_| !role.is_about_machine());
        let findings = findings(self.checks, role.checks(), is_session(role), |_| size)?;
        let last_step = self.step.map(|(id, step)| (id, shorten(&step, MESSAGE_LIMIT)));
        let part = match self.invalid {
            Some(why) => Err(PartError::Reported(shorten(&why, MESSAGE_LIMIT))),
            None => Ok(Part { findings, last_step, ended: self.ended }),
        };
        let ending = plain(&self.ending, MESSAGE_LIMIT);
        Some(WorkerReport { role, size, part, ending, log: String::new() })
    }
}

/// The first check of a part that its worker has not to report.
fn stray(part: &Part, role: Role) -> Option<CheckId> {
    part.findings.iter().map(|finding| finding.id).find(|id| !role.checks().contains(id))
}

/// Whether both containers have a worker of this kind, whose findings must agree.
const fn is_session(role: Role) -> bool {
    matches!(role, Role::Frontend(_) | Role::Backend(_))
}

/// The ending with texts of at most `most` bytes.
fn plain(ending: &Ending, most: usize) -> Ending {
    match ending {
        Ending::Exited(_) | Ending::Deadline => ending.clone(),
        Ending::Signalled { name, raised_by_kernel } => {
            let name = name.chars().filter(char::is_ascii_alphanumeric).take(SIGNAL_NAME).collect();
            Ending::Signalled { name, raised_by_kernel: *raised_by_kernel }
        }
        Ending::BrokenOff(why) => Ending::BrokenOff(shorten(why, most)),
        Ending::NotStarted(why) => Ending::NotStarted(shorten(why, most)),
    }
}

// === impl Check ===

impl Check {
    /// `agrees`: whether the other container has to come to the same value.
    fn of(finding: &Finding, agrees: bool, (summaries, others): Cut) -> Self {
        if finding.outcome == Outcome::Pass {
            let value = finding.evidence.get(AGREED).filter(|_| agrees);
            return Self(finding.outcome, value.map(digest::digest).into_iter().collect());
        }
        // The reader knows the catalogue's remedy.
        let known = catalogue::find(finding.id).is_some_and(|check| check.remedy == finding.remedy);
        let remedy = if known { "" } else { &finding.remedy };
        let mut texts = vec![shorten(&finding.summary, summaries)];
        texts.extend([&finding.seen, &finding.expected, remedy].map(|text| shorten(text, others)));
        while texts.last().is_some_and(String::is_empty) {
            texts.pop();
        }
        Self(finding.outcome, texts)
    }

    /// `None` if no container writes it so.
    fn finding(self, id: CheckId, size: Option<PageSize>, agrees: bool) -> Option<Finding> {
        let Self(outcome, texts) = self;
        if outcome == Outcome::Pass {
            let title = catalogue::find(id).map_or("", |check| check.title);
            let pass = Finding::pass(id, size, title);
            return match texts.as_slice() {
                [] => Some(pass),
                [text] if agrees && digest::is_digest(text) => Some(pass.with(AGREED, text)),
                _ => None,
            };
        }
        let mut texts = texts.iter().map(|text| shorten(text, MESSAGE_LIMIT));
        let mut next = || texts.next().unwrap_or_default();
        let (summary, seen, expected, remedy) = (next(), next(), next(), next());
        let finding = match outcome {
            Outcome::Skip => Finding { seen, expected, remedy, ..Finding::skip(id, size, summary) },
            outcome => Finding::not_pass(id, size, outcome, summary, Because { expected, seen, remedy }),
        };
        texts.next().is_none().then_some(finding)
    }
}

/// The findings, if all are of `known`.
fn findings(
    checks: Checks,
    known: &[CheckId],
    agree: bool,
    size: impl Fn(CheckId) -> Option<PageSize>,
) -> Option<Vec<Finding>> {
    let finding =
        |(id, check): (CheckId, Check)| check.finding(id, size(id), agree).filter(|_| known.contains(&id));
    checks.into_iter().map(finding).collect()
}

/// One printable line of at most `most` bytes; nothing if there is no room.
fn shorten(text: &str, most: usize) -> String {
    if most == 0 { String::new() } else { line(text, most) }
}
