//! Counts what agents cost the API server: one agent for each Node, on one thread, and a real API server. Prints a table, and exits
//! with 1 above an aim. benches/scale/run starts the servers.
//!
//! Real: etcd, kube-apiserver, kube-scheduler, the controller of quotas, the chart with its rights and policies, a token for each agent,
//! and of each agent all but the process: the loop, the reconciler, the client with TLS. kwok takes the place of the kubelets
//! ([`kwok`]). Played: the machine's files, which all agents share, and the passing of time, where [`SLEEP`] is used.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)] // ends by panicking
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counts are far below 2^53

mod client;
mod cluster;
mod cost;
mod fleet;
#[allow(dead_code)]
#[path = "../../tests/agent/kubelet.rs"]
mod kubelet;
mod kwok;
mod seen;
#[allow(dead_code)]
#[path = "../../tests/agent/stage.rs"]
mod stage;
#[allow(dead_code)]
#[path = "../../tests/agent/world/mod.rs"]
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hugeprobe::kubernetes::agent::health::Health;
use hugeprobe::kubernetes::agent::run::{Agent, run};
use hugeprobe::kubernetes::api::{Api, Unmetered};
use hugeprobe::kubernetes::backoff::Random;
use hugeprobe::kubernetes::cleanup::{self, Scope};
use hugeprobe::kubernetes::config::Config;
use hugeprobe::kubernetes::reconcile::Identity;
use hugeprobe::linux::root::HostRoot;
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use client::Admin;
use cost::Cost;
use kwok::Kwok;
use seen::Seen;
use stage::Machine;

/// How far an agent's clock is put forward, in seconds, to make its next renewal due: longer than `renewMinutes` with all its jitter.
const SLEEP: i64 = 37 * 60;
/// Agents that are started in a second. kube-controller-manager creates no more pods of a DaemonSet (`--kube-api-qps`, 20 by default).
const STARTS: u32 = 20;
/// Renewals in a second, where time is put forward.
const RENEWALS: u32 = 4;
/// How long a scenario may take before it is given up. The aim is less.
const LONGEST: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if std::env::var_os("FLEET").is_some() {
        runtime.block_on(fleet::bench(std::env::var("NODES").unwrap().parse().unwrap()));
        return ExitCode::SUCCESS;
    }
    let all_met = runtime.block_on(bench());
    ExitCode::from(u8::from(!all_met))
}

