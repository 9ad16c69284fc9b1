//! The cgroups of `--frontend-cgroup` and `--backend-cgroup`.

use serde::Serialize;

use super::cgroup::HugetlbCgroup;
use super::memory_cgroup::MemoryCgroup;
use super::reading::Reading;

/// The cgroups that the frontend and the backend join; `None` to stay in the cgroup of this process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RoleCgroups {
    /// The frontend's cgroup.
    pub frontend: Option<RoleCgroup>,
    /// The backend's cgroup.
    pub backend: Option<RoleCgroup>,
}

/// The limits of one of these cgroups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleCgroup {
    /// Its limits for huge pages.
    pub hugetlb: HugetlbCgroup,
    /// Its memory limit. Absent if huge pages do not count against it.
    pub memory: Reading<MemoryCgroup>,
}

// === impl ===

impl RoleCgroups {
    /// Returns the cgroups that are given, the frontend's first.
    pub fn iter(&self) -> impl Iterator<Item = &RoleCgroup> {
        self.frontend.iter().chain(&self.backend)
    }
}
