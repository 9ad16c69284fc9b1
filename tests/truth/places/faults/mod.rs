//! Every fault that a place can have, in the order in which they are made.
//!
//! The order matters: a program joins its cgroup and hides directories while it is root, then drops its rights, and
//! applies a seccomp filter last. To add a fault, add a [`Spec`] to the list of its dimension.

mod calls;
mod cgroups;
pub(super) mod holders;
mod kernel;
mod limits;
mod mounts;
mod nodes;
mod pools;
mod users;

use super::fault::Spec;

const LISTS: &[&[Spec]] = &[
    nodes::SPECS,
    pools::SPECS,
    holders::SPECS,
    mounts::SPECS,
    cgroups::SPECS,
    kernel::SPECS,
    limits::SPECS,
    users::SPECS,
    calls::SPECS,
];

/// Returns every fault.
pub(super) fn all() -> impl Iterator<Item = &'static Spec> {
    LISTS.iter().copied().flatten()
}
