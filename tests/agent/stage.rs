//! An agent on a machine of files, before an API server that is none, in a time that passes at once.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hugeprobe::kubernetes::agent::health::Health;
use hugeprobe::kubernetes::agent::run::{Agent, run};
use hugeprobe::kubernetes::api::Api;
use hugeprobe::kubernetes::backoff::Random;
use hugeprobe::kubernetes::config::Config;
use hugeprobe::kubernetes::reconcile::Identity;
use hugeprobe::linux::root::HostRoot;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::world::{NAMESPACE, NODE, World};

pub(crate) const BOOT: &str = "6a1d2c3e-0000-4fff-8abc-0123456789ab";
pub(crate) const OTHER_BOOT: &str = "6a1d2c3e-0000-4fff-8abc-0123456789ac";
pub(crate) const TICK: Duration = Duration::from_secs(10);
/// What the agent's clock shows when it begins.
pub(crate) const EPOCH: &str = "2026-11-23T05:00:00Z";

/// What all waits of agents follow from: `HUGEPROBE_SEED`, or any number, and printed for the case that the test fails.
fn seed() -> u64 {
    let drawn = || Random::of_process().next();
    let seed = std::env::var("HUGEPROBE_SEED").map_or_else(|_| drawn(), |text| text.parse().unwrap());
    println!("HUGEPROBE_SEED={seed}");
    seed
}

/// A machine of files.
pub(crate) struct Machine(tempfile::TempDir);

/// An agent that runs.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) machine: Machine,
    pub(crate) health: Arc<Health>,
    /// Seconds by which the clock is wrong.
    pub(crate) clock_off: Arc<AtomicI64>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Machine {
    /// With so many pages of 2Mi, all free.
    pub(crate) fn new(pages: u64) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("proc/sys/kernel/random/boot_id", BOOT);
        machine.write("proc/sys/kernel/hostname", NODE);
        machine.write("proc/cmdline", "quiet");
        machine.write("proc/cpuinfo", "flags : pdpe1gb\n");
        machine.write("proc/meminfo", "Hugepagesize:       2048 kB\n");
        machine.write("proc/self/mountinfo", "1 0 0:1 / / rw - overlay overlay rw\n");
        machine.write("sys/devices/system/node/online", "0");
        for file in ["surplus", "nr_overcommit", "resv"] {
            machine.pool(file, 0);
        }
        machine.set_pages(pages);
        machine
    }

    pub(crate) fn set_pages(&self, pages: u64) {
        self.pool("nr", pages);
        self.pool("free", pages);
    }

    /// A counter of the pool: `free`, `nr`.
    pub(crate) fn pool(&self, counter: &str, pages: u64) {
        self.write(
            &format!("sys/kernel/mm/hugepages/hugepages-2048kB/{counter}_hugepages"),
            &pages.to_string(),
        );
        if ["nr", "free", "surplus"].contains(&counter) {
            let node = "sys/devices/system/node/node0/hugepages/hugepages-2048kB";
            self.write(&format!("{node}/{counter}_hugepages"), &pages.to_string());
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // By rename, for sysfs never shows half a value.
        let draft = path.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, path).unwrap();
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

impl Stage {
    /// An agent with the chart's own configuration but for `changes`.
    pub(crate) fn begin(world: World, machine: Machine, changes: &Value) -> Self {
        Self::begin_as(world, machine, changes, "agent-1")
    }

    /// The same under the name of another pod.
    pub(crate) fn begin_as(world: World, machine: Machine, changes: &Value, pod: &str) -> Self {
        let mut config = json!({"probe": {"image": "hugeprobe:test"}, "renewMinutes": 1440});
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let config = Config::parse(&config.to_string()).unwrap();
        let health = Arc::new(Health::new(TICK));
        let clock_off = Arc::new(AtomicI64::new(0));
        let (begin, off) = (Instant::now(), Arc::clone(&clock_off));
        let epoch: Timestamp = EPOCH.parse().unwrap();
        let agent = Agent {
            api: Api::new(world.client(), Arc::<Health>::clone(&health)),
            identity: Identity {
                node: NODE.into(),
                pod: pod.into(),
                pod_uid: format!("uid-of-{pod}"),
                namespace: NAMESPACE.into(),
            },
            config,
            root: HostRoot::new(machine.path()),
            tick: TICK,
            clock: Box::new(move || {
                let passed = SignedDuration::try_from(begin.elapsed()).unwrap();
                epoch + passed + SignedDuration::from_secs(off.load(Ordering::Relaxed))
            }),
            random: Random::new(seed()),
            health: Arc::clone(&health),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(agent, async {
            let _ = stopped.await;
        }));
        Self { world, machine, health, clock_off, stop: Some(stop), task }
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        sleep(time).await;
    }

    /// Waits until `there` is so; says `what` if it does not come about within an hour.
    pub(crate) async fn until(&self, what: &str, there: impl Fn(&Self) -> bool) {
        let waited = timeout(Duration::from_secs(3600), async {
            while !there(self) {
                sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what} did not come about; seen: {}", self.seen());
    }

    /// Waits for the verdict that is meant to be on the Node.
    pub(crate) async fn until_verdict(&self, verdict: &str) {
        self.until(&format!("verdict {verdict}"), |stage| {
            stage.world.annotation("verdict").as_deref() == Some(verdict)
        })
        .await;
    }

    /// SIGTERM. How long it took to end.
    pub(crate) async fn stop(mut self) -> (World, Machine, Duration) {
        let began = Instant::now();
        let _ = self.stop.take().unwrap().send(());
        self.task.await.unwrap();
        (self.world, self.machine, began.elapsed())
    }

    /// SIGKILL.
    pub(crate) async fn kill(self) -> (World, Machine) {
        self.task.abort();
        let _ = self.task.await;
        (self.world, self.machine)
    }

    pub(crate) fn page(&self, path: &str) -> (bool, String) {
        let page = self.health.page(path).unwrap();
        (page.well, page.text)
    }

    /// All requests so far, for a test that failed.
    pub(crate) fn seen(&self) -> String {
        let state = self.world.state();
        let lines: Vec<_> = state.seen.iter().map(|seen| format!("{} {}", seen.what, seen.code)).collect();
        lines.join("\n")
    }
}
