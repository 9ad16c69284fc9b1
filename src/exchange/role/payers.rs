//! The charges to the roles' cgroups while the pages are touched.
//!
//! A shared page is charged to the cgroup that touches it first, and to no other until its file is gone. So a limit
//! may be sufficient for one role and not for the other, and the order of the roles decides for which one it must be
//! sufficient. Source: Documentation/admin-guide/cgroup-v2.rst (HugeTLB).

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::SessionTask;
use super::recorder::{Advice, Bad};
use hugeprobe_domain::cgroup::{Charges, HugetlbCounterKind, LimitRoom};
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::cgroup::Group;
use hugeprobe_linux::errno::named;

/// The cgroups of both roles, with their charges at one point in time.
pub(super) struct Payers {
    size: PageSize,
    frontend: Option<Payer>,
    backend: Option<Payer>,
    /// The cgroup of this process's role.
    own: Option<Group>,
}

/// One role's cgroup.
struct Payer {
    directory: String,
    /// The cgroup, or why it cannot be read. It existed when the run began.
    group: Result<Group, String>,
    before: Charges,
}

/// The charges since then, by role. Empty without `--frontend-cgroup` and `--backend-cgroup`.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Paid {
    #[serde(skip_serializing_if = "Option::is_none")]
    frontend: Option<Bill>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<Bill>,
}

/// The charges of one cgroup.
#[derive(Debug, Clone, Serialize)]
struct Bill {
    directory: String,
    /// The pages charged in between, or `None` if that is unknown.
    pages: Option<i64>,
    before: Charges,
    after: Charges,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// A cgroup limit that leaves no room for another page.
pub(super) struct Limit {
    room: LimitRoom,
    kind: HugetlbCounterKind,
    size: PageSize,
}

/// Moves this process to its role's cgroup, if it has one.
pub(super) fn join(task: &SessionTask) -> Result<(), Bad> {
    let Some(directory) = task.own_cgroup() else { return Ok(()) };
    let bad = |seen: String| {
        let expected = format!("{directory}/cgroup.procs accepts this process");
        Bad::unknown("cannot join the cgroup", expected, seen)
    };
    let group = Group::open(Path::new(directory)).map_err(|error| bad(error.to_string()))?;
    group.join().map_err(|error| {
        let remedy =
            "name a cgroup that this user may write to; on cgroup v2, one that does not enable controllers for \
             child cgroups"
                .to_owned();
        Bad { advice: Some(Box::new(Advice { remedy, evidence: Value::Null })), ..bad(named(&error)) }
    })
}

// === impl Payers ===

impl Payers {
    /// Reads the current charges.
    pub(super) fn now(task: &SessionTask) -> Self {
        let payer = |directory: &Option<String>| {
            let directory = directory.clone()?;
            let group = Group::open(Path::new(&directory)).map_err(|error| error.to_string());
            let before = charges(&group, task.size);
            Some(Payer { directory, group, before })
        };
        Self {
            size: task.size,
            frontend: payer(&task.cgroups.frontend),
            backend: payer(&task.cgroups.backend),
            own: task.own_cgroup().and_then(|directory| Group::open(Path::new(directory)).ok()),
        }
    }

    /// Returns what was charged since then.
    pub(super) fn paid(&self) -> Paid {
        let bill = |payer: &Payer| {
            let (before, after) = (payer.before.clone(), charges(&payer.group, self.size));
            let pages = match (before.bytes.get(), after.bytes.get()) {
                (Some(before), Some(after)) => pages_between(before, after, self.size),
                _ => None,
            };
            let problem = payer.group.as_ref().err().cloned();
            Bill { directory: payer.directory.clone(), pages, before, after, problem }
        };
        Paid { frontend: self.frontend.as_ref().map(bill), backend: self.backend.as_ref().map(bill) }
    }

