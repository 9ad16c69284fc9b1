//! A simulated world for the reconciler: a machine, its Node, and time. In every test it asserts what must always be
//! true.

mod api_server;
mod pods;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use serde_json::{Value, json};

use super::super::refusal::Call;
use super::super::*;
// The tests of the reconciler use the re-exported names.
pub(in super::super) use self::pods::{Fate, Made, message};
pub(in super::super) use crate::config::Config;
use crate::{names, pod_outcome};
pub(in super::super) use hugeprobe_domain::inventory::Inventory;
use hugeprobe_domain::inventory::{Host, NumaPool, Pool};
use hugeprobe_domain::reading::Reading;
pub(in super::super) use hugeprobe_domain::size::PageSize;

/// The simulated world.
#[derive(Debug)]
pub(in super::super) struct World {
    pub(in super::super) reconciler: Reconciler,
    pub(in super::super) config: Config,
    /// Seconds since the start. The wall clock differs from it by `skew`.
    pub(in super::super) time: i64,
    pub(in super::super) skew: i64,
    pub(in super::super) machine: Inventory,
    last_read: Inventory,
    pub(in super::super) usage: Option<PodUse>,
    pub(in super::super) node: Option<Value>,
    version: u64,
    /// The last version of the Node that the watch delivered.
    told: u64,
    pub(in super::super) pods: BTreeMap<String, Made>,
    pub(in super::super) fate: Fate,
    /// The API server's response to every call (`outage`), or to calls of one kind (`refuses`).
    pub(in super::super) outage: Option<Refusal>,
    pub(in super::super) refuses: BTreeMap<Call, Refusal>,
    /// Every successful apply and its time.
    pub(in super::super) applies: Vec<(i64, Value)>,
    pub(in super::super) tries: usize,
    pub(in super::super) events: Vec<Event>,
    /// How many of the events the previous agents recorded.
    told_before: usize,
    pub(in super::super) created: usize,
    /// Boot, size and pages of each probe that passed.
    passed: BTreeSet<(String, String, u64)>,
    wake: Timestamp,
    made: u64,
}

pub(in super::super) const SMALL: &str = "2Mi";

pub(in super::super) const LARGE: &str = "1Gi";

pub(in super::super) fn size(text: &str) -> PageSize {
    text.parse().unwrap()
}

/// Returns a pool of this many pages, all of them free.
pub(in super::super) fn pool(text: &str, pages: u64) -> Pool {
    let known = Reading::Known;
    let node = NumaPool { node: 0, total: known(pages), free: known(pages), surplus: known(0) };
    Pool {
        size: size(text),
        total: known(pages),
        free: known(pages),
        reserved: known(0),
        surplus: known(0),
        overcommit: known(0),
        mempolicy: Reading::Absent,
        numa: vec![node],
    }
}

pub(in super::super) fn machine(pools: &[(&str, u64)]) -> Inventory {
    Inventory {
        host: Host { boot_id: Reading::Known("boot-1".into()), ..Host::default() },
        pools: Reading::Known(pools.iter().map(|(text, pages)| pool(text, *pages)).collect()),
        default_size: Reading::Known(size(SMALL)),
        cpu_1gi: Reading::Known(true),
        hardware_corrupted_bytes: Reading::Known(0),
        ..Inventory::default()
    }
}

