//! A day of four agents, minute by minute, as samples in the OpenMetrics text format. The agents are real. Their machines are files,
//! and the API server and the kubelet are those of tests/agent, where time passes at once.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kubelet::{Fate, play};
use super::stage::{BOOT, EPOCH, Machine, Stage};
use super::world::World;

/// The pages of each machine: 1 GiB.
const PAGES: u64 = 512;

/// How many minutes are recorded.
pub(crate) const MINUTES: u32 = 24 * 60;

/// What happens to a node at the end of this minute.
type Change = (u32, fn(&Stage));

struct Node {
    name: &'static str,
    /// The configuration, as far as it differs from the chart's.
    config: fn() -> Value,
    changes: &'static [Change],
    /// The minutes in which the kubelet has no room for probe pods.
    full: &'static [(u32, u32)],
    /// The minute in which another agent takes over.
    restart: Option<u32>,
}

const NODES: [Node; 4] = [
    Node {
        name: "node-a",
        config: || json!({}),
        changes: &[
            (at(2, 0), |stage| stage.machine.pool("free", 384)),
            (at(4, 0), |stage| stage.world.stop()),
            (at(4, 6), |stage| stage.world.start()),
            (at(7, 30), |stage| stage.machine.pool("free", 128)),
            (at(16, 10), |stage| stage.machine.pool("free", 256)),
            (at(21, 0), |stage| stage.machine.pool("free", 512)),
        ],
        full: &[],
        restart: None,
    },
    // Its pool becomes smaller than the cluster expects, and stays so.
    Node {
        name: "node-b",
        config: || json!({"expectations": [{"nodeSelector": {}, "expect": ["2Mi>=512"]}]}),
        changes: &[
            (at(3, 0), |stage| stage.machine.pool("free", 448)),
            (at(20, 20), |stage| stage.machine.set_pages(384)),
        ],
        full: &[],
        restart: None,
    },
    // Workloads take all pages for longer than a verdict is valid, and in the end again.
    Node {
        name: "node-c",
        config: || json!({"probe": {"image": "hugeprobe:test", "busyHours": 2}}),
        changes: &[
            (at(9, 0), |stage| stage.machine.pool("free", 0)),
            (at(14, 40), |stage| stage.machine.pool("free", 320)),
            (at(20, 30), |stage| stage.machine.pool("free", 0)),
        ],
        full: &[(at(9, 0), at(14, 40)), (at(20, 30), MINUTES)],
        restart: None,
    },
    // Its pool grows, and the kubelet is restarted hours later.
    Node {
        name: "node-d",
        config: || json!({}),
        changes: &[
            (at(11, 0), |stage| stage.machine.set_pages(640)),
            (at(15, 30), |stage| {
                stage.world.change_node(|node| {
                    for field in ["capacity", "allocatable"] {
                        node["status"][field]["hugepages-2Mi"] = "1280Mi".into();
                    }
                });
            }),
        ],
        full: &[],
        restart: Some(at(18, 0)),
    },
];

const fn at(hour: u32, minute: u32) -> u32 {
    60 * hour + minute
}

/// Records the day that begins at `begin`.
pub(crate) fn record(begin: Timestamp) -> String {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mut samples = String::new();
    for node in &NODES {
        runtime.block_on(record_node(node, begin, &mut samples));
    }
    samples + "# EOF\n"
}

async fn record_node(node: &Node, begin: Timestamp, samples: &mut String) {
    let world = World::new(BOOT, PAGES);
    // The chart's default; the stage's own is a day.
    let mut config = json!({"renewMinutes": 30});
    config.as_object_mut().unwrap().extend((node.config)().as_object().unwrap().clone());
    let start = |world, machine, pod: &str, minute: u32| {
        let stage = Stage::begin_as(world, machine, &config, pod);
        let epoch: Timestamp = EPOCH.parse().unwrap();
        let now = begin.as_second() + 60 * i64::from(minute);
        stage.clock_off.store(now - epoch.as_second(), Ordering::Relaxed);
        stage
    };
    let mut pod = "hugeprobe-7xk2p";
    let mut stage = start(world, Machine::new(PAGES), pod, 0);
    for minute in 0..MINUTES {
        let full = node.full.iter().any(|&(from, to)| (from..to).contains(&minute));
        let fate = if full { Fate::Pending } else { Fate::Pass };
        // A probe takes some seconds, never the same.
        play(&stage.world, fate, Duration::from_millis(2400 + u64::from(minute * 211 % 1700)));
        if node.restart == Some(minute) {
            let (world, machine) = stage.kill().await;
            pod = "hugeprobe-q9wzt";
            stage = start(world, machine, pod, minute);
        }
        stage.pass(Duration::from_secs(60)).await;
        // An API server ends each watch after the time that the agent asked for. This one leaves that to the test.
        if minute % 5 == 4 {
            stage.world.end_watches();
        }
        node.changes.iter().filter(|change| change.0 == minute).for_each(|(_, change)| change(&stage));
        let labels = format!(r#"job="hugeprobe",namespace="hugeprobe",pod="{pod}",node="{}""#, node.name);
        add(samples, &stage.page("/metrics").1, &labels, begin.as_second() + 60 * i64::from(minute + 1));
    }
    stage.stop().await;
}

/// Adds the samples of one scrape, with the labels of the target and the time.
fn add(samples: &mut String, scraped: &str, labels: &str, time: i64) {
    for line in scraped.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        match series.split_once('{') {
            Some((name, own)) => writeln!(samples, "{name}{{{labels},{own} {value} {time}").unwrap(),
            None => writeln!(samples, "{series}{{{labels}}} {value} {time}").unwrap(),
        }
    }
}
