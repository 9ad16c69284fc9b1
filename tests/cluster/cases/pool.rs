//! Pools that are absent, short, stale, or in somebody's hands.

use serde_json::json;

use super::context::node::Node;
use super::context::pools::{Holder, LARGE, SMALL, scarce};
use super::context::{NODE, WORKLOADS, chart, kubectl, pods, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("no pool and none expected is no verdict at all", none),
    case("a pool smaller than expected fails and says so", smaller),
    case("a pool that grew after the kubelet started is told of until the kubelet restarts", stale),
    case("a pool held by another process is busy, and replaces no verdict", held),
    case("a pool that a workload requested wholly after a pass keeps its verdict", requested),
];

fn none() {
    let small = SMALL.leave(0);
    let large = LARGE.leave(0);
    SMALL.recount();
    LARGE.recount();
    chart::published("a verdict of none, no label, no condition", 60, |published| {
        published.verdict() == Some("none") && published.labels.is_empty() && published.condition.is_none()
    });
    kubectl::show(&["get", "node", NODE, "-o", "jsonpath={.metadata.annotations}"]);
    drop((small, large));
    LARGE.recount();
}

fn smaller() {
    let expected = chart::with(&json!({"expectations": [{"nodeSelector": {}, "expect": ["2Mi>=5000"]}]}));
    let published = chart::published("2Mi fails for want of pages", 60, |published| {
        published.verdict() == Some("fail")
            && published.labels.get("hugepages-2Mi").is_some_and(|verdict| verdict == "fail")
    });
    assert!(published.passes_for("1Gi") || LARGE.persistent() == 0, "{published:#?}");
    assert_eq!(published.condition.as_ref().map(|(status, _)| status.as_str()), Some("False"));
    chart::show_ours();
    drop(expected);
}

fn stale() {
    let grown = SMALL.change(8);
    chart::published("HP201 tells of a stale capacity", 60, |published| published.names("HP201", "2Mi"));
    chart::show_ours();
    SMALL.recount();
    chart::published("a pass once the kubelet has counted again", 60, |published| {
        published.passes() && !published.names("HP201", "2Mi")
    });
    drop(grown);
    SMALL.recount();
}

fn held() {
    let holder = Holder::take(SMALL.free());
    // The kubelet knows nothing of it and lets the probe pod in: it finds no page, and the pass before it stands.
    let due = chart::due(SMALL);
    let published = chart::published(
        "the pass stands, and the annotation says since when it is busy",
        120,
        |published| published.annotation("probe").is_some_and(|probe| probe.starts_with("busy since")),
    );
    assert!(published.passes_for("2Mi") && published.passes(), "{published:#?}");
    assert!(!published.names("HP203", "2Mi"), "busy is not broken: {published:#?}");
    chart::show_ours();
    drop(holder);
    chart::published("nothing stands in the way any more", 120, |published| {
        published.passes_for("2Mi") && !published.annotations.contains_key("probe")
    });
    drop(due);
}

fn requested() {
    let size = scarce();
    let pod = pods::workload("all-of-it", size, size.persistent(), size.persistent());
    let workload = kubectl::apply_for_now(&pod);
    pods::running(WORKLOADS, "all-of-it", 30);
    wait::until("it holds all pages", 20, || match size.free() {
        0 => Ok(()),
        free => Err(free),
    });
    wait::throughout("the verdict stays pass", 20, || {
        let published = Node::read().published();
        if published.passes_for(size.name) && published.passes() { Ok(()) } else { Err(published) }
    });
    chart::show_ours();
    drop(workload);
}
