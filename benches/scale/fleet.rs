//! Measures the verbs of the kubectl plugin: how long one takes, its CPU time, and the most memory that one has held. No agent
//! runs.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::Admin;
use super::cluster;
use super::cost::Cost;
use super::kwok::{self, Kwok};
use super::stage::BOOT;

/// A verb, a text in its output, and how often the text is there for ten Nodes (`None`: at least once).
type Verb = (&'static [&'static str], &'static str, Option<usize>);

/// The verbs, those that hold the most last: what is measured is the most memory of any so far.
const VERBS: [Verb; 13] = [
    (&["node", "node-00000"], "HP603", None),
    (&["who", "node-00000"], "vnf-9", None),
    (&["why", "pod/waits", "--namespace", "default"], "hugepages-2Mi", None),
    (&["recheck", "node-00000"], "node-00000", None),
    (&["nodes", "-l", "kubernetes.io/hostname=node-00000"], "node-00000", None),
    (&["nodes", "--by-cause"], "HP603", None),
    (&["nodes", "--failing"], NAME, Some(2)),
    (&["nodes"], NAME, Some(10)),
    (&["nodes", "-o", "wide"], NAME, Some(10)),
    (&["nodes", "-o", "json"], "hugeprobe.io/nodes/v1", None),
    (&["nodes", "--watch"], NAME, Some(10)),
    (&["nodes", "-o", "jsonpath={.nodes[?(@.verdict==\"fail\")].name}"], NAME, Some(1)),
    (&["fits", "--hugepages-2Mi", "64Mi"], "yes", None),
];
/// The names of all Nodes begin with this, and no other text in the output has it.
const NAME: &str = "node-0";
/// How often each is run. The median is printed.
const RUNS: usize = 5;

/// Creates the Nodes, and runs each verb of the program at `HUGEPROBE`.
pub(crate) async fn bench(count: usize) {
    let admin = Admin::new("bench");
    let kwok = kwok::start();
    let begin = Instant::now();
    for number in 0..count {
        admin.ask("POST", "/api/v1/nodes", &published(number)).await;
    }
    cluster::ready(&admin, count).await;
    println!("\n{count} nodes, Ready after {} s", begin.elapsed().as_secs());
    pods(&admin).await;
    heartbeats(&kwok).await;
    println!("seconds (median of {RUNS})   CPU seconds   most MiB so far   verb");
    for verb in VERBS {
        let before = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        let mut times: Vec<f64> = (0..RUNS).map(|_| run(verb, count)).collect();
        times.sort_by(f64::total_cmp);
        let now = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        let (time, memory) = (times[RUNS / 2], now.max_rss() as f64 / 1024.0);
        let cpu = (cpu_seconds(&now) - cpu_seconds(&before)) / RUNS as f64;
        println!("{time:>7.2}               {cpu:>9.2}    {memory:>15.1}   {}", verb.0.join(" "));
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

/// The CPU time in a usage.
fn cpu_seconds(usage: &Usage) -> f64 {
    [usage.user_time(), usage.system_time()].iter().map(|time| time.num_microseconds() as f64 / 1e6).sum()
}

/// Prints what the heartbeats of kwok cost while nothing else happens.
async fn heartbeats(kwok: &Kwok) {
    let (mut offset, mut cost) = (0, Cost::default());
    Cost::default().read(&mut offset);
    let (begin, before) = (Instant::now(), kwok.cpu_seconds());
    sleep(Duration::from_secs(30)).await;
    let (seconds, now) = (begin.elapsed().as_secs_f64(), kwok.cpu_seconds());
    cost.read(&mut offset);
    let [kwok, api_server] = [0, 1].map(|of| (now[of] - before[of]) / seconds * 100.0);
    println!(
        "heartbeats: {:.0} writes/s, {kwok:.0} % of a CPU in kwok, {api_server:.0} % in the API server",
        cost.beats as f64 / seconds
    );
}

/// Creates ten pods with huge pages on the first Node, and one that fits on no Node.
async fn pods(admin: &Admin) {
    let path = "/api/v1/namespaces/default";
    admin.ask("POST", &format!("{path}/serviceaccounts"), &json!({"metadata": {"name": "default"}})).await;
    let pod = |name: &str, pages: &str, node: Option<&str>| {
        let limits = json!({"hugepages-2Mi": pages, "memory": "64Mi", "cpu": "100m"});
        let containers = json!([{"name": "vnf", "image": "x", "resources": {"limits": limits}}]);
        let spec = json!({"nodeName": node, "containers": containers});
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    };
    let path = format!("{path}/pods");
    for number in 0..10 {
        admin.ask("POST", &path, &pod(&format!("vnf-{number}"), "64Mi", Some("node-00000"))).await;
    }
    admin.ask("POST", &path, &pod("waits", "4Gi", None)).await;
    // The scheduler's reason, and the status by kwok.
    while admin.get(&format!("{path}/waits")).await["status"]["conditions"].is_null()
        || admin.get(&format!("{path}/vnf-9")).await["status"]["phase"] != "Running"
    {
        sleep(Duration::from_millis(200)).await;
    }
}

/// Runs the program to its end, or with `--watch` until it has shown all nodes. Returns the seconds.
fn run((args, text, of_ten): Verb, count: usize) -> f64 {
    let begin = Instant::now();
    let mut command = Command::new(env::var("HUGEPROBE").unwrap());
    command.args(args).args(["--kubeconfig", "admin.conf"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut shown, mut stdout) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
    if args.contains(&"--watch") {
        let (last, mut line) = (format!("node-{:05}", count - 1), 0);
        while !shown[line..].contains(&last) {
            line = shown.len();
            assert!(stdout.read_line(&mut shown).unwrap() > 0, "the table does not have {last}");
        }
        child.kill().unwrap();
    } else {
        stdout.read_to_string(&mut shown).unwrap();
    }
    let done = child.wait_with_output().unwrap();
    let took = begin.elapsed().as_secs_f64();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_ne!(done.status.code(), Some(2));
    let times = shown.matches(text).count();
    assert!(
        of_ten.map_or(times > 0, |of_ten| times == count * of_ten / 10),
        "{}: {times} times {text:?} in {shown:.2000}",
        args.join(" ")
    );
    took
}