/// One node's agent.
struct Publisher {
    identity: Identity,
    token: String,
    /// Seconds by which its clock is ahead.
    ahead: Arc<AtomicI64>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

struct Bench {
    admin: Admin,
    publishers: Vec<Publisher>,
    machine: Machine,
    seen: Arc<Mutex<Seen>>,
    all_met: bool,
    /// How far the audit log has been read.
    offset: u64,
    kwok: Kwok,
    start: Start,
}

/// How it was when a scenario began.
struct Start {
    at: Instant,
    /// From when the scenario's time counts.
    counted: Instant,
    /// What the Nodes showed.
    shown: BTreeMap<String, (String, String)>,
    etcd_bytes: u64,
    warnings: usize,
    cpu: [f64; 2],
}

async fn bench() -> bool {
    let count: usize = std::env::var("NODES").unwrap().parse().unwrap();
    let mut bench = Bench::new(count).await;
    println!("\n{count} nodes, one page size, 5 s a probe\n{}", cost::HEAD);
    let empty = memory();
    bench.begin().await;
    bench.start_all().await;
    bench.end("first install", 0, 0, |bench| bench.verdicts("pass") == count).await;
    println!("    an agent, one of {count} in a process: {} KiB", (memory() - empty) / count as u64);

    sleep(Duration::from_secs(60)).await;
    let nothing = bench.end("a minute of nothing", 0, 0, |_| true).await;
    if std::env::var_os("BURSTS").is_none() {
        renewals(&mut bench, count, &nothing).await;
    }
    bench.machine.set_pages(0);
    bench.end("all flip to fail", count, count, |bench| bench.verdicts("fail") == count).await;
    bench.machine.set_pages(512);
    bench.end("all flip back", count, 0, |bench| bench.verdicts("pass") == count).await;

    for publisher in &mut bench.publishers {
        publisher.end().await;
    }
    let api = Api::new(client::client("admin"), Arc::new(Unmetered));
    cleanup::run(&api, &Scope::AllNodes, "hugeprobe", &mut io::sink()).await.unwrap();
    bench.end("deletion", count, 0, |bench| bench.verdicts("") == count).await;
    bench.all_met
}

/// The scenarios in which probes run again. What they cost for each node does not depend on the number of nodes.
async fn renewals(bench: &mut Bench, count: usize, nothing: &Cost) {
    bench.put_forward(count, RENEWALS).await;
    let steady = bench.end("steady: each renews", 0, 0, |bench| bench.renewed() == count).await;
    bench.all_met &= steady.print_rates(count, nothing);

    cluster::install("v2", count);
    // A new pod takes seconds to start. Until then the API server has the new policies.
    sleep(Duration::from_secs(5)).await;
    bench.start_all().await;
    // A probe that finds the same is no reason to write the Node.
    let probed = |bench: &Bench| {
        let gone = bench.seen().gone;
        gone >= count && bench.verdicts("pass") == count
    };
    bench.end("rolling upgrade", 0, 0, probed).await;

    let few = count.min(20);
    bench.put_forward(few, 1000).await;
    sleep(Duration::from_secs(12)).await;
    // It ends within a minute, in which it accepts no connection.
    kill(Pid::from_raw(kwok::api_server().cast_signed()), Signal::SIGTERM).unwrap();
    bench.end("API server restart", 0, 0, |bench| bench.renewed() >= few).await;
    // Every watch is there again within its longest backoff.
    sleep(Duration::from_secs(36)).await;
    bench.begin().await;

    cluster::set_quota(&bench.admin, 0).await;
    bench.put_forward(count, u32::try_from(count).unwrap() / 30 + 1).await;
    sleep(Duration::from_secs(120)).await;
    bench.end("quota exhausted", 0, 0, |_| true).await;
    cluster::set_quota(&bench.admin, cluster::most_probes(count)).await;
    bench.end("quota free again", 0, 0, |bench| bench.renewed() == count).await;
}

impl Bench {
    async fn new(count: usize) -> Self {
        let admin = Admin::new("bench");
        let kwok = kwok::start();
        cluster::install("v1", count);
        let publisher =
            |(identity, token)| Publisher { identity, token, ahead: Arc::default(), running: None };
        let publishers = cluster::make(&admin, count).await.into_iter().map(publisher).collect();
        let seen = Arc::<Mutex<Seen>>::default();
        seen::follow(&admin, &seen);
        let (now, cpu) = (Instant::now(), [0.0; 2]);
        let start = Start { at: now, counted: now, shown: BTreeMap::new(), etcd_bytes: 0, warnings: 0, cpu };
        Self { admin, publishers, machine: Machine::new(512), seen, all_met: true, offset: 0, kwok, start }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// How many Nodes show this verdict.
    fn verdicts(&self, verdict: &str) -> usize {
        self.seen().verdicts.values().filter(|shown| shown.0 == verdict).count()
    }

    /// How many Nodes show another time of the check than when the scenario began.
    fn renewed(&self) -> usize {
        let is_new =
            |(name, shown): &(&String, &(String, String))| self.start.shown.get(*name) != Some(shown);
        self.seen().verdicts.iter().filter(is_new).count()
    }

    /// Starts all agents, [`STARTS`] in a second, with the configuration of the chart. One that runs is ended first.
    async fn start_all(&mut self) {
        let map = self.admin.get("/api/v1/namespaces/hugeprobe/configmaps/hugeprobe").await;
        let config = Config::parse(map["data"]["agent.json"].as_str().unwrap()).unwrap();
        for publisher in &mut self.publishers {
            publisher.end().await;
            publisher.start(&config, &self.machine);
            sleep(Duration::from_secs(1) / STARTS).await;
        }
    }

    /// Puts the clocks of the first agents forward, so many in a second. Each agent renews at its next tick. Counts the time
    /// from the last one on.
    async fn put_forward(&mut self, count: usize, rate: u32) {
        for publisher in self.publishers.iter().take(count) {
            publisher.ahead.fetch_add(SLEEP, Ordering::Relaxed);
            sleep(Duration::from_secs(1) / rate).await;
        }
        self.start.counted = Instant::now();
    }

    /// Begins a scenario. What the last one left to do belongs to that one.
    async fn begin(&mut self) {
        sleep(Duration::from_secs(5)).await;
        Cost::default().read(&mut self.offset);
        let warnings = self.warnings().await.len();
        let cpu = self.kwok.cpu_seconds();
        let mut seen = self.seen.lock().unwrap();
        (seen.most, seen.gone) = (0, 0);
        seen.changed.clear();
        let (now, shown) = (Instant::now(), seen.verdicts.clone());
        self.start = Start { at: now, counted: now, shown, etcd_bytes: cost::etcd_bytes(), warnings, cpu };
    }

    /// Ends a scenario as soon as it is `done`, and begins the next. `changed` verdicts and `warnings` are right.
    async fn end(
        &mut self,
        name: &str,
        changed: usize,
        warnings: usize,
        done: impl Fn(&Self) -> bool,
    ) -> Cost {
        while !done(self) && self.start.counted.elapsed() < LONGEST {
            sleep(Duration::from_millis(200)).await;
        }
        let took = self.start.counted.elapsed();
        // Events follow the Node, and the quota's status follows the pods.
        sleep(Duration::from_secs(5)).await;
        let (most_pods, changed_verdicts) = {
            let seen = self.seen();
            (seen.most, seen.changed.len())
        };
        let mut cost = Cost {
            took,
            span: self.start.at.elapsed(),
            bytes: cost::etcd_bytes() - self.start.etcd_bytes,
            warnings: self.warnings().await.split_off(self.start.warnings),
            cpu: [0, 1].map(|of| {
                let (before, now) = (self.start.cpu[of], self.kwok.cpu_seconds()[of]);
                // An API server that was started again begins at 0.
                if now < before { now } else { now - before }
            }),
            most_pods,
            changed: changed_verdicts,
            ..Cost::default()
        };
        cost.read(&mut self.offset);
        self.all_met &= cost.print(name, changed, warnings);
        self.begin().await;
        cost
    }

    /// The texts of the events of type Warning about Nodes.
    async fn warnings(&self) -> Vec<String> {
        let query = "fieldSelector=type%3DWarning%2CinvolvedObject.kind%3DNode";
        let events = self.admin.get(&format!("/api/v1/namespaces/default/events?{query}")).await;
        events["items"].as_array().unwrap().iter().map(|event| event["message"].to_string()).collect()
    }
}

impl Publisher {
    async fn end(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            let _ = stop.send(());
            task.await.unwrap();
        }
    }

    fn start(&mut self, config: &Config, machine: &Machine) {
        let tick = Duration::from_secs(config.tick_seconds);
        let (health, ahead) = (Arc::new(Health::new(tick)), Arc::clone(&self.ahead));
        let agent = Agent {
            api: Api::new(client::client(&self.token), Arc::<Health>::clone(&health)),
            identity: self.identity.clone(),
            config: config.clone(),
            root: HostRoot::new(machine.path()),
            tick,
            clock: Box::new(move || {
                Timestamp::now() + SignedDuration::from_secs(ahead.load(Ordering::Relaxed))
            }),
            random: Random::of_process(),
            health,
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(agent, async {
            let _ = stopped.await;
        }));
        self.running = Some((stop, task));
    }
}

/// The resident memory of this process, in KiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
