//! Whose cgroup is charged.

use crate::cgroup::HugetlbCgroup;
use crate::inventory::Inventory;
use crate::request::{PageCount, Request};
use crate::role_cgroups::RoleCgroup;

/// Whose cgroup is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payer {
    /// The cgroup of this process, for everything that is not charged to the other two.
    This,
    /// The cgroup of `--frontend-cgroup`, for the frontend and `--frontend-need`.
    Frontend,
    /// The cgroup of `--backend-cgroup`, for the backend and `--backend-need`.
    Backend,
}

impl Payer {
    /// The payers that may have a separate cgroup.
    pub(super) const ROLES: [Self; 2] = [Self::Frontend, Self::Backend];

    /// Returns the hugetlb cgroup of the role; `None` if the role has no separate cgroup.
    pub(super) fn cgroup(self, inventory: &Inventory) -> Option<&HugetlbCgroup> {
        self.role(inventory).map(|role| &role.hugetlb)
    }

    /// Returns the separate cgroup of the role.
    pub(super) const fn role(self, inventory: &Inventory) -> Option<&RoleCgroup> {
        match self {
            Self::This => None,
            Self::Frontend => inventory.role_cgroups.frontend.as_ref(),
            Self::Backend => inventory.role_cgroups.backend.as_ref(),
        }
    }

    /// Returns the needs that an option names for this payer.
    ///
    /// If a role has no separate cgroup, its needs are charged to the cgroup of this process.
    pub(super) fn needs(self, request: &Request) -> &[PageCount] {
        match self {
            Self::This => &request.need,
            Self::Frontend => &request.frontend_need,
            Self::Backend => &request.backend_need,
        }
    }

    /// Returns the words for the cgroup.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::This => "this cgroup",
            Self::Frontend => "the frontend's cgroup",
            Self::Backend => "the backend's cgroup",
        }
    }
}
