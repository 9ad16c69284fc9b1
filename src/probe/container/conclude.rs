//! Computes findings and a verdict from the termination messages of both containers. Pure: the agent calls it.

use super::probe::Probe;
use hugeprobe_domain::check::{Because, CheckId, Finding, Outcome, Verdict};
use hugeprobe_domain::compact::{CompactError, Container, Message, Run};
use hugeprobe_domain::judge::judge;
use hugeprobe_domain::merge::{Ending, WorkerReport, merge};
use hugeprobe_domain::part::PartError;
use hugeprobe_domain::plan::Role;
use hugeprobe_domain::request::Request;

/// How a container ended, according to the status of its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminated {
    /// Its termination message, unchecked. An empty message counts as none.
    pub message: Option<String>,
    /// Why and how it ended, for example `OOMKilled, exit code 137`.
    pub reason: String,
}

/// The result of merging the messages of both containers.
#[derive(Debug, Clone, PartialEq)]
pub struct Conclusion {
    /// The verdict for the page size that was probed.
    pub verdict: Verdict,
    /// One finding for each item of the plan and one for each inspection of mount and limits. If the containers differ
    /// in an inspection, it is the worse finding.
    pub findings: Vec<Finding>,
    /// Whether both containers left a usable message.
    pub complete: bool,
}

/// The message of one container, or why it cannot be used.
type Received = Result<Message, PartError>;

/// Merges the messages of frontend and backend as `check` merges the parts of its workers. A message that is missing,
/// truncated, forged or from another run never leads to a pass.
///
/// `run` is the name of the run that the containers were given.
#[must_use]
pub fn conclude(probe: &Probe, run: &Run, terminated: &[Terminated; 2]) -> Conclusion {
    let [frontend, backend] = terminated;
    let received = [(Container::Frontend, frontend), (Container::Backend, backend)]
        .map(|(container, terminated)| (container, receive(probe, run, container, terminated)));
    let workers: Vec<_> =
        received.iter().flat_map(|(container, received)| reports(probe, *container, received)).collect();
    let plan = probe.plan();
    let mut findings = merge(&plan, &workers);
    // The inspections of the backend are a subset of the frontend's.
    let inspections = Container::Frontend.inspections().iter();
    findings.extend(inspections.filter_map(|id| inspection(*id, &received)));
    let verdicts = judge(&plan, &Request::default(), &findings);
    let verdict = verdicts.first().map_or(Verdict::Unknown, |one| one.verdict);
    Conclusion { verdict, findings, complete: received.iter().all(|(_, received)| received.is_ok()) }
}

fn receive(probe: &Probe, run: &Run, container: Container, terminated: &Terminated) -> Received {
    let Some(text) = terminated.message.as_deref().filter(|text| !text.is_empty()) else {
        return Err(PartError::NotHeard(format!(
            "the {container} container left no message ({})",
            terminated.reason
        )));
    };
    match Message::parse(text, container, probe.size, run) {
        Ok(mut message) => {
            message.findings.iter_mut().for_each(refer_to_log);
            for part in message.workers.iter_mut().filter_map(|worker| worker.part.as_mut().ok()) {
                part.findings.iter_mut().for_each(refer_to_log);
            }
            Ok(message)
        }
        Err(CompactError::OtherRun) => Err(PartError::OtherRun { line: 1 }),
        Err(error) => Err(PartError::NotHeard(format!(
            "the message of the {container} container was rejected: {error}"
        ))),
    }
}

/// Replaces each text that did not fit the message by a reference to the container's log.
fn refer_to_log(finding: &mut Finding) {
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

/// Returns the reports of a container's workers. Without a message, all of them carry the error that explains why.
fn reports(probe: &Probe, container: Container, received: &Received) -> Vec<WorkerReport> {
    match received {
        Ok(message) => message.workers.clone(),
        Err(error) => {
            let report = |role: Role| WorkerReport {
                role,
                size: Some(probe.size).filter(|_| !role.is_about_machine()),
                part: Err(error.clone()),
                ending: Ending::NotStarted(error.to_string()),
                log: String::new(),
            };
            container.roles().map(report).collect()
        }
    }
}

/// Returns the worse finding of one inspection. Returns `None` if no container that makes this inspection left a
/// message; the findings of the workers then say why.
fn inspection(id: CheckId, received: &[(Container, Received); 2]) -> Option<Finding> {
    let found = received.iter().filter(|(container, _)| container.inspections().contains(&id)).filter_map(
        |(container, received)| {
            let message = received.as_ref().ok()?;
            let finding = message.findings.iter().find(|finding| finding.id == id).cloned();
            Some((*container, finding.unwrap_or_else(|| not_reported(id, *container, message))))
        },
    );
    let found: Vec<_> = found.collect();
    let alike = found.windows(2).all(|pair| match pair {
        [(_, one), (_, other)] => (one.outcome, &one.summary) == (other.outcome, &other.summary),
        _ => true,
    });
    // If both outcomes are equal, this keeps the frontend's finding, which comes first.
    let (container, mut worst) = found
        .into_iter()
        .reduce(|worst, other| if other.1.outcome > worst.1.outcome { other } else { worst })?;
    if worst.outcome > Outcome::Pass && !alike {
        worst.summary = format!("{container}: {}", worst.summary);
    }
    Some(worst)
}

fn not_reported(id: CheckId, container: Container, message: &Message) -> Finding {
    let size = hugeprobe_domain::catalogue::find(id).filter(|check| check.per_size).map(|_| message.size);
    let because = Because::new(
        "a result for this check",
        format!("the message of the {container} container does not have it"),
    );
    Finding::not_pass(id, size, Outcome::Unknown, "not reported", because)
}

#[cfg(test)]
mod tests;
