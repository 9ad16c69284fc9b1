//! The verdict: reduces the findings to one verdict per page size. Pure.
//!
//! A verdict is the worst of fail, unknown, warn and pass. A pass requires positive evidence: every mandatory check of
//! the plan ran and passed. Nothing here can make a size pass; it can only prevent a pass.

use super::check::{Finding, Outcome, Verdict};
use super::plan::Plan;
use super::report::SizeVerdict;
use super::request::Request;
use super::size::PageSize;

/// Returns the verdict of each page size in the plan, from all findings of the run. With `--only`, it uses the findings
/// of the selected checks, and applies only to them.
#[must_use]
pub fn judge(plan: &Plan, request: &Request, findings: &[Finding]) -> Vec<SizeVerdict> {
    plan.sizes
        .iter()
        .map(|&size| SizeVerdict { size, verdict: judge_size(plan, request, findings, size) })
        .collect()
}

/// Returns the machine's verdict: the worst verdict of its page sizes.
///
/// Without any size it is `none`, unless a check of the whole machine is `fail` or `unknown`: if the pools cannot be
/// listed, that does not mean that there are none.
#[must_use]
pub fn machine(sizes: &[SizeVerdict], request: &Request, findings: &[Finding]) -> Verdict {
    let worst_of_machine = findings
        .iter()
        .filter(|finding| finding.size.is_none() && request.reports(finding.id))
        .map(|finding| match finding.outcome {
            Outcome::Fail => Verdict::Fail,
            Outcome::Unknown => Verdict::Unknown,
            Outcome::Skip | Outcome::Pass | Outcome::Warn => Verdict::None,
        });
    sizes.iter().map(|size| size.verdict).chain(worst_of_machine).max().unwrap_or(Verdict::None)
}

fn judge_size(plan: &Plan, request: &Request, findings: &[Finding], size: PageSize) -> Verdict {
    let about =
        |finding: &&Finding| finding.size.is_none_or(|its| its == size) && request.reports(finding.id);
    let worst = findings.iter().filter(about).map(|finding| finding.outcome).max().unwrap_or(Outcome::Skip);
    // Fail and unknown come before an empty pool: a pool that cannot be read is not known to be empty.
    let pass = match worst {
        Outcome::Fail => return Verdict::Fail,
        Outcome::Unknown => return Verdict::Unknown,
        _ if plan.nothing_there.contains(&size) => return Verdict::None,
        Outcome::Warn => Verdict::Warn,
        Outcome::Pass => Verdict::Pass,
        Outcome::Skip => return Verdict::Unknown,
    };
    if has_evidence(plan, request, findings, size) { pass } else { Verdict::Unknown }
}

