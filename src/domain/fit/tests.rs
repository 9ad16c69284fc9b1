//! Tests that a fit is certain, that the first reason is the one of the order, and that what is unknown is never a fit.

use super::*;
use crate::published::Texts;
use jiff::Timestamp;

const BOOT: &str = "6a1d2c3e-0000-4fff-8abc-0123456789ab";

fn published(changes: &[(&str, &str)]) -> Published {
    let mut texts = Texts::new();
    for (key, text) in [
        ("verdict", "pass"),
        ("boot-id", BOOT),
        ("checked-at", "2026-11-23T05:00:00Z"),
        ("valid-until", "2026-11-23T06:00:00Z"),
        ("pool.1Gi", "8 (numa0 4, numa1 4)"),
        ("pool.2Mi", "512 (numa0 512, numa1 0)"),
        ("hugepages-1Gi", "pass"),
        ("hugepages-2Mi", "pass"),
    ]
    .iter()
    .chain(changes)
    {
        texts.insert(format!("hugeprobe.io/{key}"), (*text).to_owned());
    }
    Published::read(&texts, &texts, "hugeprobe.io/")
}

fn pages(text: &[(&str, u64)]) -> Pages {
    text.iter().map(|(size, pages)| (size.parse().unwrap(), *pages)).collect()
}

fn answer(need: &Need, changes: &[(&str, &str)], requested: Option<&[(&str, u64)]>) -> String {
    let published = published(changes);
    let now: Timestamp = "2026-11-23T05:30:00Z".parse().unwrap();
    let state = published.state(BOOT, now);
    let reason = need.compare(&published, &state, requested.map(pages).as_ref());
    let fit = NodeFit { name: String::new(), reason };
    match &fit.reason {
        None => "yes".to_owned(),
        Some(reason) => format!("{} {}: {}", fit.word(), reason.step.word(), reason.why),
    }
}

#[test]
fn each_step_has_its_reason_and_the_first_is_given() {
    let need = Need { pages: pages(&[("1Gi", 4)]), same_numa: false };
    for (changes, requested, expected) in [
        (&[][..], &[][..], "yes"),
        (&[], &[("1Gi", 4), ("2Mi", 512)], "yes"),
        (
            &[],
            &[("1Gi", 5)],
            "no pages: needs 4 pages of 1Gi; the pool has 8 pages, and other pods request 5",
        ),
        (&[("pool.1Gi", "1")], &[], "no pages: needs 4 pages of 1Gi; the pool has 1 page"),
        (&[("pool.1Gi", "?")], &[], "unknown pages: the number of pages of 1Gi in the pool is not published"),
        (
            &[("check.HP202.1Gi", "warn: 3 pages are used outside pods")],
            &[],
            "unknown pages: HP202 1Gi warn: 3 pages are used outside pods",
        ),
        (
            &[
                ("hugepages-1Gi", "fail"),
                ("check.HP105.1Gi", "fail: no free page"),
                ("check.HP101", "warn: x"),
            ],
            &[],
            "no verdict: 1Gi HP105 fail: no free page",
        ),
        (&[("hugepages-1Gi", "unknown"), ("summary", "1Gi unknown")], &[], "unknown verdict: 1Gi unknown"),
        (&[("hugepages-1Gi", "perhaps")], &[], "unknown verdict: there is no verdict of 1Gi"),
        (&[("hugepages-2Mi", "fail")], &[], "yes"),
        // The definite reason is given, although the unknown one comes before it.
        (
            &[("pool.1Gi", "?"), ("hugepages-1Gi", "fail"), ("summary", "1Gi fail")],
            &[],
            "no verdict: 1Gi fail",
        ),
        // A verdict of another boot is neither a pass nor a fail.
        (
            &[("boot-id", "x"), ("pool.1Gi", "1"), ("hugepages-1Gi", "fail")],
            &[],
            "unknown staleness: the verdict is from another boot",
        ),
        (
            &[("valid-until", "2026-11-23T05:30:00Z")],
            &[],
            "unknown staleness: expired at 2026-11-23T05:30:00Z and not renewed: no agent runs on the node",
        ),
    ] {
        assert_eq!(answer(&need, changes, Some(requested)), expected, "{changes:?} {requested:?}");
    }
}

