//! Findings that settle others: a limit that could not be read does not matter if the pages were allocated. Pure.

use super::catalogue::{HP401, HP402, HP509};
use super::check::{Finding, Outcome};

/// Changes HP401 and HP402 from `unknown` to `warn` for each page size whose needed pages were all mapped and touched
/// (HP509).
///
/// The cgroup then allowed the pages, so it no longer matters that one of its limits could not be read.
pub fn settle(findings: &mut [Finding]) {
    let had: Vec<_> = findings
        .iter()
        .filter(|finding| finding.id == HP509 && finding.outcome == Outcome::Pass)
        .map(|finding| finding.size)
        .collect();
    let limits = findings.iter_mut().filter(|finding| [HP401, HP402].contains(&finding.id));
    for limit in limits.filter(|limit| limit.outcome == Outcome::Unknown && had.contains(&limit.size)) {
        limit.outcome = Outcome::Warn;
        limit.summary.push_str("; all needed pages were allocated nevertheless (HP509)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::HP403;
    use crate::check::{Because, CheckId};
    use crate::size::PageSize;

    fn finding(id: CheckId, bytes: u64, outcome: Outcome) -> Finding {
        let size = PageSize::from_bytes(bytes).unwrap();
        match outcome {
            Outcome::Pass => Finding::pass(id, size, "so"),
            outcome => Finding::not_pass(id, size, outcome, "so", Because::new("this", "that")),
        }
    }

    #[test]
    fn what_was_had_settles_a_limit_that_was_not_read_and_nothing_else() {
        const SMALL: u64 = 2 << 20;
        for (need, of_need, limit, of_limit, settled) in [
            (Outcome::Pass, SMALL, HP401, Outcome::Unknown, Outcome::Warn),
            (Outcome::Pass, SMALL, HP402, Outcome::Unknown, Outcome::Warn),
            (Outcome::Pass, SMALL, HP401, Outcome::Fail, Outcome::Fail),
            (Outcome::Pass, SMALL, HP401, Outcome::Pass, Outcome::Pass),
            (Outcome::Pass, 1 << 30, HP401, Outcome::Unknown, Outcome::Unknown),
            (Outcome::Pass, SMALL, HP403, Outcome::Unknown, Outcome::Unknown),
            (Outcome::Fail, SMALL, HP401, Outcome::Unknown, Outcome::Unknown),
            (Outcome::Unknown, SMALL, HP402, Outcome::Unknown, Outcome::Unknown),
        ] {
            let mut findings = [finding(limit, SMALL, of_limit), finding(HP509, of_need, need)];
            settle(&mut findings);
            assert_eq!(findings[0].outcome, settled, "{limit} {of_limit:?} {need:?}");
            assert_eq!(findings[1].outcome, need);
        }
    }
}
