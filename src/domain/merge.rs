//! Merges the reports of the workers of a run. The plan says which worker reports which check; the parts say what each
//! worker reported.
//!
//! Pure, and the same for `check` and for the agent. The one rule: a check that should have been reported and was not
//! is never a pass.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::check::{Because, CheckId, Finding, Outcome};
use super::part::{Part, PartError};
use super::plan::{NotRun, Plan, PlannedCheck, PlannedWorker, Role, Weight};
use super::sharing;
use super::size::PageSize;

/// The report of one worker, and how the worker ended.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerReport {
    /// The worker's role.
    pub role: Role,
    /// The page size that it worked on; `None` for the whole machine.
    pub size: Option<PageSize>,
    /// What it wrote to standard output, as read by [`Part::parse`].
    pub part: Result<Part, PartError>,
    /// How it ended.
    pub ending: Ending,
    /// The end of what it wrote to standard error.
    pub log: String,
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ending {
    /// It exited with this code.
    Exited(i32),
    /// It was killed by a signal that this program did not send.
    Signalled {
        /// The name of the signal, such as `SIGBUS`.
        name: String,
        /// True for SIGBUS, SIGSEGV, SIGXFSZ, SIGXCPU and SIGSYS, which the kernel raises in response to what the
        /// worker did.
        raised_by_kernel: bool,
    },
    /// This program killed it, because it exceeded its time limit.
    Deadline,
    /// This program killed it or did not start it, because the run was interrupted; the text says by what.
    BrokenOff(String),
    /// It could not be started; the text says why.
    NotStarted(String),
}

/// Returns the findings of all items of the plan, in the order of the plan: exactly one for each item.
#[must_use]
pub fn merge(plan: &Plan, workers: &[WorkerReport]) -> Vec<Finding> {
    plan.items.iter().map(|item| merge_item(plan, item, workers)).collect()
}

fn merge_item(plan: &Plan, item: &PlannedCheck, workers: &[WorkerReport]) -> Finding {
    let words: Vec<(Role, Finding)> = item
        .roles
        .iter()
        .map(|duty| {
            let finding = word(plan, item, duty, workers);
            // An interrupted run is inconclusive, even if the worker that was interrupted gives advice only.
            let as_it_is = duty.weight == Weight::Advisory && is_broken_off(item, duty, workers);
            (duty.role, if as_it_is { finding } else { weigh(item, duty, finding) })
        })
        .collect();
    combine(item, words)
}

/// Returns the finding of one worker about one item.
fn word(plan: &Plan, item: &PlannedCheck, duty: &PlannedWorker, workers: &[WorkerReport]) -> Finding {
    match &duty.not_run {
        Some(NotRun::Skipped(why)) => return Finding::skip(item.id, item.size, why.clone()),
        Some(NotRun::Prevented { why, remedy }) => {
            let because = Because::new("the check runs", why.clone()).remedy(remedy.clone());
            return Finding::not_pass(item.id, item.size, Outcome::Unknown, why.clone(), because);
        }
        None => {}
    }
    let mut matching = workers.iter().filter(|worker| (worker.role, worker.size) == (duty.role, item.size));
    let Some(worker) = matching.next() else {
        return unknown(
            item,
            format!("no report from the {} worker", duty.role),
            "the worker did not run".to_owned(),
        );
    };
    if matching.next().is_some() {
        return unknown(
            item,
            format!("two reports from the {} worker", duty.role),
            "two processes claim the same role".to_owned(),
        );
    }
    let part = match &worker.part {
        Ok(part) => part,
        Err(error @ PartError::OtherRun { .. }) => {
            let because = Because::new("a report of this run", error.to_string());
            return Finding::not_pass(
                item.id,
                item.size,
                Outcome::Fail,
                "received the report of another run",
                because,
            );
        }
        Err(PartError::NotHeard(why)) => {
            return unknown(item, format!("no report from the {} worker", duty.role), why.clone());
        }
        Err(error) => {
            return unknown(
                item,
                format!("the report of the {} worker is invalid", duty.role),
                error.to_string(),
            );
        }
    };
    if let Some(stray) =
        part.findings.iter().find(|finding| !is_planned(plan, duty.role, item.size, finding.id))
    {
        let seen = format!("{} was reported but not requested", stray.id);
        return unknown(item, format!("the report of the {} worker is invalid", duty.role), seen);
    }
    let said = part.findings.iter().find(|finding| finding.id == item.id);
    let all_said = plan.items.iter().all(|other| {
        !is_planned_item(other, duty.role, item.size)
            || part.findings.iter().any(|finding| finding.id == other.id)
    });
    match said {
        // If a worker reported everything and then did not end its part, its passes do not count: something went wrong
        // after its last report.
        Some(finding) if part.ended || !all_said || finding.outcome > Outcome::Pass => finding.clone(),
        _ => silence(item, worker, part),
    }
}

