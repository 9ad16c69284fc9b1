//! A node in order, and what people and machines then read about it.

use std::process::Output;
use std::time::Duration;

use super::context::node::Node;
use super::context::pools::{LARGE, SMALL, Size};
use super::context::{NODE, POD_LEVEL_PAGES, WORKLOADS, chart, kubectl, left, minor, pods, script, wait};
use super::{Case, case, large_case};

pub(crate) const CASES: &[Case] = &[
    case("a healthy node passes for 2Mi", healthy),
    large_case("a healthy node passes for 1Gi", 2, healthy_large),
    case("describe node shows the event of the verdict", event),
    case("while nothing changes nothing is written", calm),
    case("an hour of ticks leaves the agent with at most 8 MiB", hour),
    case("the agent tells of its life and of the pools over HTTP", http),
    case("fits shows where a pod would work and why it would not", fits),
    case("one page of 2Mi is enough for a pass", one_small_page),
    large_case("one page of 1Gi is enough for a pass", 1, one_large_page),
];

fn healthy() {
    let published = chart::settled();
    let node = Node::read();
    for size in [SMALL, LARGE] {
        assert_eq!(published.passes_for(size.name), size.persistent() > 0, "{published:#?}");
        assert_eq!(node.capacity(&size.resource()), size.quantity(size.persistent()));
    }
    assert_eq!(published.annotation("boot-id"), Some(node.boot_id()));
    assert_eq!(
        published.condition.as_ref().map(|(status, _)| status.as_str()),
        Some("True"),
        "{published:#?}"
    );
    let longest = published.annotations.iter().max_by_key(|(_, value)| value.len()).unwrap();
    assert!(longest.1.len() <= 140, "kubectl describe cuts at 140: {longest:?}");
    wait::until("no probe pod is left", 30, || match pods::probes().len() {
        0 => Ok(()),
        more => Err(more),
    });
    wait::until("every page is free", 20, || {
        let held = [SMALL, LARGE].map(|size| size.persistent() - size.free());
        if held == [0, 0] { Ok(()) } else { Err(held) }
    });
    let shown = kubectl::show(&["describe", "node", NODE]);
    assert!(shown.contains("hugeprobe.io/HugepagesReady"), "the condition shows");
}

fn healthy_large() {
    // At least two pages: each of the two containers has a limit of its own.
    let due = chart::due(LARGE);
    chart::concluded("a probe of 1Gi passes", LARGE, 0);
    assert!(chart::settled().passes_for("1Gi"));
    for id in ["HP501", "HP505", "HP601", "HP604", "HP605", "HP606"] {
        assert_eq!(chart::outcome(id, "1Gi").as_deref(), Some("pass"), "{id}");
    }
    let line = |line: &&str| line.starts_with("hugeprobe_probe_duration_seconds{");
    chart::metrics().lines().filter(line).for_each(|line| println!("    {line}"));
    drop(due);
}

