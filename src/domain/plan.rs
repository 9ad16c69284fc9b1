//! The plan: which checks are reported about which page size, and by which worker processes.

use core::time::Duration;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::catalogue::{
    HP306, HP407, HP409, HP411, HP501, HP502, HP503, HP504, HP505, HP506, HP507, HP508, HP509, HP701, HP702,
};
use super::check::CheckId;
use super::session::Session;
use super::size::PageSize;

/// The time limit of a phase, before the time for clearing pages is added.
pub const PHASE: Duration = Duration::from_secs(5);

/// The additional time for each GiB that a phase clears.
///
/// The first touch of two fresh pages of 1Gi took up to 21 s in a virtual machine whose host had to find the memory. It
/// usually takes 0.1 s.
pub const PER_GIB: Duration = Duration::from_secs(4);

/// Returns the time limit of a phase that clears `pages` pages.
#[must_use]
pub fn time_for(size: PageSize, pages: u64) -> Duration {
    let gib = u32::try_from(size.bytes().saturating_mul(pages) >> 30).unwrap_or(u32::MAX);
    PHASE.saturating_add(PER_GIB.saturating_mul(gib))
}

/// Returns the time limit of a phase whose steps hold `pages` pages. The steps may clear the pages one after another,
/// and more than once.
#[must_use]
pub fn time_for_steps(size: PageSize, pages: u64) -> Duration {
    time_for(size, pages.saturating_mul(4))
}

/// The task of a worker process. One process has one role and works on one page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// HP501 to HP505 on anonymous memory (MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB).
    Anonymous,
    /// HP501 to HP505 on a file on hugetlbfs.
    Hugetlbfs,
    /// HP501 to HP505 on a memfd.
    Memfd,
    /// HP508: SysV shared memory.
    SysV,
    /// HP506 and HP507: placement on NUMA nodes.
    Placement,
    /// HP509: the pages that `--need` names.
    Need,
    /// HP407: which system calls are allowed; HP306: whether the directories that DPDK locks can be locked.
    Syscalls,
    /// HP409 and HP411: whether enough threads and mappings can be created.
    Threads,
    /// HP6xx: the frontend of this session, which owns the memory.
    Frontend(Session),
    /// HP6xx: the backend of this session, which maps the frontend's memory.
    Backend(Session),
    /// HP612 to HP615: the frontend in a session with the peer under test.
    Peer,
    /// HP7xx: measurements.
    Measure,
}

/// One check about one page size, and the workers that report it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCheck {
    /// The check.
    pub id: CheckId,
    /// The size; `None` for a check of the whole machine.
    pub size: Option<PageSize>,
    /// The workers that report it. If the report of one that was to run is missing, the check is never a pass.
    pub roles: Vec<PlannedWorker>,
    /// Whether a page size can pass in this run only if this check passes. HP503 is not mandatory if only one page is
    /// available.
    pub mandatory: bool,
}

/// A worker that reports a planned check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedWorker {
    /// The worker's role.
    pub role: Role,
    /// How its finding counts.
    pub weight: Weight,
    /// Why the worker is not started; `None` if it is.
    pub not_run: Option<NotRun>,
}

/// How the finding of a worker counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The outcome counts unchanged.
    Full,
    /// The outcome is `warn` at most, because with `--dir` memory from elsewhere was not requested.
    Advisory,
}

/// Why a worker is not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRun {
    /// Not required: the workload works without the privilege or resource that is missing. Counts as `skip`.
    Skipped(String),
    /// The worker should run and cannot. Counts as `unknown`.
    Prevented {
        /// What prevents it from running.
        why: String,
        /// What to do about it.
        remedy: String,
    },
}

/// The checks that are to be reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The page sizes that are examined, smallest first.
    pub sizes: Vec<PageSize>,
    /// Those of `sizes` that have no pages and for which none were expected.
    pub nothing_there: Vec<PageSize>,
    /// The planned checks. Each pair of id and size occurs once.
    pub items: Vec<PlannedCheck>,
}

// === impl Role ===

impl Role {
    /// Returns every role.
    pub fn all() -> impl Iterator<Item = Self> {
        let alone = [
            Self::Anonymous,
            Self::Hugetlbfs,
            Self::Memfd,
            Self::SysV,
            Self::Placement,
            Self::Need,
            Self::Syscalls,
            Self::Threads,
            Self::Peer,
            Self::Measure,
        ];
        let pairs =
            Session::ALL.into_iter().flat_map(|session| [Self::Frontend(session), Self::Backend(session)]);
        alone.into_iter().chain(pairs)
    }

    /// Returns whether the role is about the machine as a whole, not about a page size.
    #[must_use]
    pub const fn is_about_machine(self) -> bool {
        matches!(self, Self::Syscalls | Self::Threads)
    }

    /// Returns the checks that the role reports.
    #[must_use]
    pub const fn checks(self) -> &'static [CheckId] {
        match self {
            Self::Anonymous | Self::Hugetlbfs | Self::Memfd => &[HP501, HP502, HP503, HP504, HP505],
            Self::SysV => &[HP508],
            Self::Placement => &[HP506, HP507],
            Self::Need => &[HP509],
            Self::Syscalls => &[HP306, HP407],
            Self::Threads => &[HP409, HP411],
            Self::Frontend(session) | Self::Backend(session) => session.checks(),
            Self::Peer => &super::peer::PEER,
            Self::Measure => &[HP701, HP702],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Anonymous => "anonymous",
            Self::Hugetlbfs => "hugetlbfs",
            Self::Memfd => "memfd",
            Self::SysV => "sysv",
            Self::Placement => "placement",
            Self::Need => "need",
            Self::Syscalls => "syscalls",
            Self::Threads => "threads",
            Self::Frontend(session) => return f.pad(&format!("frontend:{session}")),
            Self::Backend(session) => return f.pad(&format!("backend:{session}")),
            Self::Peer => "peer",
            Self::Measure => "measure",
        })
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.to_string()
    }
}

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::all()
            .find(|role| role.to_string() == text)
            .ok_or_else(|| format!("unknown worker role '{text}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_survives_its_own_name() {
        for role in Role::all() {
            let json = serde_json::to_string(&role).unwrap();
            assert_eq!(serde_json::from_str::<Role>(&json).unwrap(), role);
        }
        assert_eq!(serde_json::to_string(&Role::SysV).unwrap(), r#""sysv""#);
        assert_eq!(Role::Backend(Session::Private).to_string(), "backend:private");
        assert!(serde_json::from_str::<Role>(r#""frontend""#).is_err());
    }
}
