//! The cgroups of `--frontend-cgroup` and `--backend-cgroup`.

use serde::Serialize;

use super::cgroup::HugetlbCgroup;
use super::memory_cgroup::MemoryCgroup;

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
    /// Its memory limits; `None` if a process that joins the cgroup stays in its memory cgroup, as on cgroup v1.
    pub memory: Option<MemoryCgroup>,
}

// === impl ===

impl RoleCgroups {
    /// Returns the cgroups that are given, the frontend's first.
    pub fn iter(&self) -> impl Iterator<Item = &RoleCgroup> {
        self.frontend.iter().chain(&self.backend)
    }
}
