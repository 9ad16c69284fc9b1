//! The cgroups of `--frontend-cgroup` and `--backend-cgroup`.

use serde::Serialize;

use super::cgroup::HugetlbCgroup;
use super::memory_cgroup::MemoryCgroup;
use super::reading::Reading;

/// The cgroups that frontend and backend are to be in; `None` for where this process is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RoleCgroups {
    /// The frontend's.
    pub frontend: Option<RoleCgroup>,
    /// The backend's.
    pub backend: Option<RoleCgroup>,
}

/// What one of them limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleCgroup {
    /// Its limits of huge pages.
    pub hugetlb: HugetlbCgroup,
    /// Its limit of memory, where huge pages count against it. Absent: they do not.
    pub memory: Reading<MemoryCgroup>,
}

// === impl ===

impl RoleCgroups {
    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = &RoleCgroup> {
        self.frontend.iter().chain(&self.backend)
    }
}
