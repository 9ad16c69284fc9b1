//! Measures what the agent costs. An hour of ticks runs within seconds, in a separate process, against the mock server
//! of tests/agent over a real socket. Prints the lines of docs/internals/benchmarks.md. Panics if a target is missed.
//!
//! `make bench` builds it as the image is built, because most of the memory is the program's own file: `cargo bench` makes
//! a larger program, and shared libraries that the image does not have.
//!
//! The numbers include neither TLS nor pods. A case of tests/cluster measures the agent of the image with both.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)] // reports by panicking

#[allow(dead_code)]
#[path = "../tests/agent/kubelet.rs"]
mod kubelet;
#[allow(dead_code)]
#[path = "../tests/agent/stage.rs"]
mod stage;
#[allow(dead_code)]
#[path = "../tests/agent/world/mod.rs"]
mod world;

use std::convert::Infallible;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hugeprobe::kubernetes::agent::health::Health;
use hugeprobe::kubernetes::agent::http;
use hugeprobe::kubernetes::agent::run::{Agent, run};
use hugeprobe::kubernetes::api::Api;
use hugeprobe::kubernetes::backoff::Random;
use hugeprobe::kubernetes::config::Config;
use hugeprobe::kubernetes::reconcile::Identity;
use hugeprobe::linux::root::HostRoot;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use kubelet::{Fate, play};
use stage::{BOOT, Machine};
use world::{NAMESPACE, NODE, World};

/// How long a tick of ten seconds takes here.
const TICK: Duration = Duration::from_millis(20);
/// How much faster than real time that is.
const SPEED: i32 = 500;
const HOUR: u32 = 360;
/// The targets.
const RSS_KIB: u64 = 8 << 10;
const MILLICORES: f64 = 1.0;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let arguments: Vec<String> = env::args().collect();
    match arguments.iter().position(|word| word == "agent") {
        Some(at) => runtime.block_on(agent(&arguments[at + 1], &arguments[at + 2])),
        None => runtime.block_on(measure()),
    }
}

/// Runs the agent: the process that is measured.
async fn agent(server: &str, root: &str) {
    let health = Arc::new(Health::new(TICK));
    let mut config = kube::Config::new(server.parse().unwrap());
    config.default_retry = false;
    let client = kube::Client::try_from(config).unwrap();
    let (begin, epoch) = (Instant::now(), Timestamp::now());
    let site: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let pages = Arc::clone(&health);
    let listener = http::listen(site).unwrap();
    tokio::spawn(http::serve(listener, Arc::new(move |path: &str| pages.page(path))));
    let agent = Agent {
        api: Api::new(client, Arc::<Health>::clone(&health)),
        identity: Identity {
            node: NODE.into(),
            pod: "agent-1".into(),
            pod_uid: "uid-of-agent-1".into(),
            namespace: NAMESPACE.into(),
        },
        config: Config::parse(
            &json!({"probe": {"image": "hugeprobe:bench"}, "renewMinutes": 1440}).to_string(),
        )
        .unwrap(),
        root: HostRoot::new(root),
        tick: TICK,
        clock: Box::new(move || epoch + SignedDuration::try_from(begin.elapsed()).unwrap() * SPEED),
        random: Random::new(0),
        health,
    };
    run(agent, std::future::pending()).await;
}

async fn measure() {
    let world = World::new(BOOT, 512);
    world.change_node(fatten);
    play(&world, Fate::Pass, TICK);
    let machine = Machine::new(512);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, world.clone()));
    let child = Command::new(env::current_exe().unwrap())
        .args(["agent", &address])
        .arg(machine.path())
        .spawn()
        .unwrap();
    let child = Ended(child);

    while world.annotation("verdict").as_deref() != Some("pass") {
        sleep(TICK).await;
    }
    sleep(TICK * 10).await;
    let (cpu, kept) =
        (cpu_seconds(&child), count(&world, "patch nodes/status") + count(&world, "create events"));
    for tick in 0..HOUR {
        // Free pages change at each tick. Every five minutes the kubelet sends its heartbeat, and the watch ends.
        machine.pool("free", 500 + u64::from(tick % 8));
        if tick % 30 == 29 {
            world.change_node(|node| {
                let time = format!("2026-01-31T12:{:02}:00Z", tick / 6);
                node["status"]["conditions"][0]["lastHeartbeatTime"] = time.into();
            });
            world.end_watches();
        }
        sleep(TICK).await;
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.0.id())).unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let millicores = (cpu_seconds(&child) - cpu) / 3.6;
    let (applies, events) = (count(&world, "patch nodes/status"), count(&world, "create events"));
    println!("agent, an hour of ticks after a first verdict");
    println!(
        "  resident memory        {:.1} MiB, {:.1} MiB of it anonymous, at most {:.1} MiB",
        mib(field("VmRSS")),
        mib(field("RssAnon")),
        mib(field("VmHWM"))
    );
    println!("  threads                {}", field("Threads"));
    println!("  CPU                    {millicores:.2} millicores");
    println!(
        "  first verdict          {} apply, {} event, {} pod",
        applies,
        events,
        count(&world, "create pods")
    );
    println!("  writes after that      {}", applies + events - kept);
    let missed = [
        (field("VmRSS") > RSS_KIB, "resident memory"),
        (millicores > MILLICORES, "CPU"),
        ((applies, events) != (1, 1), "writes"),
        (field("Threads") != 1, "threads"),
    ];
    let missed: Vec<_> = missed.iter().filter(|(missed, _)| *missed).map(|(_, what)| *what).collect();
    assert!(missed.is_empty(), "missed: {}", missed.join(", "));
}

/// Makes a Node as big as those of cloud providers: tens of kilobytes, most of them for images.
fn fatten(node: &mut serde_json::Value) {
    let image = |number: u32| json!({"names": [format!("registry.example.com/team/image-{number}@sha256:{:064x}", number)], "sizeBytes": 1_000_000});
    node["status"]["images"] = (0..100).map(image).collect();
    node["metadata"]["managedFields"] =
        json!([{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {"f:images": {}}}}]);
}

async fn serve(listener: TcpListener, world: World) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let world = world.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: ::http::Request<hyper::body::Incoming>| {
                let world = world.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    Ok::<_, Infallible>(world.serve(::http::Request::from_parts(head, body)).await.unwrap())
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A process that is killed when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn count(world: &World, kind: &str) -> usize {
    world.tried(kind).len()
}

fn cpu_seconds(child: &Ended) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.0.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    f64::from(ticks) / 100.0
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap()) / 1024.0
}
