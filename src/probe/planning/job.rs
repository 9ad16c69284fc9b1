//! A job, and helpers that build the plan.

use std::time::Duration;

use super::super::assignment::Work;
use hugeprobe_allocation::AllocationTask;
use hugeprobe_domain::check::CheckId;
use hugeprobe_domain::plan::{NotRun, PlannedCheck, PlannedWorker, Role};
use hugeprobe_domain::request::Request;
use hugeprobe_domain::size::PageSize;

pub(super) const CAPTURED: &str = "this is a captured tree: no allocation was tried";

/// A phase: one worker, or a pair that communicates.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The assignment of each worker.
    pub workers: Vec<Work>,
    /// The time limit of the workers.
    pub time: Duration,
}

/// The pages that the containers of a probe pod may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodPages {
    /// The number of pages for each container.
    pub pages: u64,
    /// Whether only the frontend may use pages. It then touches shared pages first.
    pub frontend_pays: bool,
}

impl Job {
    pub(super) fn alone(task: AllocationTask, time: Duration) -> Self {
        Self { workers: vec![Work::Allocation(task)], time }
    }
}

pub(super) fn task(request: &Request, role: Role, size: Option<PageSize>, pages: u64) -> AllocationTask {
    AllocationTask {
        role,
        size,
        pages,
        need: Vec::new(),
        need_of_roles: Vec::new(),
        directory: request.directory.clone(),
        workload: request.workload,
        locked: Vec::new(),
        footprint: None,
        root: None,
    }
}

pub(super) fn item(
    id: CheckId,
    size: Option<PageSize>,
    mandatory: bool,
    roles: Vec<PlannedWorker>,
) -> PlannedCheck {
    PlannedCheck { id, size, roles, mandatory }
}

pub(super) fn prevented(why: impl Into<String>, remedy: &str) -> NotRun {
    NotRun::Prevented { why: why.into(), remedy: remedy.to_owned() }
}

pub(super) fn captured() -> NotRun {
    prevented(CAPTURED, "run hugeprobe check on the machine itself")
}
