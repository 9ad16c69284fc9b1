//! From what two containers left behind to findings. Pure: the agent calls it, and believes none of it unseen.

use super::probe::Probe;
use crate::domain::check::{Because, CheckId, Finding, Outcome};
use crate::domain::compact::{CompactError, Container, Message, Run};
use crate::domain::merge::{Ending, WorkerReport, merge};
use crate::domain::part::PartError;
use crate::domain::plan::Role;

/// What a container left when it ended.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    /// Its termination message; an empty one is none.
    pub message: Option<&'a str>,
    /// How it ended, for the reason where there is no message that can be used: `OOMKilled, exit code 137`.
    pub ended: &'a str,
}

/// One container's message, or why there is none to go by.
type Heard = Result<Message, PartError>;

/// The findings of a probe: one for every item of its plan, as `check` has them, and one for each inspection of mount and
/// limits, the worse of both containers'. What is missing, cut, forged, or about something else is never a pass.
///
/// `run` is the name that the containers were given.
#[must_use]
pub fn conclude(probe: &Probe, run: &Run, frontend: Left<'_>, backend: Left<'_>) -> Vec<Finding> {
    let heard = [(Container::Frontend, frontend), (Container::Backend, backend)]
        .map(|(container, left)| (container, listen(probe, run, container, left)));
    let workers: Vec<_> =
        heard.iter().flat_map(|(container, heard)| reports(probe, *container, heard)).collect();
    let mut findings = merge(&probe.plan(), &workers);
    // The frontend's are all there are.
    let inspected = Container::Frontend.inspections().iter();
    findings.extend(inspected.filter_map(|id| inspection(*id, &heard)));
    findings
}

/// Whether both containers left a message that counts.
#[must_use]
pub fn are_heard(probe: &Probe, run: &Run, frontend: Left<'_>, backend: Left<'_>) -> bool {
    [(Container::Frontend, frontend), (Container::Backend, backend)]
        .into_iter()
        .all(|(container, left)| listen(probe, run, container, left).is_ok())
}

fn listen(probe: &Probe, run: &Run, container: Container, left: Left<'_>) -> Heard {
    let Some(text) = left.message.filter(|text| !text.is_empty()) else {
        return Err(PartError::NotHeard(format!(
            "the {container} container left no message ({})",
            left.ended
        )));
    };
    match Message::parse(text, container, probe.size, run) {
        Ok(mut message) => {
            message.findings.iter_mut().for_each(put_words);
            for part in message.workers.iter_mut().filter_map(|worker| worker.part.as_mut().ok()) {
                part.findings.iter_mut().for_each(put_words);
            }
            Ok(message)
        }
        Err(CompactError::OtherRun) => Err(PartError::OtherRun { line: 1 }),
        Err(error) => {
            Err(PartError::NotHeard(format!("the message of the {container} container is refused: {error}")))
        }
    }
}

/// Words where those that there were did not fit the message.
fn put_words(finding: &mut Finding) {
    let see = "see the container's log";
    if finding.summary.is_empty() {
        finding.summary = format!("{}: {see}", finding.outcome);
    }
    if finding.outcome > Outcome::Pass {
        for text in [&mut finding.expected, &mut finding.seen] {
            if text.is_empty() {
                text.push_str(see);
            }
        }
    }
}

/// What came of a container's workers; of one that was not heard, the same for each.
fn reports(probe: &Probe, container: Container, heard: &Heard) -> Vec<WorkerReport> {
    match heard {
        Ok(message) => message.workers.clone(),
        Err(error) => {
            let report = |role: Role| WorkerReport {
                role,
                size: Some(probe.size).filter(|_| role != Role::Syscalls),
                part: Err(error.clone()),
                ending: Ending::NotStarted(error.to_string()),
                log: String::new(),
            };
            container.roles().map(report).collect()
        }
    }
}

/// One inspection, by the containers that were heard; `None` if none of those that make it was: their workers say why.
fn inspection(id: CheckId, heard: &[(Container, Heard); 2]) -> Option<Finding> {
    let said = heard.iter().filter(|(container, _)| container.inspections().contains(&id)).filter_map(
        |(container, heard)| {
            let message = heard.as_ref().ok()?;
            let finding = message.findings.iter().find(|finding| finding.id == id).cloned();
            Some((*container, finding.unwrap_or_else(|| left_out(id, *container, message))))
        },
    );
    let said: Vec<_> = said.collect();
    let alike = said.windows(2).all(|pair| match pair {
        [(_, one), (_, other)] => (one.outcome, &one.summary) == (other.outcome, &other.summary),
        _ => true,
    });
    // Of equals the frontend's, which comes first.
    let (container, mut worst) = said
        .into_iter()
        .reduce(|worst, other| if other.1.outcome > worst.1.outcome { other } else { worst })?;
    if worst.outcome > Outcome::Pass && !alike {
        worst.summary = format!("{container}: {}", worst.summary);
    }
    Some(worst)
}

fn left_out(id: CheckId, container: Container, message: &Message) -> Finding {
    let size = crate::domain::catalogue::find(id).filter(|check| check.per_size).map(|_| message.size);
    let because = Because::new("a report of this check", format!("the {container} container left it out"));
    Finding::not_pass(id, size, Outcome::Unknown, "not reported", because)
}

#[cfg(test)]
mod tests;