#[test]
fn one_numa_node_has_to_have_all_pages_wherever_other_pods_are() {
    let need = |need: &[(&str, u64)]| Need { pages: pages(need), same_numa: true };
    for (needed, requested, word) in [
        (&[("1Gi", 4)][..], &[][..], "yes"),
        (&[("1Gi", 5)], &[], "no"),
        // One page of other pods can be on one NUMA node alone.
        (&[("1Gi", 4)], &[("1Gi", 1)], "yes"),
        (&[("1Gi", 4)], &[("1Gi", 2)], "unknown"),
        (&[("1Gi", 2)], &[("1Gi", 5)], "yes"),
        (&[("1Gi", 2)], &[("1Gi", 6)], "unknown"),
        (&[("1Gi", 4), ("2Mi", 64)], &[], "yes"),
        (&[("1Gi", 4), ("2Mi", 64)], &[("2Mi", 448)], "yes"),
        (&[("1Gi", 2), ("2Mi", 64)], &[("1Gi", 3)], "unknown"),
    ] {
        let answer = answer(&need(needed), &[], Some(requested));
        assert!(answer.starts_with(word), "{needed:?} {requested:?}: {answer}");
    }
    let apart = answer(&need(&[("1Gi", 2), ("2Mi", 64)]), &[("pool.2Mi", "512 (numa2 512)")], Some(&[]));
    assert_eq!(
        apart,
        "no pages: needs 64 pages of 2Mi and 2 pages of 1Gi on one NUMA node; no NUMA node has as many: \
         numa2 512 of 2Mi; numa0 4, numa1 4 of 1Gi"
    );
    let total = answer(&need(&[("1Gi", 2)]), &[("pool.1Gi", "8")], Some(&[]));
    assert_eq!(total, "unknown pages: the number of pages of each NUMA node is not published");
}

#[test]
fn what_a_topology_manager_may_refuse_is_unknown() {
    let need = |need: &[(&str, u64)]| Need { pages: pages(need), same_numa: false };
    for (needed, changes, expected) in [
        (&[("1Gi", 4)][..], &[][..], "yes"),
        (
            &[("1Gi", 5)],
            &[],
            "unknown pages: needs 5 pages of 1Gi; no NUMA node has as many: numa0 4, numa1 4 of 1Gi; a Topology \
             Manager may refuse the pod",
        ),
        (&[("1Gi", 9)], &[], "no pages: needs 9 pages of 1Gi; the pool has 8 pages"),
        (&[("1Gi", 5)], &[("pool.1Gi", "8 (numa0 8)")], "yes"),
        // Not published: nothing is known about NUMA nodes.
        (&[("1Gi", 5)], &[("pool.1Gi", "8")], "yes"),
        // Each size fits on a NUMA node, and not on the same.
        (
            &[("1Gi", 2), ("2Mi", 64)],
            &[("pool.1Gi", "8 (numa0 0, numa1 8)")],
            "unknown pages: needs 64 pages of 2Mi and 2 pages of 1Gi; no NUMA node has as many: \
             numa0 512, numa1 0 of 2Mi; numa0 0, numa1 8 of 1Gi; a Topology Manager may refuse the pod",
        ),
    ] {
        assert_eq!(answer(&need(needed), changes, Some(&[])), expected, "{needed:?} {changes:?}");
    }
}

#[test]
fn the_answer_for_all_nodes_is_the_best_of_them() {
    let node = |reason| NodeFit { name: "n".into(), reason };
    let no = || node(Some(Reason::no(Step::Pages, String::new())));
    let unknown = || node(Some(Reason::unknown(Step::Pages, String::new())));
    for (nodes, verdict) in [
        (vec![], Verdict::None),
        (vec![no()], Verdict::Fail),
        (vec![no(), unknown()], Verdict::Unknown),
        (vec![no(), unknown(), node(None)], Verdict::Pass),
    ] {
        let need = Need { pages: Pages::new(), same_numa: false };
        assert_eq!(Fit { need, nodes, limits: Vec::new() }.verdict(), verdict);
    }
}
