//! The first cause of a verdict, and what follows from it: one fault is reported once.

use crate::domain::catalogue::GROUPS;
use crate::domain::check::{CheckId, Outcome, Verdict};
use crate::domain::report::{Entry, Report};
use crate::domain::size::PageSize;

/// When the checks of a group run: what the machine shows first, then pages alone, then pages that are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Inspection,
    Allocation,
    Sharing,
}

/// The entry that explains the verdict of `size`: the first of the worst, in the order of the ids.
pub(super) fn first(report: &Report, size: PageSize, verdict: Verdict) -> Option<&Entry> {
    let outcome = match verdict {
        Verdict::Fail => Outcome::Fail,
        Verdict::Unknown => Outcome::Unknown,
        Verdict::Warn => Outcome::Warn,
        Verdict::Pass | Verdict::None => return None,
    };
    let about = |entry: &&Entry| entry.size.is_none_or(|its| its == size) && entry.outcome == outcome;
    report.checks.iter().filter(about).min_by_key(|entry| (entry.size.is_none(), entry.id))
}

/// The failure of the same size that explains `entry`, if there is one: a failure of an earlier stage explains every
/// finding; one of the same stage explains what is unknown.
pub(super) fn of(report: &Report, entry: &Entry) -> Option<CheckId> {
    let own = stage(entry.id);
    if entry.outcome <= Outcome::Pass || own == Stage::Inspection {
        return None;
    }
    let failures =
        report.checks.iter().filter(|other| other.size == entry.size && other.outcome == Outcome::Fail);
    let explains = |other: &&Entry| {
        stage(other.id) < own || (stage(other.id) == own && entry.outcome == Outcome::Unknown)
    };
    failures.filter(explains).map(|other| other.id).min()
}

fn stage(id: CheckId) -> Stage {
    match GROUPS.iter().find(|group| group.has(id)).map(|group| group.digit) {
        Some(5) => Stage::Allocation,
        Some(6) => Stage::Sharing,
        _ => Stage::Inspection,
    }
}
