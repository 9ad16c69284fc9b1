//! The hugetlb cgroup limits that apply to this process, on cgroup v1, v2, or both at once.
//!
//! `/proc/self/cgroup` shows which hierarchy has the controller: if no v1 hierarchy lists it, it is on v2. mountinfo
//! shows where that hierarchy is mounted. Every directory from this process's cgroup up to the highest visible one is
//! read, because each may have a limit.
//!
//! [`read_conflicts`] looks at the cgroups of all other processes as well.

mod conflicts;
mod group;
mod hugetlb;
mod level;
mod location;
mod membership;
mod memory;

pub use conflicts::{read_conflicts, read_conflicts_of_host};
pub use group::{Group, GroupError, parse_refusals};
pub use hugetlb::read;
pub use level::parse_limit;
pub use membership::{Membership, parse_controllers, parse_memberships, read_memberships};
pub use memory::{counts_huge_pages, read_memory};
