//! The JSON form of a message. Writing cuts the texts until it fits; reading does not trust it.

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

/// The version of the JSON format in this file.
const VERSION: u8 = 2;

/// The maximum lengths of texts in bytes, longest first. The first number of a pair is for summaries and reasons, the
/// second for the other texts of a finding.
///
/// The first pair with which the message fits is used, so the longest texts are cut first.
const CUTS: [Cut; 8] = [(480, 480), (240, 240), (120, 120), (60, 60), (60, 0), (30, 0), (12, 0), (0, 0)];

type Cut = (usize, usize);

/// The maximum length of a signal's name, in characters.
const SIGNAL_NAME: usize = 12;

/// Why a message cannot be used. The error does not repeat any text of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// The message is longer than [`MESSAGE_LIMIT`].
    #[error("longer than {MESSAGE_LIMIT} bytes")]
    TooLong,
    /// The text is not the JSON of a message, is incomplete, or has another version.
    #[error("not a complete message of this version")]
    Malformed,
    /// The message belongs to another run, for example to another pod.
    #[error("it belongs to another run")]
    OtherRun,
    /// The message is from the other container or about another size.
    #[error("it is from another container or about another size")]
    Other,
    /// The message has a report that this container does not make, or in a form that no container writes.
    #[error("it contains a report that this container does not produce")]
    Stray,
    /// The verdict of the message does not follow from its outcomes.
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
    /// Whether the part has its end line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
    /// Why the part cannot be used, if it is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invalid: Option<String>,
    /// The last step that was announced, if the part has no end line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<(CheckId, String)>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    checks: Checks,
}

// === impl Message ===

impl Message {
    /// Returns the JSON, at most [`MESSAGE_LIMIT`] bytes long. It cuts texts until the message fits, and never leaves
    /// out an outcome.
    ///
    /// Without texts the message always fits, because the numbers of workers and of checks are limited.
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
        // A map with text keys can always be serialised. If it could not, an empty message would count as missing.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// Reads the message of `container` about `size` in run `run`.
    ///
    /// Anyone who can write to the container's termination log may have written it. Only the checks and workers of this
    /// container are accepted, and texts are made printable. The summary of a pass is the title in the catalogue.
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

    /// Returns the worker's report, or `None` if it has something that this worker does not report.
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

/// Returns the first check in a part that a worker of this role does not report.
fn stray(part: &Part, role: Role) -> Option<CheckId> {
    part.findings.iter().map(|finding| finding.id).find(|id| !role.checks().contains(id))
}

/// Returns whether both containers have a worker of this kind, whose findings must agree.
const fn is_session(role: Role) -> bool {
    matches!(role, Role::Frontend(_) | Role::Backend(_))
}

/// Returns the ending with its texts cut to at most `most` bytes.
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
    /// Converts a finding. `agrees` says whether the other container must arrive at the same value.
    fn of(finding: &Finding, agrees: bool, (summaries, others): Cut) -> Self {
        if finding.outcome == Outcome::Pass {
            let value = finding.evidence.get(AGREED).filter(|_| agrees);
            return Self(finding.outcome, value.map(digest::digest).into_iter().collect());
        }
        // The reader has the catalogue, so its remedy is not sent.
        let known = catalogue::find(finding.id).is_some_and(|check| check.remedy == finding.remedy);
        let remedy = if known { "" } else { &finding.remedy };
        let mut texts = vec![shorten(&finding.summary, summaries)];
        texts.extend([&finding.seen, &finding.expected, remedy].map(|text| shorten(text, others)));
        while texts.last().is_some_and(String::is_empty) {
            texts.pop();
        }
        Self(finding.outcome, texts)
    }

    /// Converts to a finding, or returns `None` if no container writes a check in this form.
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

/// Converts the checks to findings, or returns `None` if one is malformed or not in `known`.
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

/// Returns one printable line of at most `most` bytes; empty if `most` is 0.
fn shorten(text: &str, most: usize) -> String {
    if most == 0 { String::new() } else { line(text, most) }
}