/// Returns the finding about an item that the worker did not report, or that it reported in a part without an end.
fn silence(item: &PlannedCheck, worker: &WorkerReport, part: &Part) -> Finding {
    let (died_at, step) = match &part.last_step {
        Some((id, step)) => (Some(*id), format!("at the step '{step}'")),
        None => (None, "before its first step".to_owned()),
    };
    let role = worker.role;
    let with_log = |finding: Finding| {
        if worker.log.is_empty() { finding } else { finding.with("log", worker.log.as_str()) }
    };
    let here = died_at == Some(item.id);
    with_log(match &worker.ending {
        Ending::Signalled { name, raised_by_kernel: true } if here => {
            let expected = format!("the {role} worker survives the step");
            let because = Because::new(expected, format!("{name} killed it {step}"));
            Finding::not_pass(item.id, item.size, Outcome::Fail, format!("{name} {step}"), because)
        }
        // The peer worker waits only for the peer, and has a separate time limit.
        Ending::Deadline if here && role == Role::Peer => {
            let because =
                Because::new("the peer answers", format!("no answer before the time limit, {step}"));
            Finding::not_pass(item.id, item.size, Outcome::Fail, "the peer does not answer", because)
        }
        Ending::Signalled { name, .. } => {
            unknown(item, format!("the {role} worker was killed"), format!("{name} killed it {step}"))
        }
        Ending::Deadline => unknown(
            item,
            format!("the {role} worker exceeded its time limit"),
            format!("its time limit expired {step}"),
        ),
        Ending::BrokenOff(by) => {
            unknown(item, "interrupted".to_owned(), format!("interrupted by {by}, {step}"))
        }
        Ending::NotStarted(why) => {
            unknown(item, format!("the {role} worker could not be started"), why.clone())
        }
        Ending::Exited(code) => unknown(
            item,
            format!("the {role} worker did not finish"),
            format!("it exited with code {code} {step}; its report is incomplete or lacks this check"),
        ),
    })
}

/// Returns whether a signal to hugeprobe ended the worker.
fn is_broken_off(item: &PlannedCheck, duty: &PlannedWorker, workers: &[WorkerReport]) -> bool {
    let mut its = workers.iter().filter(|worker| (worker.role, worker.size) == (duty.role, item.size));
    its.any(|worker| matches!(worker.ending, Ending::BrokenOff(_)))
}

/// Applies the weight of a worker: an advisory finding is `warn` at most, and a mandatory check that was skipped is
/// `unknown`.
fn weigh(item: &PlannedCheck, duty: &PlannedWorker, mut finding: Finding) -> Finding {
    match duty.weight {
        Weight::Advisory if finding.outcome > Outcome::Warn => {
            finding.outcome = Outcome::Warn;
            finding
        }
        Weight::Full if item.mandatory && finding.outcome == Outcome::Skip => {
            let reason = finding.summary;
            unknown(item, reason.clone(), format!("the {} worker skipped it: {reason}", duty.role))
        }
        Weight::Full | Weight::Advisory => finding,
    }
}

/// Returns the worst finding. It keeps the evidence of all findings, by role if there is more than one.
fn combine(item: &PlannedCheck, mut words: Vec<(Role, Finding)>) -> Finding {
    if words.len() == 1
        && let Some((_, finding)) = words.pop()
    {
        return finding;
    }
    let disagreement = sharing::disagreement(&words);
    let mut worst: Option<(Role, Finding)> = None;
    // If all roles report the same, the summary does not name one of them.
    let alike = words.windows(2).all(|pair| match pair {
        [(_, one), (_, other)] => (one.outcome, &one.summary) == (other.outcome, &other.summary),
        _ => true,
    });
    let mut evidence = Map::new();
    for (role, mut finding) in words {
        let mut facts = std::mem::take(&mut finding.evidence);
        facts.insert("outcome".to_owned(), Value::String(finding.outcome.to_string()));
        if finding.outcome != Outcome::Pass {
            facts.insert("summary".to_owned(), Value::String(finding.summary.clone()));
        }
        evidence.insert(role.to_string(), Value::Object(facts));
        if worst.as_ref().is_none_or(|other| outweighs((role, &finding), other)) {
            worst = Some((role, finding));
        }
    }
    if let Some((outcome, summary, because)) = disagreement
        && worst.as_ref().is_none_or(|(_, finding)| outcome > finding.outcome)
    {
        let mut finding = Finding::not_pass(item.id, item.size, outcome, summary, because);
        finding.evidence = evidence;
        return finding;
    }
    match worst {
        Some((role, mut finding)) => {
            if finding.outcome > Outcome::Pass && !alike {
                finding.summary = format!("{role}: {}", finding.summary);
            }
            finding.evidence = evidence;
            finding
        }
        None => unknown(
            item,
            "no worker was assigned".to_owned(),
            "the plan has no worker for this check".to_owned(),
        ),
    }
}

/// Returns whether a finding replaces an earlier one: it is worse, or it reports the same failure more specifically.
fn outweighs((role, finding): (Role, &Finding), (earlier, other): &(Role, Finding)) -> bool {
    // The frontend only knows that the backend refused; the backend's own report is more specific.
    let knows_better =
        matches!((earlier, role), (Role::Frontend(one), Role::Backend(other)) if *one == other);
    finding.outcome > other.outcome
        || (knows_better && finding.outcome == Outcome::Fail && other.outcome == Outcome::Fail)
}

fn is_planned(plan: &Plan, role: Role, size: Option<PageSize>, id: CheckId) -> bool {
    plan.items.iter().any(|item| item.id == id && is_planned_item(item, role, size))
}

fn is_planned_item(item: &PlannedCheck, role: Role, size: Option<PageSize>) -> bool {
    item.size == size && item.roles.iter().any(|duty| duty.role == role && duty.not_run.is_none())
}

fn unknown(item: &PlannedCheck, summary: String, seen: String) -> Finding {
    let because = Because::new("a result for this check", seen).remedy(
        "run it again; if the result is the same, look at the evidence of this check (-o json) and at the kernel's \
         log",
    );
    Finding::not_pass(item.id, item.size, Outcome::Unknown, summary, because)
}

#[cfg(test)]
mod tests;