pub(in super::super) fn config(more: &str) -> Config {
    let text = format!(r#"{{"probe": {{"image": "hugeprobe"}} {more}}}"#);
    Config::parse(&text).unwrap()
}

// === impl World ===
impl World {
    /// Returns the world of a node with these pools, which the kubelet has counted. No observation has been made yet.
    pub(in super::super) fn new(pools: &[(&str, u64)], config: Config) -> Self {
        let mut world = Self {
            reconciler: Reconciler::new(identity(), config.clone()),
            config,
            time: 0,
            skew: 0,
            machine: machine(pools),
            last_read: machine(pools),
            usage: None,
            node: None,
            version: 100,
            told: 0,
            pods: BTreeMap::new(),
            fate: Fate::Reports("pass"),
            outage: None,
            refuses: BTreeMap::new(),
            applies: Vec::new(),
            tries: 0,
            events: Vec::new(),
            told_before: 0,
            created: 0,
            passed: BTreeSet::new(),
            wake: Timestamp::MIN,
            made: 0,
        };
        world.register("uid-1");
        world
    }

    /// Registers the Node as the kubelet does, and counts the pages.
    pub(in super::super) fn register(&mut self, uid: &str) {
        self.version += 1;
        self.node = Some(json!({
            "metadata": {"name": "node-a", "uid": uid, "resourceVersion": self.version.to_string(), "labels": {"pool": "nfv"}},
            "status": {"capacity": {}},
        }));
        self.restart_kubelet();
    }

    /// Deletes the Node.
    pub(in super::super) fn delete_node(&mut self) {
        self.version += 1;
        self.node = None;
    }

    /// Restarts the kubelet, which counts the pages again.
    pub(in super::super) fn restart_kubelet(&mut self) {
        let pools = self.machine.pools.known().cloned().unwrap_or_default();
        let capacity: BTreeMap<_, _> = pools
            .iter()
            .map(|pool| {
                (pool.size.resource_name(), (pool.persistent().unwrap_or(0) * pool.size.bytes()).to_string())
            })
            .collect();
        self.change_node(|node| node["status"]["capacity"] = json!(capacity));
    }

    /// Sets the number of pages of a pool.
    pub(in super::super) fn set_pool(&mut self, text: &str, pages: u64) {
        let pools = self.machine.pools.known_mut().unwrap();
        pools.retain(|pool| pool.size != size(text));
        pools.push(pool(text, pages));
        pools.sort_by_key(|pool| pool.size);
    }

    pub(in super::super) fn pool(&mut self, text: &str) -> &mut Pool {
        self.machine.pools.known_mut().unwrap().iter_mut().find(|pool| pool.size == size(text)).unwrap()
    }

    /// Writes to the Node as another client.
    pub(in super::super) fn change_node(&mut self, change: impl FnOnce(&mut Value)) {
        self.version += 1;
        if let Some(node) = &mut self.node {
            change(node);
            node["metadata"]["resourceVersion"] = json!(self.version.to_string());
        }
    }

    /// Writes an annotation as another client, which becomes its owner.
    pub(in super::super) fn forge(&mut self, key: &str, value: &str) {
        self.change_node(|node| {
            node["metadata"]["annotations"][key] = json!(value);
            if let Some(keys) =
                node.pointer_mut("/metadata/managedFields/0/fieldsV1/f:metadata/f:annotations")
            {
                keys.as_object_mut().unwrap().remove(&format!("f:{key}"));
            }
        });
    }

    /// Replaces the agent by a new one.
    pub(in super::super) fn restart_agent(&mut self) {
        self.reconciler = Reconciler::new(identity(), self.config.clone());
        self.wake = Timestamp::MIN;
        self.told = 0;
        self.told_before = self.events.len();
    }

    /// Reboots the machine with this boot id. Its pods are gone, and a new agent starts.
    pub(in super::super) fn reboot(&mut self, boot: &str) {
        self.machine.host.boot_id = Reading::Known(boot.to_owned());
        self.pods.clear();
        self.restart_agent();
    }

    pub(in super::super) fn now(&self) -> Timestamp {
        let epoch = Timestamp::from_second(1_800_000_000).unwrap();
        epoch.checked_add(SignedDuration::from_secs(self.time + self.skew)).unwrap()
    }

    /// Lets this many seconds pass.
    pub(in super::super) fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            if self.wake == Timestamp::MIN {
                self.begin();
            }
            self.time += 1;
            self.kubelet();
            if self.outage.is_none() && self.told != self.version {
                self.told = self.version;
                self.tell(Observation::Node(self.node.clone().map(|node| Box::new(parsed(&node)))));
            }
            if self.time % 10 == 0 {
                self.read();
            }
            if self.now() >= self.wake {
                self.tell(Observation::Tick);
            }
        }
    }

    fn begin(&mut self) {
        self.wake = Timestamp::MAX;
        self.told = self.version;
        self.read();
        self.tell(Observation::Node(self.node.clone().map(|node| Box::new(parsed(&node)))));
        self.tell(Observation::Pods(self.pods.values().map(|made| made.pod.clone()).collect()));
    }

    /// Reads the machine for the agent. The agent's next verdict is about this state.
    fn read(&mut self) {
        self.last_read = self.machine.clone();
        self.tell(Observation::Machine(Box::new(self.machine.clone())));
    }

    /// Passes an observation to the reconciler and executes its actions.
    pub(in super::super) fn tell(&mut self, observation: Observation) {
        if let Some(usage) = self.usage.clone() {
            self.reconciler.observed.usage = Some(usage);
        }
        let mut waiting = vec![observation];
        while let Some(observation) = waiting.pop() {
            let actions = self.reconciler.step(self.now(), self.time.unsigned_abs(), observation);
            assert!(matches!(actions.last(), Some(Action::WakeAt(_))));
            for action in actions {
                waiting.extend(self.act(action));
            }
        }
        assert!(
            self.pods.values().filter(|made| !pod_outcome::is_over(&made.pod)).count() <= 1,
            "two pods at once"
        );
    }

    /// Advances the pods, and delivers the watch events.
    fn kubelet(&mut self) {
        let mut told = Vec::new();
        for made in self.pods.values_mut() {
            let age = self.time - made.at;
            if made.going.is_some_and(|going| self.time >= going) {
                told.push(Observation::PodGone { uid: made.uid().to_owned() });
                made.seen = 255;
                continue;
            }
            let stage = u8::try_from(age.clamp(0, 2)).unwrap();
            if stage > made.seen {
                made.seen = stage;
                made.go_on(stage);
                if made.fate == Fate::Preempted && stage == 2 {
                    told.push(Observation::PodGone { uid: made.uid().to_owned() });
                    made.seen = 255;
                } else {
                    told.push(Observation::Pod(Box::new(made.pod.clone())));
                }
            }
        }
        self.pods.retain(|_, made| made.seen != 255);
        // During an outage the watch is broken. It starts again with a list.
        if self.outage.is_none() {
            told.into_iter().for_each(|observation| self.tell(observation));
        }
    }

    /// Ends the outage. The watches start again.
    pub(in super::super) fn end_outage(&mut self) {
        self.outage = None;
        self.told = 0;
        self.tell(Observation::Pods(self.pods.values().map(|made| made.pod.clone()).collect()));
    }

    // === what the Node shows ===

    pub(in super::super) fn annotation(&self, key: &str) -> Option<&str> {
        self.node.as_ref()?["metadata"]["annotations"].get(key)?.as_str()
    }

    pub(in super::super) fn label(&self, key: &str) -> Option<&str> {
        self.node.as_ref()?["metadata"]["labels"].get(key)?.as_str()
    }

    pub(in super::super) fn verdict(&self) -> &str {
        self.annotation(names::VERDICT).unwrap_or("")
    }

    pub(in super::super) fn condition(&self) -> Option<&Value> {
        self.node.as_ref()?["status"]["conditions"].get(0)
    }

    pub(in super::super) fn reasons(&self) -> Vec<&str> {
        self.events.iter().map(|event| event.reason.as_deref().unwrap()).collect()
    }
}

pub(in super::super) fn parsed(node: &Value) -> Node {
    serde_json::from_value(node.clone()).unwrap()
}

pub(in super::super) fn identity() -> Identity {
    let [node, pod, pod_uid, namespace] = ["node-a", "agent-1", "agent-uid", "hugeprobe"].map(str::to_owned);
    Identity { node, pod, pod_uid, namespace }
}
