//! HP6xx: the sessions in which a frontend and a backend share memory, and what each reports.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::catalogue::{HP601, HP602, HP603, HP604, HP605, HP606, HP607, HP608, HP609, HP610, HP611};
use super::check_id::CheckId;

/// What a pair of workers does. Each session has a frontend and a backend, and each of them reports every check of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Session {
    /// Files of a hugetlbfs, or a memfd where there is none; the frontend touches the pages first. The main one.
    FrontendFirst,
    /// The same memory; the backend touches first.
    BackendFirst,
    /// A memfd; the frontend touches first.
    MemfdFrontendFirst,
    /// A memfd; the backend touches first.
    MemfdBackendFirst,
    /// Shows that the test can fail: the frontend maps its file privately, so nothing may be seen.
    Private,
    /// Shows that the test can fail: the frontend passes 4 KiB pages, which must be refused.
    Small,
}

// === impl Session ===

impl Session {
    /// Every session, in the order in which they are run.
    pub const ALL: [Self; 6] = [
        Self::FrontendFirst,
        Self::BackendFirst,
        Self::MemfdFrontendFirst,
        Self::MemfdBackendFirst,
        Self::Private,
        Self::Small,
    ];

    /// The checks that either role reports.
    #[must_use]
    pub const fn checks(self) -> &'static [CheckId] {
        match self {
            Self::FrontendFirst => &[HP601, HP602, HP603, HP604, HP605, HP610, HP611],
            Self::BackendFirst => &[HP606],
            Self::MemfdFrontendFirst | Self::MemfdBackendFirst => &[HP607],
            Self::Private => &[HP608],
            Self::Small => &[HP609],
        }
    }

    /// How many pages it takes at least.
    #[must_use]
    pub const fn pages(self) -> u64 {
        match self {
            Self::Small => 0,
            // The file's, and the private copy.
            Self::Private => 2,
            _ => 1,
        }
    }

    /// Whether the backend is the first to touch the pages.
    #[must_use]
    pub const fn is_backend_first(self) -> bool {
        matches!(self, Self::BackendFirst | Self::MemfdBackendFirst)
    }

    /// Whether its memory is that of `--dir`, if there is one; the others have their own kind.
    #[must_use]
    pub const fn uses_directory(self) -> bool {
        matches!(self, Self::FrontendFirst | Self::BackendFirst | Self::Private)
    }

    /// What a session of one check has shown when it passes, in a few words.
    #[must_use]
    pub const fn in_short(self) -> &'static str {
        match self {
            Self::FrontendFirst => "frontend first",
            Self::BackendFirst => "backend first",
            Self::MemfdFrontendFirst | Self::MemfdBackendFirst => "memfd too",
            Self::Private => "private stays private",
            Self::Small => "4 KiB refused",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::FrontendFirst => "frontend-first",
            Self::BackendFirst => "backend-first",
            Self::MemfdFrontendFirst => "memfd-frontend-first",
            Self::MemfdBackendFirst => "memfd-backend-first",
            Self::Private => "private",
            Self::Small => "small",
        }
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_of_sharing_is_reported_by_some_session() {
        let mut all: Vec<_> =
            Session::ALL.iter().flat_map(|session| session.checks()).map(|id| id.number()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, (601..=611).collect::<Vec<_>>());
    }
}
