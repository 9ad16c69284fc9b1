//! A node in order, and what people and machines then read about it.

use super::context::node::Node;
use super::context::pools::{LARGE, SMALL};
use super::context::{NAMESPACE, NODE, chart, daemon, kubectl, pods, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("a healthy node passes for 2Mi and 1Gi", healthy),
    case("describe node shows the event of the verdict", event),
    case("while nothing changes nothing is written", calm),
    case("the agent tells of its life and of the pools over HTTP", http),
    case("one page of 1Gi is enough for a pass", one_large_page),
];

fn healthy() {
    let free = (SMALL.free(), LARGE.free());
    let published = chart::settled();
    let node = Node::read();
    for size in [SMALL, LARGE] {
        assert_eq!(
            published.labels.get(&size.resource()).map(String::as_str),
            Some("pass"),
            "{published:#?}"
        );
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
    wait::until("every page is back", 10, || {
        let now = (SMALL.free(), LARGE.free());
        if now == free { Ok(()) } else { Err((now, free)) }
    });
    let shown = kubectl::show(&["describe", "node", NODE]);
    assert!(shown.contains("hugeprobe.io/HugepagesReady"), "the condition shows");
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
}

fn http() {
    let agent = chart::agent();
    let name = chart::meta(&agent, "name");
    let page = |path: &str| {
        kubectl::must(&[
            "get",
            "--raw",
            &format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}:9595/proxy{path}"),
        ])
    };
    page("/healthz");
    page("/readyz");
    let metrics = page("/metrics");
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        println!("    {line}");
    }
    for expected in ["hugeprobe_pool_pages", "hugeprobe_verdict", "size=\"2Mi\"", "size=\"1Gi\""] {
        assert!(metrics.contains(expected), "no {expected} in /metrics");
    }
}

fn one_large_page() {
    let one = LARGE.leave(1);
    daemon("restart", "kubelet");
    let published = chart::published("a pass with one page of 1Gi", 60, |published| {
        published.passes()
            && published.annotation("pool.1Gi").is_some_and(|pool| pool.contains('1') && !pool.contains('3'))
    });
    println!("    {published:#?}");
    drop(one);
    daemon("restart", "kubelet");
}
