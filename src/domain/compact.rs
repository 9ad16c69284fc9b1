//! The termination message of a probe pod's container: JSON, cut to the size that the kubelet keeps.
//!
//! The kubelet keeps 4096 bytes of a termination message and shows them to everyone who can read the Pod. The message
//! therefore has an outcome for each check of each worker, the texts as far as they fit, and no evidence. The whole
//! report is in the container's log.
//!
//! ```json
//! {"v":2,"container":"frontend","size":"2Mi","run":"0b5e4f0e-6c0f-4a6c-9f49-6b8a0c0f3a51","verdict":"fail",
//!  "checks":{"HP301":["pass",[]],"HP302":["fail",["uid 65532 cannot write to /hugepages","open(O_TMPFILE): EACCES"]]},
//!  "workers":{
//!   "memfd":{"ending":{"exited":0},"ended":true,"checks":{"HP501":["pass",[]]}},
//!   "frontend:frontend-first":{"ending":{"signalled":{"name":"SIGBUS","raised_by_kernel":true}},
//!    "step":["HP603","read what the backend wrote"],"checks":{"HP601":["pass",["8c3ef0b2a9d14e77"]]}}}}
//! ```
//!
//! An outcome is followed by the summary, what was seen, what was expected and the remedy. A pass is followed by the
//! digest of the value on which both containers must agree. The reader does not trust the message: see
//! [`Message::parse`].

mod digest;
mod wire;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::catalogue::{HP301, HP302, HP303, HP304, HP305, HP401, HP402, HP403, HP404, HP405, HP406, HP408};
use super::check::{CheckId, Finding, Outcome};
use super::merge::{Ending, WorkerReport};
use super::plan::Role;
use super::size::PageSize;

pub use self::wire::CompactError;

/// The maximum length of a message, in bytes.
///
/// Of a longer message, the kubelet keeps only the last 4096 bytes, which are not valid JSON.
///
/// Source: `MaxContainerTerminationMessageLength` in pkg/kubelet/container/runtime.go.
pub const MESSAGE_LIMIT: usize = 4096;

/// One of the two containers of a probe pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// Runs the allocation checks. In each session it is the frontend, which owns the memory.
    Frontend,
    /// In each session it is the backend, which maps the frontend's memory.
    Backend,
}

/// The id of a run: the uid of the pod, or the nonce of a round. 1 to 64 characters of `A-Z a-z 0-9 -`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Run(String);

/// The report of one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The container that made the report.
    pub container: Container,
    /// The page size that the pod tests.
    pub size: PageSize,
    /// The run that the message belongs to.
    pub run: Run,
    /// Findings about the container's mount and limits: those of [`Container::inspections`], each at most once.
    pub findings: Vec<Finding>,
    /// The reports of the container's workers: those of [`Container::roles`], each at most once.
    pub workers: Vec<WorkerReport>,
}

/// The error for a text that is not a valid run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a run id has 1 to 64 letters, digits and hyphens")]
pub struct RunError;

const FRONTEND_INSPECTIONS: &[CheckId] =
    &[HP301, HP302, HP303, HP304, HP305, HP401, HP402, HP403, HP404, HP405, HP406, HP408];
const BACKEND_INSPECTIONS: &[CheckId] = &[HP401, HP402, HP403, HP404, HP405, HP406, HP408];

// === impl Container ===

impl Container {
    /// Both containers.
    pub const ALL: [Self; 2] = [Self::Frontend, Self::Backend];

    /// Returns the checks that the container itself reports: its limits, and for the frontend also the mount. HP407 is
    /// not among them, because a worker runs it.
    #[must_use]
    pub const fn inspections(self) -> &'static [CheckId] {
        match self {
            Self::Frontend => FRONTEND_INSPECTIONS,
            Self::Backend => BACKEND_INSPECTIONS,
        }
    }

    /// Returns the roles of the workers that the container may have. HP7xx is never measured in a pod.
    pub fn roles(self) -> impl Iterator<Item = Role> {
        Role::all().filter(move |role| match role {
            Role::Measure => false,
            Role::Backend(_) => self == Self::Backend,
            _ => self == Self::Frontend,
        })
    }

    /// Returns the other container.
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
    /// Returns the worst outcome in this message. The agent's verdict comes from the messages of both containers.
    #[must_use]
    pub fn verdict(&self) -> Outcome {
        let of_worker = |worker: &WorkerReport| match &worker.part {
            Ok(part) if part.ended && worker.ending == Ending::Exited(0) => worst(&part.findings),
            Ok(part) => worst(&part.findings).max(Outcome::Unknown),
            Err(_) => Outcome::Unknown,
        };
        let worst = self.workers.iter().map(of_worker).chain([worst(&self.findings)]).max();
        // A message that is empty or has only skips is not a pass.
        worst.filter(|worst| *worst > Outcome::Skip).unwrap_or(Outcome::Unknown)
    }
}

fn worst(findings: &[Finding]) -> Outcome {
    findings.iter().map(|finding| finding.outcome).max().unwrap_or(Outcome::Skip)
}

#[cfg(test)]
mod tests;
