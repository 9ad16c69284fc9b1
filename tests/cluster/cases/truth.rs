//! The Node's verdict beside what the workload does in the same place: testpmd in two containers of a pod. tests/truth has the
//! rows that take no cluster.

use serde_json::json;

use super::context::node::{Node, Published};
use super::context::pools::{Holder, LARGE, SMALL};
use super::context::testpmd::{HEALTHY, Outcome, Pair, WANTS};
use super::context::{chart, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case(
        "truth: where the verdict is pass, testpmd's frames arrive, as root and as a restricted user",
        healthy,
    ),
    case("truth: without a pool there is no pass, and testpmd's pod is never scheduled", no_pool),
    case("truth: a pool below what is expected fails, and testpmd's pod is never scheduled", too_small),
    case("truth: without fsGroup the verdict fails, and so does testpmd", without_fs_group),
    case("truth: a backend without a limit of its own fails in testpmd's pod as in ours", without_limit),
    case("truth: pages that another process holds are told of beside the pass, and testpmd fails", held),
];

/// As the agent's own pods run.
const RESTRICTED: Pair = Pair { is_restricted: true, ..HEALTHY };

fn show(published: &Published) {
    println!("    the Node: {:?} {:?}", published.labels, published.annotation("probe"));
}

fn passes() -> Published {
    let published = Node::read().published();
    show(&published);
    assert!(published.passes_for("2Mi"), "{published:#?}");
    published
}

fn works(outcome: &Outcome) {
    assert!(outcome.works, "{outcome}");
}

/// For this reason: not because the pod could not have worked anywhere.
fn fails(outcome: &Outcome, because: &str) {
    assert!(!outcome.works && outcome.words.contains(because), "{outcome}");
}

fn healthy() {
    passes();
    works(&HEALTHY.run());
    works(&RESTRICTED.run());
    passes();
}

fn no_pool() {
    let small = SMALL.leave(0);
    SMALL.recount();
    let published = chart::published("no pass for 2Mi", 60, |published| !published.passes_for("2Mi"));
    show(&published);
    fails(&HEALTHY.run(), "Insufficient hugepages-2Mi");
    drop(small);
    SMALL.recount();
}

fn too_small() {
    let small = SMALL.leave(WANTS - 2);
    SMALL.recount();
    let expected = format!("2Mi>={WANTS}");
    let expects = chart::with(&json!({"expectations": [{"nodeSelector": {}, "expect": [expected]}]}));
    let published = chart::published("2Mi fails for want of pages", 60, |published| {
        published.labels.get("hugepages-2Mi").is_some_and(|verdict| verdict == "fail")
    });
    show(&published);
    fails(&HEALTHY.run(), "Insufficient hugepages-2Mi");
    drop(small);
    SMALL.recount();
    chart::published("and passes where there are enough", 60, |published| published.passes_for("2Mi"));
    works(&HEALTHY.run());
    drop(expects);
}

fn without_fs_group() {
    let changed = chart::with(&json!({"runAs": {"fsGroup": null}}));
    let published =
        chart::published("the verdict fails", 90, |published| published.verdict() == Some("fail"));
    show(&published);
    fails(&Pair { has_fs_group: false, ..RESTRICTED }.run(), "Permission denied");
    drop(changed);
    chart::settled();
    works(&RESTRICTED.run());
}

fn without_limit() {
    // What our own pod says of the same is a case of workload.rs.
    fails(&Pair { backend_has_limit: false, ..HEALTHY }.run(), "Cannot init memory");
    passes();
}

fn held() {
    let holder = Holder::take(SMALL.free());
    let due = chart::due(SMALL);
    let published = chart::published("it is told of", 120, |published| {
        published.annotation("probe").is_some_and(|probe| probe.starts_with("busy since"))
    });
    show(&published);
    fails(&HEALTHY.run(), "No free 2048 kB hugepages");
    drop(holder);
    wait::until("the pages are back", 30, || if SMALL.free() >= WANTS { Ok(()) } else { Err(SMALL.free()) });
    works(&HEALTHY.run());
    drop(due);
    assert!(LARGE.persistent() == 0 || Node::read().published().passes_for("1Gi"));
}
