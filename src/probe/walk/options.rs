//! What to walk through, and what is shown of it.

use crate::domain::counters::{Figure, Movement};
use crate::domain::inventory::Pool;
use crate::domain::plan::Role;
use crate::domain::request::PageCount;
use crate::domain::reserve::Replayed;
use crate::domain::size::PageSize;

/// What to walk through.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The size; if `None`, the smallest of which enough pages are available.
    pub size: Option<PageSize>,
    /// How many pages.
    pub pages: u64,
    /// The hugetlbfs to use; anonymous memory if `None`, and a memfd where pages are shared.
    pub directory: Option<String>,
    /// Wait for a line on standard input before each step.
    pub pause: bool,
    /// `--reserve`.
    pub reserve: Vec<PageCount>,
    /// `--reserve-over-half`.
    pub reserve_over_half: bool,
    /// The cgroup that the frontend joins when pages are shared.
    pub frontend_cgroup: Option<String>,
    /// The backend's.
    pub backend_cgroup: Option<String>,
}

/// What is to be shown, in order.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// The pages of a killed run were given back.
    Replayed(&'a Replayed),
    /// The pool that is about to be used.
    Pool(&'a Pool),
    /// Two processes share pages from here on; whether the backend touches them first.
    Sharing {
        /// Whether it is the backend.
        backend_first: bool,
    },
    /// A process was started, by its name.
    Process(&'a str, u32),
    /// The next step waits for a line on standard input.
    Pause,
    /// A step was done; what processes and cgroups have is beside it.
    Step(&'a Movement, &'a [Figure]),
}

/// What a worker is called here.
pub(super) const fn name(role: Role) -> &'static str {
    match role {
        Role::Frontend(_) => "frontend",
        Role::Backend(_) => "backend",
        _ => "process",
    }
}
