//! The whole report of a container, for its log: JSON lines, with the evidence that does not fit into a message.

use std::io::{self, Write};

use serde::Serialize;

use hugeprobe_domain::check::Finding;
use hugeprobe_domain::compact::{Container, Message};
use hugeprobe_domain::merge::{Ending, WorkerReport};
use hugeprobe_domain::plan::Role;
use hugeprobe_domain::size::PageSize;

/// A line about one finding.
#[derive(Serialize)]
struct Found<'a> {
    container: Container,
    /// The role of the worker that reported it; `None` for an inspection made by the container itself.
    role: Option<Role>,
    #[serde(flatten)]
    finding: &'a Finding,
}

/// A line about a worker that did not end as expected.
#[derive(Serialize)]
struct Died<'a> {
    container: Container,
    role: Role,
    size: Option<PageSize>,
    ending: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_step: Option<&'a str>,
}

/// Writes all findings of a container to `out`, and the logs of its workers to `err`.
pub(super) fn write(message: &Message, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    let container = message.container;
    let mut found = |role, finding| line(out, &Found { container, role, finding });
    message.findings.iter().try_for_each(|finding| found(None, finding))?;
    for worker in &message.workers {
        let findings = worker.part.iter().flat_map(|part| &part.findings);
        findings.into_iter().try_for_each(|finding| found(Some(worker.role), finding))?;
    }
    for worker in &message.workers {
        if let Some(died) = died(container, worker) {
            line(out, &died)?;
        }
        if !worker.log.is_empty() {
            writeln!(err, "{} {}", worker.role, worker.log.trim_end())?;
        }
    }
    out.flush()
}

fn died(container: Container, worker: &WorkerReport) -> Option<Died<'_>> {
    let ended = worker.part.as_ref().is_ok_and(|part| part.ended) && worker.ending == Ending::Exited(0);
    let last_step = worker.part.as_ref().ok().and_then(|part| part.last_step.as_ref());
    (!ended).then(|| Died {
        container,
        role: worker.role,
        size: worker.size,
        ending: match &worker.ending {
            Ending::Exited(code) => format!("exited with code {code}"),
            Ending::Signalled { name, .. } => format!("killed by {name}"),
            Ending::Deadline => "exceeded its time limit".to_owned(),
            Ending::BrokenOff(by) => format!("interrupted by {by}"),
            Ending::NotStarted(why) => format!("not started: {why}"),
        },
        invalid: worker.part.as_ref().err().map(ToString::to_string),
        last_step: last_step.map(|(_, step)| step.as_str()),
    })
}

/// Writes one line in a single call of `write_all`.
fn line(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)
}
