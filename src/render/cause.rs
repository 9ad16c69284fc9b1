//! The first cause of a verdict, and which findings follow from it, so that each fault is reported once.

use hugeprobe_domain::catalogue::{CHECKS, GROUPS};
use hugeprobe_domain::check::{CheckId, Outcome, Verdict};
use hugeprobe_domain::report::{Entry, Report};
use hugeprobe_domain::size::PageSize;

/// The stage in which the checks of a group run: first inspection, then allocation in one process, then sharing between
/// two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Inspection,
    Allocation,
    Sharing,
}

/// Returns the entry that explains the verdict of `size`: the first one, by id, with the outcome of the verdict.
/// Entries about the size come before entries about the machine.
pub(crate) fn first(report: &Report, size: PageSize, verdict: Verdict) -> Option<&Entry> {
    let outcome = match verdict {
        Verdict::Fail => Outcome::Fail,
        Verdict::Unknown => Outcome::Unknown,
        Verdict::Warn => Outcome::Warn,
        Verdict::Pass | Verdict::None => return None,
    };
    let about = |entry: &&Entry| entry.size.is_none_or(|its| its == size) && entry.outcome == outcome;
    report.checks.iter().filter(about).min_by_key(|entry| (entry.size.is_none(), entry.id))
}

/// Returns the failure of the same size that explains `entry`, if there is one.
///
/// A failure of an earlier stage explains every finding that is not a pass. A failure of the same stage explains only
/// unknown findings.
pub(crate) fn of(report: &Report, entry: &Entry) -> Option<CheckId> {
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

/// Returns the mandatory checks of `size` that have no result, if no finding explains why its verdict is unknown.
pub(crate) fn not_reported(report: &Report, size: PageSize) -> Option<Vec<CheckId>> {
    let here = report.checks.iter().filter(|entry| entry.size.is_none_or(|its| its == size));
    if here.clone().any(|entry| entry.outcome > Outcome::Warn) {
        return None;
    }
    let asked = |id| report.only.is_empty() || report.only.iter().any(|selector| selector.selects(id));
    let holds = |id| {
        here.clone().any(|entry| {
            entry.id == id && entry.size.is_some() && matches!(entry.outcome, Outcome::Pass | Outcome::Warn)
        })
    };
    let mandatory = CHECKS.iter().filter(|check| check.mandatory).map(|check| check.id);
    Some(mandatory.filter(|id| asked(*id) && !holds(*id)).collect())
}

fn stage(id: CheckId) -> Stage {
    match GROUPS.iter().find(|group| group.has(id)).map(|group| group.digit) {
        Some(5) => Stage::Allocation,
        Some(6) => Stage::Sharing,
        _ => Stage::Inspection,
    }
}