fn event() {
    let shown = wait::until("describe node shows the event", 30, || {
        let text = kubectl::must(&["describe", "node", NODE]);
        let events = text.split("\nEvents:").nth(1).unwrap_or_default().to_owned();
        if events.contains("hugeprobe") { Ok(events) } else { Err(events) }
    });
    for line in shown.lines().filter(|line| line.contains("hugeprobe")) {
        println!("    {line}");
    }
    let output = hugeprobe(&["node", NODE]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().for_each(|line| println!("    {line}"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text.contains("\n  event ") && text.contains("HugepagesVerified"), "the event shows: {text}");
}

fn calm() {
    // What the kubelet writes by itself leaves the fields of our manager alone: its entry in managedFields has a time.
    let ours = || {
        let fields = Node::read().json()["metadata"]["managedFields"].clone();
        let fields = fields.as_array().cloned().unwrap_or_default();
        let ours: Vec<_> = fields.into_iter().filter(|entry| entry["manager"] == "hugeprobe").collect();
        assert_eq!(ours.len(), 1, "one manager, one operation: {ours:#?}");
        (ours[0]["time"].clone(), Node::read().published())
    };
    wait::until("the last probe pod is gone", 30, || match pods::probes().len() {
        0 => Ok(()),
        more => Err(more),
    });
    let before = ours();
    wait::throughout("no write, no pod", 15, || {
        let (now, probes) = (ours(), pods::probes().len());
        if now == before && probes == 0 { Ok(()) } else { Err(format!("{now:#?} and {probes} probe pods")) }
    });
    println!("    the agent's resident memory: {} KiB", pods::resident(&chart::agent()));
}

fn hour() {
    let agent = chart::agent();
    // A tick is a second here, and ten by default.
    let (ticks, tick) = (360, Duration::from_secs(1));
    std::thread::sleep((ticks * tick).saturating_sub(pods::started(&agent).elapsed()));
    assert_eq!(chart::meta(&chart::agent(), "uid"), chart::meta(&agent, "uid"), "the same agent");
    let kib = pods::resident(&agent);
    println!("    the agent's resident memory after {ticks} ticks: {kib} KiB");
    assert!((1..=8 << 10).contains(&kib), "{kib} KiB");
}

fn http() {
    chart::page("/healthz").unwrap();
    chart::page("/readyz").unwrap();
    let metrics = chart::metrics();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        println!("    {line}");
    }
    for expected in ["hugeprobe_pool_pages", "hugeprobe_verdict", "hugeprobe_probes_total", "size=\"2Mi\""] {
        assert!(metrics.contains(expected), "no {expected} in /metrics");
    }
}

/// Runs a verb of this build in the network of the cluster.
fn hugeprobe(arguments: &[&str]) -> Output {
    script("inside")
        .arg(env!("CARGO_BIN_EXE_hugeprobe"))
        .args(arguments)
        .env("KUBECONFIG", left("state/admin.conf"))
        .output()
        .unwrap()
}

/// Asks `hugeprobe fits -o short` for so many pages of 2Mi. Returns its exit code and the line of the node.
fn asked(pages: i64) -> (Option<i32>, String) {
    let amount = SMALL.quantity(pages);
    let output = hugeprobe(&["fits", "-o", "short", "--same-numa", "--hugepages-2Mi", &amount]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(NODE)).unwrap_or_default().trim().to_owned();
    println!("    {pages} pages: {line}");
    (output.status.code(), line)
}

fn fits() {
    wait::until("no probe pod requests pages", 60, || match pods::probes().len() {
        0 => Ok(()),
        more => Err(more),
    });
    let all = SMALL.persistent();
    assert_eq!(asked(2), (Some(0), "yes".to_owned()));
    let refused = |pages, part: &str| {
        let (code, line) = asked(pages);
        assert!(code == Some(1) && line.contains(part), "{code:?} {line}");
    };
    refused(all + 1, "no scheduler needs");
    let other = kubectl::apply_for_now(&pods::workload("fits", SMALL, all, 0));
    pods::running(WORKLOADS, "fits", 30);
    refused(2, "of which other pods request");
    // The same pages once more: it stays Pending, and its event and the comparison of the node say why.
    let pending = kubectl::apply_for_now(&pods::workload("pending", SMALL, all, 0));
    wait::until("why names the event and the node", 30, || {
        let output = hugeprobe(&["why", "pod/pending", "--namespace", WORKLOADS]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_whole =
            ["event FailedScheduling", "cause", "fits on 0 of 1 node"].iter().all(|part| text.contains(part));
        if is_whole && output.status.success() {
            text.lines().for_each(|line| println!("    {line}"));
            return Ok(());
        }
        Err(text)
    });
    drop(pending);
    drop(other);
    let cordoned = kubectl::Guard::run(&["cordon", NODE], &["uncordon", NODE]);
    refused(2, "no scheduler the node is cordoned");
    drop(cordoned);
}

fn one_large_page() {
    one_page(LARGE);
}

fn one_small_page() {
    one_page(SMALL);
}

fn one_page(pool: Size) {
    let size = pool.name;
    let one = pool.leave(1);
    pool.recount();
    chart::published(&format!("a pass with one page of {size}"), 120, |published| {
        published.passes()
            && published.passes_for(size)
            && published
                .annotation(&format!("pool.{size}"))
                .is_some_and(|pages| pages.split(|c: char| !c.is_ascii_digit()).next() == Some("1"))
    });
    chart::show_ours();
    // Two limits of a page each would not have been scheduled. The page is in the limit of the pod, or else in that of the
    // frontend, which then always touches first.
    let backend_first = if minor().unwrap() >= POD_LEVEL_PAGES { "pass" } else { "skip" };
    for (id, outcome) in [("HP605", "pass"), ("HP606", backend_first)] {
        assert_eq!(chart::outcome(id, size).as_deref(), Some(outcome), "{id}");
    }
    drop(one);
    pool.recount();
}