    /// Returns the limit that leaves this role no room for another page in a counter. Returns `None` if there is none,
    /// or if the role has no separate cgroup.
    pub(super) fn limit(&self, kind: HugetlbCounterKind) -> Option<Limit> {
        let room = self.own.as_ref()?.limits().headroom(self.size, kind).tightest?;
        (room.left < self.size.bytes()).then_some(Limit { room, kind, size: self.size })
    }
}

fn charges(group: &Result<Group, String>, size: PageSize) -> Charges {
    group.as_ref().map(|group| group.charges(size)).unwrap_or_default()
}

/// Returns the number of whole pages. It is negative if fewer are charged than before.
fn pages_between(before: u64, after: u64, size: PageSize) -> Option<i64> {
    let pages = i64::try_from(before.abs_diff(after) / size.bytes()).ok()?;
    Some(if after < before { -pages } else { pages })
}

// === impl Paid ===

impl Paid {
    /// Returns the end of a summary: `; pages charged: 2 to the frontend's cgroup, 0 to the backend's cgroup`.
    pub(super) fn summary(&self) -> String {
        let told = |role: &str, bill: &Option<Bill>| {
            let pages = bill.as_ref()?.pages?;
            Some(format!("{pages} to the {role}'s cgroup"))
        };
        let all: Vec<_> = [told("frontend", &self.frontend), told("backend", &self.backend)]
            .into_iter()
            .flatten()
            .collect();
        if all.is_empty() { String::new() } else { format!("; pages charged: {}", all.join(", ")) }
    }
}

// === impl Limit ===

impl Limit {
    /// Returns the finding that `role` got no page because of this limit.
    pub(super) fn bad(&self, role: &str, error: &io::Error, payers: &Payers) -> Bad {
        let LimitRoom { file, limit, usage, .. } = &self.room;
        let usage = usage.map_or_else(|| "an unknown number".to_owned(), |usage| usage.to_string());
        let seen = format!("{}; {file} is {limit} bytes, with {usage} bytes charged", named(error));
        let remedy = match self.kind {
            HugetlbCounterKind::Fault => format!(
                "raise {file}: a page is charged to the cgroup of the process that touches it first, here the {role}"
            ),
            HugetlbCounterKind::Reservation => format!(
                "raise {file}: a reservation is charged to the cgroup of the process that maps the file first, here \
                 the {role}"
            ),
        };
        let evidence = json!({ "cgroups": payers.paid(), "limit": self.room });
        Bad {
            advice: Some(Box::new(Advice { remedy, evidence })),
            ..Bad::fail(
                format!("the {role}'s cgroup has no room for another page of {}", self.size),
                format!("the {role}, which is first, gets the pages"),
                seen,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hugeprobe_domain::reading::Reading;

    fn bill(pages: Option<i64>) -> Option<Bill> {
        let charges = Charges { bytes: Reading::Known(0), refused: Reading::Known(0) };
        let (before, after) = (charges.clone(), charges);
        Some(Bill { directory: "/c".into(), pages, before, after, problem: None })
    }

    #[test]
    fn a_summary_tells_of_those_cgroups_alone_that_are_known() {
        for (frontend, backend, summary) in [
            (None, None, ""),
            (bill(None), None, ""),
            (bill(Some(2)), None, "; pages charged: 2 to the frontend's cgroup"),
            (
                bill(Some(0)),
                bill(Some(1)),
                "; pages charged: 0 to the frontend's cgroup, 1 to the backend's cgroup",
            ),
        ] {
            assert_eq!(Paid { frontend, backend }.summary(), summary);
        }
    }

    #[test]
    fn pages_are_counted_either_way() {
        let size = PageSize::from_bytes(2 << 20).unwrap();
        for (before, after, pages) in [(0, 4 << 20, 2), (4 << 20, 0, -2), (5, 5, 0), (0, 1, 0)] {
            assert_eq!(pages_between(before, after, size), Some(pages));
        }
        assert_eq!(pages_between(0, u64::MAX, size), Some((u64::MAX >> 21).cast_signed()));
    }
}
