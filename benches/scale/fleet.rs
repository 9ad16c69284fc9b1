//! Measures the verbs that read every node: how long one takes, and the most memory that one has held. No agent runs.

use std::env;
use std::process::{Command, Stdio};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

use super::client::Admin;
use super::cluster;
use super::stage::BOOT;

/// The verbs, those that hold the most last: what is measured is the most memory of any so far.
const VERBS: [&[&str]; 8] = [
    &["nodes", "-l", "kubernetes.io/hostname=node-00000"],
    &["nodes", "--by-cause"],
    &["nodes", "--failing"],
    &["nodes"],
    &["nodes", "-o", "wide"],
    &["nodes", "-o", "json"],
    &["nodes", "-o", "jsonpath={.nodes[?(@.verdict==\"fail\")].name}"],
    &["fits", "--hugepages-2Mi", "64Mi"],
];
/// How often each is run. The median is printed.
const RUNS: usize = 5;

/// Creates the Nodes, and runs each verb of the program at `HUGEPROBE`.
pub(crate) async fn bench(count: usize) {
    let admin = Admin::new("bench");
    for number in 0..count {
        admin.ask("POST", "/api/v1/nodes", &published(number)).await;
    }
    println!("\n{count} nodes\nseconds (median of {RUNS})   most MiB so far   verb");
    for verb in VERBS {
        let mut times: Vec<f64> = (0..RUNS).map(|_| run(verb)).collect();
        times.sort_by(f64::total_cmp);
        let memory = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as f64 / 1024.0;
        println!("{:>7.2}                   {memory:>8.1}          {}", times[RUNS / 2], verb.join(" "));
    }
}

/// A Node as a kubelet and an agent leave it: of ten, one fails, one is stale, and the others pass.
fn published(number: usize) -> Value {
    let (verdict, boot) = match number % 10 {
        0 => ("fail", BOOT),
        1 => ("pass", "another-boot"),
        _ => ("pass", BOOT),
    };
    let (now, day) = (Timestamp::now(), SignedDuration::from_hours(24));
    let mut node = cluster::node(&format!("node-{number:05}"));
    node["metadata"]["annotations"] = json!({
        "hugeprobe.io/verdict": verdict, "hugeprobe.io/boot-id": boot, "hugeprobe.io/version": "0.1.0",
        "hugeprobe.io/checked-at": now.to_string(), "hugeprobe.io/valid-until": (now + day).to_string(),
        "hugeprobe.io/summary": format!("2Mi {verdict}"), "hugeprobe.io/profile": "restricted",
        "hugeprobe.io/pool.2Mi": "512 (numa0 256, numa1 256)",
        "hugeprobe.io/share.2Mi": "pass: 11 of 11 checks between two containers passed",
        "hugeprobe.io/probe.2Mi": format!("{verdict} {now} 9f3c0a1b22334455"),
        "hugeprobe.io/unseen":
            "owners of pages (HP105), use outside pods (HP202), limits of other cgroups (HP413)",
    });
    if verdict == "fail" {
        node["metadata"]["annotations"]["hugeprobe.io/check.HP603.2Mi"] =
            "fail: bytes that the backend wrote were not seen by the frontend".into();
    }
    node["metadata"]["labels"]["hugeprobe.io/verdict"] = verdict.into();
    node["metadata"]["labels"]["hugeprobe.io/hugepages-2Mi"] = verdict.into();
    node
}

/// Runs the program to its end. Returns the seconds.
fn run(verb: &[&str]) -> f64 {
    let begin = Instant::now();
    let done = Command::new(env::var("HUGEPROBE").unwrap())
        .args(verb)
        .args(["--kubeconfig", "admin.conf"])
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(done.status.code().is_some_and(|code| code != 2), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    begin.elapsed().as_secs_f64()
}
