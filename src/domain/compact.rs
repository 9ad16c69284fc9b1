//! The compact form of a container's parts: what fits a termination message.
//!
//! The kubelet keeps the last 4096 bytes of what a container leaves at its termination log, and hands them to whoever
//! reads the Pod. So a container of a probe pod says there, in lines, what its workers said in their parts:
//!
//! ```text
//! hugeprobe/1 frontend 2Mi 0b5e4f0e-6c0f-4a6c-9f49-6b8a0c0f3a51
//! self HP301p HP302f HP303s ...
//!  HP302 /hugepages may not be written by uid 65532<TAB>open(O_TMPFILE) answered: EACCES<TAB>...
//! anonymous exit:0+ HP501p HP502p HP503p HP504p HP505p
//! frontend:frontend-first fault:SIGBUS HP601p~8c3ef0b2a9d14e77 HP602p~51fd07c2be6a9910
//!  @HP603 read what the backend wrote
//! verdict fail crc32 0f31c2aa
//! ```
//!
//! `self` has what the container found out about its own mount and limits; then a line for each worker: how it ended, `+`
//! if its part has its end, each check with the letter of its outcome, and behind a pass the digest of what both sides must
//! agree on. Lines that begin with a space are texts, and the only thing that is cut to fit: summary, seen, expected and
//! remedy, tabs between. What passes needs no words. The whole is printable ASCII.
//!
//! The reader trusts none of it: a message has one spelling alone, the one that [`Message::write`] gives it.

mod budget;
mod parse;
mod sum;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use self::budget::{Draft, Rank};
use super::catalogue::{
    self, HP301, HP302, HP303, HP304, HP305, HP401, HP402, HP403, HP404, HP405, HP406, HP408,
};
use super::check::{CheckId, Finding, Outcome};
use super::merge::{Ending, WorkerReport};
use super::part::Part;
use super::plan::Role;
use super::sharing::{AGREED, Session};
use super::size::PageSize;

pub use self::parse::CompactError;

/// The longest message that is written, in bytes: what the kubelet keeps, with room to spare.
pub const MESSAGE_LIMIT: usize = 3_500;

/// One of the two containers of a probe pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// Takes the pages, allocates, and owns the memory in each session.
    Frontend,
    /// Is handed the memory.
    Backend,
}

/// The name of a run: the uid of the pod, or the nonce of a round. 1 to 64 of `A-Z a-z 0-9 -`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Run(String);

/// What one container says.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Which container.
    pub container: Container,
    /// The size that the pod is about.
    pub size: PageSize,
    /// The run that it belongs to.
    pub run: Run,
    /// What it found out about its own mount and limits: of [`Container::inspections`], each at most once.
    pub findings: Vec<Finding>,
    /// What came of its workers, of [`Container::roles`], each at most once.
    pub workers: Vec<WorkerReport>,
}

/// A text that names no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a run is named by 1 to 64 letters, digits and hyphens")]
pub struct RunError;

const FRONTEND_INSPECTIONS: &[CheckId] =
    &[HP301, HP302, HP303, HP304, HP305, HP401, HP402, HP403, HP404, HP405, HP406, HP408];
const BACKEND_INSPECTIONS: &[CheckId] = &[HP401, HP402, HP403, HP404, HP405, HP406, HP408];

/// The name of the line about the container itself.
const SELF: &str = "self";

// === impl Container ===

impl Container {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Frontend, Self::Backend];

    /// What it reports of itself: the frontend's the mount, each its limits. HP407 is tried by a worker.
    #[must_use]
    pub const fn inspections(self) -> &'static [CheckId] {
        match self {
            Self::Frontend => FRONTEND_INSPECTIONS,
            Self::Backend => BACKEND_INSPECTIONS,
        }
    }

    /// The workers that it may have: HP7xx is never measured there.
    pub fn roles(self) -> impl Iterator<Item = Role> {
        Role::all().filter(move |role| match role {
            Role::Measure => false,
            Role::Backend(_) => self == Self::Backend,
            _ => self == Self::Frontend,
        })
    }

    /// Its part in a session.
    #[must_use]
    pub const fn role_in(self, session: Session) -> Role {
        match self {
            Self::Frontend => Role::Frontend(session),
            Self::Backend => Role::Backend(session),
        }
    }

    /// The one that it talks to.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Frontend => Self::Backend,
            Self::Backend => Self::Frontend,
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Frontend => "frontend",
            Self::Backend => "backend",
        })
    }
}

// === impl Run ===

impl FromStr for Run {
    type Err = RunError;

    fn from_str(text: &str) -> Result<Self, RunError> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(RunError) }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Run {
    type Error = RunError;

    fn try_from(text: String) -> Result<Self, RunError> {
        text.parse()
    }
}

impl From<Run> for String {
    fn from(run: Run) -> Self {
        run.0
    }
}

// === impl Message ===

impl Message {
    /// The worst of what it has to say, by its own light: whoever merges both messages knows better.
    #[must_use]
    pub fn verdict(&self) -> Outcome {
        let of_worker = |worker: &WorkerReport| match &worker.part {
            Ok(part) if part.ended && worker.ending == Ending::Exited(0) => worst(&part.findings),
            Ok(part) => worst(&part.findings).max(Outcome::Unknown),
            Err(_) => Outcome::Unknown,
        };
        let worst = self.workers.iter().map(of_worker).chain([worst(&self.findings)]).max();
        // To have nothing to say is no pass.
        worst.filter(|worst| *worst > Outcome::Skip).unwrap_or(Outcome::Unknown)
    }

