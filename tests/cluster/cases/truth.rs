//! The Node's verdict beside what the workload does in the same place: testpmd in two containers of a pod, or with two ports of an
//! Open vSwitch on the node. tests/truth has the rows that take no cluster.

use serde_json::json;

use super::context::node::{Node, Published};
use super::context::ovs::{self, Listens, Ovs};
use super::context::pools::{Holder, LARGE, SMALL};
use super::context::testpmd::{self, HEALTHY, Outcome, Pair, WANTS};
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
    case(
        "truth: an OVS-DPDK that listens passes, and fails when it is stopped or has too few pages",
        listens,
    ),
    case(
        "truth: an OVS-DPDK that connects passes, and fails when it is stopped or has too few pages",
        connects,
    ),
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

fn listens() {
    vswitch(Listens::Vswitch);
}

fn connects() {
    vswitch(Listens::Workload);
}

/// The agent asks a port of the node's Open vSwitch that nothing else uses, and testpmd uses two others.
fn vswitch(listens: Listens) {
    let allowed = chart::privileged();
    let vswitch = Ovs::start();
    for port in ["probe", "a", "b"] {
        vswitch.add(port, listens);
    }
    let peer =
        json!({"hostPath": format!("{}/probe", ovs::DIRECTORY), "listen": listens == Listens::Workload});
    let changed = chart::with(&json!({"profile": "privileged", "peer": peer}));
    let answers = |passed| {
        let published = chart::published("a pass with the vswitch's answer", 120, |published| {
            published.passes_for("2Mi") && published.annotation("profile") == Some("privileged")
        });
        show(&published);
        chart::concluded("of a probe that asked it", SMALL, passed);
        for id in ["HP612", "HP613", "HP614"] {
            assert_eq!(chart::outcome(id, "2Mi").as_deref(), Some("pass"), "{id}");
        }
        // A probe sends no frame.
        assert_eq!(chart::outcome("HP615", "2Mi").as_deref(), Some("skip"));
    };
    let refuses = || {
        let due = chart::due(SMALL);
        let published = chart::published("2Mi fails for want of the vswitch", 120, |published| {
            published.labels.get("hugepages-2Mi").is_some_and(|verdict| verdict == "fail")
        });
        show(&published);
        println!("    {}", published.annotation("check.HP612.2Mi").unwrap_or("no HP612"));
        assert!(published.annotation("check.HP612.2Mi").is_some(), "{published:#?}");
        let because = if listens == Listens::Vswitch { "No such file" } else { "no frame" };
        fails(&testpmd::switched(listens), because);
        drop(due);
    };

    answers(0);
    works(&testpmd::switched(listens));
    vswitch.stop();
    refuses();
    let passed = chart::ended(SMALL, "pass") + chart::ended(SMALL, "warn");
    vswitch.run();
    let due = chart::due(SMALL);
    answers(passed);
    works(&testpmd::switched(listens));
    let report = frames(listens);
    assert!(report.contains("pass     2Mi pass"), "{report}");
    drop(due);

    // It starts, and has no room for the buffers of a port. The vhost library in it answers for the port all the same, and no thread
    // polls the port. Only frames show this, and the agent sends none.
    vswitch.stop();
    vswitch.set_memory([24, 24]);
    vswitch.run();
    let passed = chart::ended(SMALL, "pass") + chart::ended(SMALL, "warn");
    let due = chart::due(SMALL);
    answers(passed);
    fails(&testpmd::switched(listens), "no frame");
    let report = frames(listens);
    assert!(report.contains("does not accept frames (HP615)"), "{report}");
    drop(due);

    vswitch.stop();
    vswitch.set_memory([64, 88]);
    let holder = Holder::take(SMALL.free() - (ovs::PAGES - 8));
    let printed = vswitch.run_in_vain();
    for line in printed.lines().filter(|line| line.contains("hugepages") || line.contains("EMER")) {
        println!("    Open vSwitch: {line}");
    }
    refuses();
    drop((holder, vswitch, changed, allowed));
}

/// Asks the port that the agent asks, with frames. Returns the report.
fn frames(listens: Listens) -> String {
    let program = env!("CARGO_BIN_EXE_hugeprobe");
    let listen = if listens == Listens::Workload { "--peer-listen" } else { "" };
    let peer = format!("--peer {}/probe {listen} --peer-transmit 64", ovs::DIRECTORY);
    let only = "--only HP612 --only HP613 --only HP614 --only HP615";
    // The exit code is that of the verdict.
    let report = ovs::on_node(&format!("{program} check --size 2Mi {peer} {only} || true")).unwrap();
    report.lines().for_each(|line| println!("      {line}"));
    report
}
