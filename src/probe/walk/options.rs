//! The options of a walk, and the events that it shows.

use hugeprobe_domain::counters::{Figure, Movement};
use hugeprobe_domain::inventory::Pool;
use hugeprobe_domain::plan::Role;
use hugeprobe_domain::request::PageCount;
use hugeprobe_domain::reserve::Replayed;
use hugeprobe_domain::size::PageSize;

/// The options of a walk.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The page size. `None` means the smallest size of which enough pages are available.
    pub size: Option<PageSize>,
    /// How many pages to take.
    pub pages: u64,
    /// The hugetlbfs to use. `None` means anonymous memory, and a memfd where pages are shared.
    pub directory: Option<String>,
    /// Whether to wait for a line on standard input before each step.
    pub pause: bool,
    /// The values of `--reserve`.
    pub reserve: Vec<PageCount>,
    /// Whether `--reserve-over-half` was given.
    pub reserve_over_half: bool,
    /// The cgroup that the frontend joins when pages are shared.
    pub frontend_cgroup: Option<String>,
    /// The cgroup that the backend joins when pages are shared.
    pub backend_cgroup: Option<String>,
}

/// An event to show, in order.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// The pages of a killed run were given back.
    Replayed(&'a Replayed),
    /// The pool that is about to be used.
    Pool(&'a Pool),
    /// From here on, two processes share pages.
    Sharing {
        /// Whether the backend touches them first.
        backend_first: bool,
    },
    /// A process was started, with this name and pid.
    Process(&'a str, u32),
    /// The next step waits for a line on standard input.
    Pause,
    /// A step was done. The figures say what processes map and what cgroups are charged.
    Step(&'a Movement, &'a [Figure]),
}

/// Returns the name under which a worker is shown.
pub(super) const fn name(role: Role) -> &'static str {
    match role {
        Role::Frontend(_) => "frontend",
        Role::Backend(_) => "backend",
        _ => "process",
    }
}
