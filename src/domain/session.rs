//! HP6xx: the sessions in which a frontend and a backend share memory, and the checks that each session reports.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::catalogue::{HP601, HP602, HP603, HP604, HP605, HP606, HP607, HP608, HP609, HP610, HP611};
use super::check_id::CheckId;

/// A session of a pair of workers. It has a frontend and a backend, and each of them reports every check of the
/// session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Session {
    /// The main session: files of a hugetlbfs, or a memfd if there is none. The frontend touches the pages first.
    FrontendFirst,
    /// The same memory. The backend touches the pages first.
    BackendFirst,
    /// A memfd. The frontend touches the pages first.
    MemfdFrontendFirst,
    /// A memfd. The backend touches the pages first.
    MemfdBackendFirst,
    /// Shows that the test can fail: the frontend maps its file privately, so the backend must not see what it writes.
    Private,
    /// Shows that the test can fail: the frontend passes 4 KiB pages, which the backend must refuse.
    Small,
}

// === impl Session ===

impl Session {
    /// All sessions, in the order in which they run.
    pub const ALL: [Self; 6] = [
        Self::FrontendFirst,
        Self::BackendFirst,
        Self::MemfdFrontendFirst,
        Self::MemfdBackendFirst,
        Self::Private,
        Self::Small,
    ];

    /// Returns the checks that each of the two roles reports.
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

    /// Returns the minimum number of pages that the session takes.
    #[must_use]
    pub const fn pages(self) -> u64 {
        match self {
            Self::Small => 0,
            // The page of the file and its private copy.
            Self::Private => 2,
            _ => 1,
        }
    }

    /// Returns whether the backend touches the pages before the frontend.
    #[must_use]
    pub const fn is_backend_first(self) -> bool {
        matches!(self, Self::BackendFirst | Self::MemfdBackendFirst)
    }

    /// Returns whether the session uses the memory of `--dir`, if given. The other sessions have a fixed kind of
    /// memory.
    #[must_use]
    pub const fn uses_directory(self) -> bool {
        matches!(self, Self::FrontendFirst | Self::BackendFirst | Self::Private)
    }

    /// Returns what a session with a single check shows when it passes, in a few words.
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