/// Returns whether each mandatory check of this size that is to be reported passed or warned, and there was at least
/// one such check.
fn has_evidence(plan: &Plan, request: &Request, findings: &[Finding], size: PageSize) -> bool {
    let holds = |finding: &Finding| matches!(finding.outcome, Outcome::Pass | Outcome::Warn);
    let mut mandatory = (plan.items.iter())
        .filter(|item| item.mandatory && item.size == Some(size) && request.reports(item.id))
        .peekable();
    let Some(_) = mandatory.peek() else {
        // Only `--only` may leave out every mandatory check. A plan that has none is incomplete and proves nothing.
        return !request.only.is_empty()
            && findings
                .iter()
                .any(|finding| finding.size == Some(size) && request.reports(finding.id) && holds(finding));
    };
    mandatory.all(|item| {
        let mut said =
            findings.iter().filter(|finding| finding.id == item.id && finding.size == item.size).peekable();
        said.peek().is_some() && said.all(holds)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::catalogue::{CHECKS, HP103, HP403, HP501, HP502, HP508};
    use super::super::check::{Because, CheckId};
    use super::super::plan::PlannedCheck;
    use super::super::request::Selector;
    use super::*;

    const SMALL: PageSize = match PageSize::from_bytes(2 << 20) {
        Some(size) => size,
        None => panic!(),
    };
    const LARGE: PageSize = match PageSize::from_bytes(1 << 30) {
        Some(size) => size,
        None => panic!(),
    };

    fn plan() -> Plan {
        let items =
            [HP501, HP502].map(|id| PlannedCheck { id, size: Some(SMALL), roles: vec![], mandatory: true });
        let optional = PlannedCheck { id: HP508, size: Some(SMALL), roles: vec![], mandatory: false };
        Plan { sizes: vec![SMALL], items: [&items[..], &[optional]].concat(), ..Plan::default() }
    }

    fn finding(id: CheckId, size: Option<PageSize>, outcome: Outcome) -> Finding {
        match outcome {
            Outcome::Pass => Finding::pass(id, size, ""),
            Outcome::Skip => Finding::skip(id, size, ""),
            outcome => Finding::not_pass(id, size, outcome, "", Because::new("", "")),
        }
    }

    fn verdict(plan: &Plan, only: &[Selector], said: &[(CheckId, Option<PageSize>, Outcome)]) -> Verdict {
        let findings: Vec<_> = said.iter().map(|&(id, size, outcome)| finding(id, size, outcome)).collect();
        let request = Request { only: only.to_vec(), ..Request::default() };
        machine(&judge(plan, &request, &findings), &request, &findings)
    }

    #[test]
    fn only_positive_evidence_makes_a_pass() {
        use Outcome::{Fail, Pass, Skip, Unknown, Warn};
        let small = Some(SMALL);
        let both = [(HP501, small, Pass), (HP502, small, Pass)];
        let and = |more: &[(CheckId, Option<PageSize>, Outcome)]| [&both[..], more].concat();
        for (name, said, expected) in [
            ("both mandatory passed", and(&[]), Verdict::Pass),
            ("an optional one skipped", and(&[(HP508, small, Skip)]), Verdict::Pass),
            ("an optional one warned", and(&[(HP508, small, Warn)]), Verdict::Warn),
            ("an optional one unknown", and(&[(HP508, small, Unknown)]), Verdict::Unknown),
            ("an optional one failed", and(&[(HP508, small, Fail)]), Verdict::Fail),
            ("fail wins over unknown", and(&[(HP508, small, Fail), (HP103, small, Unknown)]), Verdict::Fail),
            ("the machine warned", and(&[(HP403, None, Warn)]), Verdict::Warn),
            ("the machine failed", and(&[(HP403, None, Fail)]), Verdict::Fail),
            ("another size failed", and(&[(HP103, Some(LARGE), Fail)]), Verdict::Pass),
            ("nothing was said", vec![], Verdict::Unknown),
            ("one mandatory is silent", vec![(HP501, small, Pass)], Verdict::Unknown),
            ("one mandatory was skipped", vec![(HP501, small, Pass), (HP502, small, Skip)], Verdict::Unknown),
            (
                "one mandatory passed for another size",
                vec![(HP501, small, Pass), (HP502, Some(LARGE), Pass)],
                Verdict::Unknown,
            ),
            ("both were skipped", vec![(HP501, small, Skip), (HP502, small, Skip)], Verdict::Unknown),
            ("said twice, once skipped", and(&[(HP502, small, Skip)]), Verdict::Unknown),
            ("only others passed", vec![(HP508, small, Pass), (HP103, small, Pass)], Verdict::Unknown),
        ] {
            assert_eq!(verdict(&plan(), &[], &said), expected, "{name}");
        }
    }

    #[test]
    fn nothing_there_is_none_unless_something_is_wrong() {
        let plan = Plan { sizes: vec![SMALL], nothing_there: vec![SMALL], ..Plan::default() };
        assert_eq!(verdict(&plan, &[], &[]), Verdict::None);
        assert_eq!(verdict(&plan, &[], &[(HP403, None, Outcome::Warn)]), Verdict::None);
        assert_eq!(verdict(&plan, &[], &[(HP103, Some(SMALL), Outcome::Fail)]), Verdict::Fail);
        assert_eq!(verdict(&plan, &[], &[(HP103, Some(SMALL), Outcome::Unknown)]), Verdict::Unknown);
        assert_eq!(verdict(&Plan::default(), &[], &[]), Verdict::None);
        assert_eq!(verdict(&Plan::default(), &[], &[(HP403, None, Outcome::Unknown)]), Verdict::Unknown);
        assert_eq!(verdict(&Plan::default(), &[], &[(HP403, None, Outcome::Pass)]), Verdict::None);
    }

    #[test]
    fn a_plan_without_mandatory_checks_proves_nothing() {
        let plan = Plan { sizes: vec![SMALL], ..Plan::default() };
        assert_eq!(verdict(&plan, &[], &[(HP103, Some(SMALL), Outcome::Pass)]), Verdict::Unknown);
    }

    #[test]
    fn only_narrows_what_the_verdict_is_about() {
        let small = Some(SMALL);
        let said =
            [(HP103, small, Outcome::Pass), (HP501, small, Outcome::Pass), (HP502, small, Outcome::Unknown)];
        assert_eq!(verdict(&plan(), &[Selector::Group(1)], &said), Verdict::Pass);
        assert_eq!(verdict(&plan(), &[Selector::One(HP501)], &said), Verdict::Pass);
        assert_eq!(verdict(&plan(), &[Selector::Group(5)], &said), Verdict::Unknown);
        assert_eq!(
            verdict(&plan(), &[Selector::Group(4)], &said),
            Verdict::Unknown,
            "nothing of it was said"
        );
        assert_eq!(
            verdict(&plan(), &[Selector::Group(1)], &[(HP103, small, Outcome::Skip)]),
            Verdict::Unknown
        );
    }

    #[test]
    fn the_machine_is_as_bad_as_its_worst_size() {
        let of = |verdicts: &[Verdict]| {
            let sizes: Vec<_> =
                verdicts.iter().map(|&verdict| SizeVerdict { size: SMALL, verdict }).collect();
            machine(&sizes, &Request::default(), &[])
        };
        assert_eq!(of(&[Verdict::Pass, Verdict::None]), Verdict::Pass);
        assert_eq!(of(&[Verdict::Pass, Verdict::Warn]), Verdict::Warn);
        assert_eq!(of(&[Verdict::Warn, Verdict::Unknown]), Verdict::Unknown);
        assert_eq!(of(&[Verdict::Unknown, Verdict::Fail]), Verdict::Fail);
        assert_eq!(of(&[]), Verdict::None);
    }

    fn any_finding() -> impl Strategy<Value = (CheckId, Option<PageSize>, Outcome)> {
        let outcome = prop_oneof![
            Just(Outcome::Skip),
            Just(Outcome::Pass),
            Just(Outcome::Warn),
            Just(Outcome::Unknown),
            Just(Outcome::Fail)
        ];
        (0..CHECKS.len(), any::<bool>(), outcome).prop_map(|(index, small, outcome)| {
            (CHECKS[index].id, if small { Some(SMALL) } else { None }, outcome)
        })
    }

    proptest! {
        /// A finding that prevents a pass is never itself a pass or a warning.
        #[test]
        fn losing_evidence_never_makes_a_pass(said in proptest::collection::vec(any_finding(), 0..12), gone: usize) {
            let mut fewer = said.clone();
            if !fewer.is_empty() {
                let removed = fewer.remove(gone % said.len());
                let passes = |said: &[_]| verdict(&plan(), &[], said) <= Verdict::Warn;
                if passes(&fewer) && !passes(&said) {
                    prop_assert!(!matches!(removed.2, Outcome::Pass | Outcome::Warn), "a good word kept it from passing");
                }
            }
        }

        #[test]
        fn a_pass_has_every_mandatory_check(said in proptest::collection::vec(any_finding(), 0..12)) {
            if verdict(&plan(), &[], &said) <= Verdict::Warn {
                for id in [HP501, HP502] {
                    prop_assert!(said.iter().any(|(its, size, outcome)| *its == id && *size == Some(SMALL)
                        && matches!(outcome, Outcome::Pass | Outcome::Warn)));
                }
            }
        }
    }
}
