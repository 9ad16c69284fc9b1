//! A row as it is run: one fault, one workload and one page size.

use std::borrow::Cow;

use hugeprobe::domain::check::CheckId;
use hugeprobe::domain::size::PageSize;

use crate::compare::{self, Asked};
use crate::context::{Missing, SMALL};
use crate::peers;
use crate::rows;
use crate::scene::Scene;
use crate::workload::{self, Kind, Outcome};

/// A case for which two programs are run: hugeprobe and the workload.
pub(crate) struct Case {
    pub(crate) fault: String,
    pub(crate) workload: String,
    pub(crate) kind: Kind,
    pub(crate) size: PageSize,
    pub(crate) cause: Cause,
    /// Makes the fault, or the conditions under which both runs encounter it.
    pub(crate) state: Make,
    pub(crate) ask: fn(&Scene) -> Asked,
    pub(crate) work: fn(&Scene) -> Outcome,
}

/// A function that makes a fault with the value drawn for it.
pub(crate) type Make = Box<dyn Fn(&mut Scene) -> Result<(), Missing>>;

/// How hugeprobe must name the cause if the workload fails.
#[derive(Debug, Clone)]
pub(crate) enum Cause {
    /// One of these checks fails.
    Checks(Cow<'static, [CheckId]>),
    /// Among the checks that name a cause, only these fail, and either one of them or HP509 fails.
    Place(Vec<CheckId>),
    /// A role that runs alone ends with a sentence that contains these words.
    Words(&'static str),
}

/// Returns every row. Rows of 1Gi come first, because such pages are easiest to allocate before memory is fragmented.
pub(crate) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    for row in rows::all() {
        for &size in row.sizes {
            all.extend(row.kinds_with(size).iter().map(|&kind| Case {
                fault: row.fault.to_owned(),
                workload: kind.to_string(),
                kind,
                size,
                cause: Cause::Checks(row.causes.into()),
                state: Box::new(row.state),
                ask: compare::ask,
                work: workload::run,
            }));
        }
    }
    all.extend(peers::all());
    all.sort_by_key(|case| case.size == SMALL);
    all
}

// === impl Case ===

impl Case {
    pub(crate) fn name(&self) -> String {
        format!("{} | {} | {}", self.fault, self.size, self.workload)
    }
}