    /// The text, at most [`MESSAGE_LIMIT`] bytes: texts share what the rest leaves, and the rest has a bound, because a
    /// container has only so many workers and a worker only so many checks.
    #[must_use]
    pub fn write(&self) -> String {
        let mut draft = Draft::default();
        draft.line(&format!("hugeprobe/1 {} {} {}", self.container, self.size, self.run));
        let own = |id: &CheckId| self.findings.iter().find(|finding| finding.id == *id);
        write_findings(SELF.to_owned(), self.container.inspections().iter().filter_map(own), &mut draft);
        for role in self.container.roles() {
            if let Some(worker) = self.workers.iter().find(|worker| worker.role == role) {
                write_worker(worker, &mut draft);
            }
        }
        let verdict = format!("verdict {} crc32 ", self.verdict());
        let mut text = draft.finish(MESSAGE_LIMIT.saturating_sub(verdict.len() + sum::CRC_DIGITS + 1));
        text.push_str(&verdict);
        let crc = sum::crc32(text.as_bytes());
        text.push_str(&format!("{crc:08x}\n"));
        text
    }
}

fn worst(findings: &[Finding]) -> Outcome {
    findings.iter().map(|finding| finding.outcome).max().unwrap_or(Outcome::Skip)
}

fn write_worker(worker: &WorkerReport, draft: &mut Draft) {
    let mut head = format!("{} {}", worker.role, ending_word(&worker.ending));
    let why = match &worker.ending {
        Ending::BrokenOff(why) | Ending::NotStarted(why) => Some(why.as_str()),
        Ending::Exited(_) | Ending::Signalled { .. } | Ending::Deadline => None,
    };
    let reported = usable(worker);
    let empty = Part::default();
    let part = match &reported {
        Ok(part) => *part,
        Err(_) => &empty,
    };
    head.push_str(match &reported {
        Ok(part) if part.ended => "+",
        Ok(_) => "",
        Err(_) => "?",
    });
    let known = |id: &CheckId| part.findings.iter().find(|finding| finding.id == *id);
    write_findings(head, worker.role.checks().iter().filter_map(known), draft);
    if let Some(why) = why {
        draft.text("!", Rank::Ending, why);
    }
    match reported {
        Err(why) => draft.text("?", Rank::Ending, &why),
        Ok(Part { last_step: Some((id, step)), ended: false, .. }) => {
            draft.text(&format!("@{id}"), Rank::Ending, step);
        }
        Ok(_) => {}
    }
}

/// The part, unless it is none, or reports what this worker has not to report: why, then.
fn usable(worker: &WorkerReport) -> Result<&Part, String> {
    let part = worker.part.as_ref().map_err(ToString::to_string)?;
    let stray = part.findings.iter().find(|finding| !worker.role.checks().contains(&finding.id));
    match stray {
        Some(stray) => Err(format!("{} was reported, which was not asked for", stray.id)),
        None => Ok(part),
    }
}

fn write_findings<'a>(head: String, findings: impl Iterator<Item = &'a Finding>, draft: &mut Draft) {
    let findings: Vec<_> = findings.collect();
    let tokens = findings
        .iter()
        .map(|finding| format!(" {}{}{}", finding.id, letter(finding.outcome), agreed(finding)));
    draft.line(&tokens.fold(head, |line, token| line + &token));
    for finding in findings.into_iter().filter(|finding| finding.outcome != Outcome::Pass) {
        draft.text(&finding.id.to_string(), Rank::of(finding.outcome), &words(finding));
    }
}

/// Summary, seen, expected and remedy, as far as they say something; the catalogue's remedy is known to the reader.
fn words(finding: &Finding) -> String {
    let known = catalogue::find(finding.id).is_some_and(|check| check.remedy == finding.remedy);
    let remedy = if known { "" } else { &finding.remedy };
    let fields = [&finding.summary, &finding.seen, &finding.expected, remedy];
    fields.map(budget::printable).join("\t").trim_end().to_owned()
}

fn agreed(finding: &Finding) -> String {
    match finding.evidence.get(AGREED) {
        Some(value) if finding.outcome == Outcome::Pass => format!("~{}", sum::digest(value)),
        _ => String::new(),
    }
}

const fn letter(outcome: Outcome) -> char {
    match outcome {
        Outcome::Skip => 's',
        Outcome::Pass => 'p',
        Outcome::Warn => 'w',
        Outcome::Unknown => 'u',
        Outcome::Fail => 'f',
    }
}

fn ending_word(ending: &Ending) -> String {
    match ending {
        Ending::Exited(code) => format!("exit:{code}"),
        Ending::Signalled { name, raised_by_kernel } => {
            let kind = if *raised_by_kernel { "fault" } else { "signal" };
            // `signal 34` has no other name.
            let name: String = name.chars().filter(char::is_ascii_alphanumeric).take(SIGNAL_NAME).collect();
            format!("{kind}:{name}")
        }
        Ending::Deadline => "deadline".to_owned(),
        Ending::BrokenOff(_) => "broken".to_owned(),
        Ending::NotStarted(_) => "unstarted".to_owned(),
    }
}

/// The longest name of a signal.
const SIGNAL_NAME: usize = 12;

#[cfg(test)]
mod tests;
