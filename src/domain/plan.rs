//! The plan: which checks are to be reported about which size, by which worker processes.

use core::time::Duration;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::catalogue::{
    HP407, HP409, HP411, HP501, HP502, HP503, HP504, HP505, HP506, HP507, HP508, HP509, HP701, HP702,
};
use super::check::CheckId;
use super::session::Session;
use super::size::PageSize;

/// How long a phase may take before it is given up, whatever it does.
pub const PHASE: Duration = Duration::from_secs(5);

/// What a phase may take on top for each gibibyte that it clears. The first touch of two fresh pages of 1Gi took up to
/// 21 s in a virtual machine whose host had to find the memory; it takes 0.1 s as a rule.
pub const PER_GIB: Duration = Duration::from_secs(4);

/// How long a phase may take that clears `pages` pages.
#[must_use]
pub fn time_for(size: PageSize, pages: u64) -> Duration {
    let gib = u32::try_from(size.bytes().saturating_mul(pages) >> 30).unwrap_or(u32::MAX);
    PHASE.saturating_add(PER_GIB.saturating_mul(gib))
}

/// How long a phase may take whose steps hold `pages` pages: they may clear them one after the other, and again.
#[must_use]
pub fn time_for_steps(size: PageSize, pages: u64) -> Duration {
    time_for(size, pages.saturating_mul(4))
}

/// What a worker process does. One process has one role, about one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// HP501 to HP505 on MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB.
    Anonymous,
    /// HP501 to HP505 on a file of a hugetlbfs.
    Hugetlbfs,
    /// HP501 to HP505 on a memfd.
    Memfd,
    /// HP508.
    SysV,
    /// HP506 and HP507.
    Placement,
    /// HP509.
    Need,
    /// HP407: which system calls are let through.
    Syscalls,
    /// HP409 and HP411: how many threads and mappings may be created.
    Threads,
    /// HP6xx: the side that owns the memory, in this session.
    Frontend(Session),
    /// HP6xx: the side that is handed the memory.
    Backend(Session),
    /// HP612 to HP615: the frontend of a peer under test.
    Peer,
    /// HP7xx.
    Measure,
}

/// One check about one size, and who has to report it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCheck {
    /// The check.
    pub id: CheckId,
    /// The size; `None` for a check of the whole machine.
    pub size: Option<PageSize>,
    /// Who reports it: all of them, or the check is `unknown`.
    pub roles: Vec<PlannedWorker>,
    /// Whether a size can pass without it, in this run: HP503 is not mandatory where only one page is available.
    pub mandatory: bool,
}

/// One worker's part in an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedWorker {
    /// Which worker.
    pub role: Role,
    /// What its word counts for.
    pub weight: Weight,
    /// Why the worker is not started, if it is not.
    pub not_run: Option<NotRun>,
}

/// What a worker's word counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The outcome counts as it is.
    Full,
    /// `warn` at most: with `--dir`, memory from elsewhere was not requested.
    Advisory,
}

/// Why a worker is not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRun {
    /// Not called for: a right or a thing is missing without which the workload does well. Counts as `skip`.
    Skipped(String),
    /// It ought to run and cannot: counts as `unknown`.
    Prevented {
        /// What keeps it from running.
        why: String,
        /// What to do about that.
        remedy: String,
    },
}

/// What is to be reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The sizes looked at, smallest first.
    pub sizes: Vec<PageSize>,
    /// Sizes of those of which nothing is there and nothing was expected.
    pub nothing_there: Vec<PageSize>,
    /// Each (id, size) once.
    pub items: Vec<PlannedCheck>,
}

// === impl Role ===

impl Role {
    /// Every role.
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

    /// Whether it is about the machine, and not about a page size.
    #[must_use]
    pub const fn is_about_machine(self) -> bool {
        matches!(self, Self::Syscalls | Self::Threads)
    }

    /// The checks that it reports.
    #[must_use]
    pub const fn checks(self) -> &'static [CheckId] {
        match self {
            Self::Anonymous | Self::Hugetlbfs | Self::Memfd => &[HP501, HP502, HP503, HP504, HP505],
            Self::SysV => &[HP508],
            Self::Placement => &[HP506, HP507],
            Self::Need => &[HP509],
            Self::Syscalls => &[HP407],
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
