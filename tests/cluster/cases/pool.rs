//! Pools that are absent, short, stale, or in somebody's hands.

use serde_json::json;

use super::context::node::Node;
use super::context::pools::{LARGE, SMALL, Size, scarce};
use super::context::{NODE, WORKLOADS, chart, daemon, kubectl, pods, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("no pool and none expected is no verdict at all", none),
    case("a pool smaller than expected fails and says so", smaller),
    case("a pool that grew after the kubelet started is told of until the kubelet restarts", stale),
    case("a pool held by another process is busy, and replaces no verdict", held),
    case("a pool that a workload requested wholly after a pass keeps its verdict", requested),
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
    let holder = Holder::take();
    // Another expectation makes a probe due: it is busy, and the pass before it stands.
    let changed = chart::with(&json!({"expectations": [{"nodeSelector": {}, "expect": ["2Mi>=1"]}]}));
    chart::published("the pass stands, and the annotation says why no other was made", 60, |published| {
        published.passes_for("2Mi") && published.annotations.contains_key("probe")
    });
    show_ours();
    drop(holder);
    chart::published("nothing stands in the way any more", 90, |published| {
        published.passes_for("2Mi") && !published.annotations.contains_key("probe")
    });
    drop(changed);
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

/// A process outside every pod that holds all free pages of 2Mi.
struct Holder(std::process::Child);

impl Holder {
    fn take() -> Self {
        let program = super::context::left("bin/workload");
        // A hugetlbfs that nobody else sees, and that is gone with the process.
        let holds = "mount -t hugetlbfs -o pagesize=2M none /mnt && exec \"$0\" hold -dir /mnt -pages \"$1\"";
        let child = std::process::Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", holds])
            .arg(program)
            .arg(SMALL.free().to_string())
            .spawn()
            .unwrap();
        let holder = Self(child);
        wait::until("another process holds all free pages", 10, || match SMALL.free() {
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
