//! Pools that are absent, short, stale, or in somebody's hands.

use serde_json::json;

use super::Case;
use super::context::node::Node;
use super::context::pools::{LARGE, SMALL, Size};
use super::context::{NODE, WORKLOADS, chart, daemon, kubectl, pods, wait};

pub(crate) const CASES: &[Case] = &[
    ("no pool and none expected is no verdict at all", none),
    ("a pool smaller than expected fails and says so", smaller),
    ("a pool that grew after the kubelet started is told of until the kubelet restarts", stale),
    ("a pool held by another process is busy, and replaces no verdict", held),
    ("a pool that a workload requested wholly after a pass keeps its verdict", requested),
];

/// The kubelet counts pages when it starts, and only then.
fn recount(size: Size) {
    daemon("restart", "kubelet");
    wait::until("the kubelet offers what there is", 60, || {
        let (offered, there) = (Node::read().capacity(&size.resource()), size.quantity(size.persistent()));
        if offered == there { Ok(()) } else { Err((offered, there)) }
    });
}

fn none() {
    let small = SMALL.leave(0);
    let large = LARGE.leave(0);
    recount(SMALL);
    recount(LARGE);
    chart::published("a verdict of none, no label, no condition", 60, |published| {
        published.verdict() == Some("none") && published.labels.is_empty() && published.condition.is_none()
    });
    kubectl::show(&["get", "node", NODE, "-o", "jsonpath={.metadata.annotations}"]);
    drop((small, large));
    recount(LARGE);
}

fn smaller() {
    let expected = chart::with(&json!({"expectations": [{"nodeSelector": {}, "expect": ["2Mi>=5000"]}]}));
    let published = chart::published("2Mi fails for want of pages", 60, |published| {
        published.verdict() == Some("fail")
            && published.labels.get("hugepages-2Mi").is_some_and(|verdict| verdict == "fail")
    });
    assert!(published.passes_for("1Gi") || LARGE.persistent() == 0, "{published:#?}");
    assert_eq!(published.condition.as_ref().map(|(status, _)| status.as_str()), Some("False"));
    show_ours();
    drop(expected);
}

fn stale() {
    let grown = SMALL.change(8);
    chart::published("HP201 tells of a stale capacity", 60, |published| published.names("HP201", "2Mi"));
    show_ours();
    recount(SMALL);
    chart::published("a pass once the kubelet has counted again", 60, |published| {
        published.passes() && !published.names("HP201", "2Mi")
    });
    drop(grown);
    recount(SMALL);
}

fn held() {
    let before = Node::read().published();
    let holder = Holder::take(SMALL);
    // Another configuration makes a probe due; it is the size that nobody holds which still gets one.
    let changed = chart::with(&json!({"expectations": [{"nodeSelector": {}, "expect": ["2Mi>=1"]}]}));
    wait::until("no probe comes to a pass of 2Mi made now", 60, || {
        let published = Node::read().published();
        let verdict = published.labels.get("hugepages-2Mi").cloned();
        if verdict.as_deref() == Some("pass") && !published.annotations.contains_key("probe") {
            Err(published)
        } else {
            Ok(())
        }
    });
    show_ours();
    drop(holder);
    drop(changed);
    let after = chart::settled();
    assert_eq!(before.annotation("boot-id"), after.annotation("boot-id"));
}

fn requested() {
    let pod = pods::workload("all-of-1gi", LARGE, LARGE.persistent(), LARGE.persistent());
    let workload = kubectl::apply_for_now(&pod);
    pods::running(WORKLOADS, "all-of-1gi", 30);
    wait::until("it holds all pages", 20, || match LARGE.free() {
        0 => Ok(()),
        free => Err(free),
    });
    wait::throughout("the verdict of 1Gi stays pass", 20, || {
        let published = Node::read().published();
        if published.passes_for("1Gi") && published.passes() { Ok(()) } else { Err(published) }
    });
    show_ours();
    drop(workload);
}

/// Prints what is published, as kubectl shows it.
fn show_ours() {
    let text = kubectl::must(&["describe", "node", NODE]);
    for line in text.lines().filter(|line| line.contains("hugeprobe")) {
        println!("    {line}");
    }
}

/// A process outside every pod that holds all free pages of a size.
struct Holder(std::process::Child);

impl Holder {
    fn take(size: Size) -> Self {
        let bytes = usize::try_from(size.free()).unwrap() * (2 << 20);
        assert!(size == SMALL, "only 2Mi is held here");
        // memfd of 2Mi pages by Python-free means: our own workload program wants a directory, which `unshare` gives it.
        let mount = "mount -t hugetlbfs -o pagesize=2M none /mnt && exec \"$0\" hold -dir /mnt -pages \"$1\"";
        let program = super::context::left("bin/workload");
        let child = std::process::Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", mount])
            .arg(program)
            .arg((bytes >> 21).to_string())
            .spawn()
            .unwrap();
        let holder = Self(child);
        wait::until("another process holds all free pages", 10, || match size.free() {
            0 => Ok(()),
            free => Err(free),
        });
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
