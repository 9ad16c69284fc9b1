//! A simulated world for the reconciler. In every test it asserts what must always be true.

use crate::reconcile::refusal::Call;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use serde_json::{Value, json};

use super::super::*;
// The tests of the reconciler use the re-exported names.
pub(in super::super) use crate::config::Config;
use crate::probe_pod::Asked;
use crate::{names, pod_outcome};
use hugeprobe_domain::catalogue::{self, HP501, HP603};
use hugeprobe_domain::check::{Because, CheckId, Finding, Outcome};
use hugeprobe_domain::compact::{Container, Message};
pub(in super::super) use hugeprobe_domain::inventory::Inventory;
use hugeprobe_domain::inventory::{Host, NumaPool, Pool};
use hugeprobe_domain::merge::{Ending, WorkerReport};
use hugeprobe_domain::part::Part;
use hugeprobe_domain::plan::Role;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::sharing::AGREED;
pub(in super::super) use hugeprobe_domain::size::PageSize;

/// What happens to probe pods.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Fate {
    /// Both containers end with a report with this result.
    Reports(&'static str),
    /// As [`Fate::Reports`], but the messages are forged and not valid reports.
    Forges,
    /// It stays Pending because it lacks pages.
    Pending,
    /// It stays Pending because it lacks CPU.
    NoCpu,
    /// No scheduler processes it.
    Unseen,
    /// It is scheduled, but an image is missing.
    NoImage,
    /// The kubelet rejects it with this reason.
    Refused(&'static str),
    /// It runs and is then preempted.
    Preempted,
    /// It runs forever.
    Hangs,
}

/// A pod and the time of its creation.
#[derive(Debug, Clone)]
pub(in super::super) struct Made {
    pub(in super::super) pod: Pod,
    at: i64,
    fate: Fate,
    seen: u8,
    going: Option<i64>,
}

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

    fn act(&mut self, action: Action) -> Option<Observation> {
        let call = match &action {
            Action::CreatePod(_) => Call::CreatePod,
            Action::DeletePod { .. } => Call::DeletePod,
            Action::ListPods => Call::ListPods,
            Action::Apply(_) => Call::Apply,
            Action::Emit(_) => Call::Emit,
            Action::Round { .. } => return None,
            Action::WakeAt(time) => {
                assert!(*time > self.now(), "it would turn in circles");
                self.wake = *time;
                return None;
            }
        };
        let refusal = self.outage.clone().or_else(|| self.refuses.get(&call).cloned());
        Some(match action {
            Action::CreatePod(pod) => Observation::Done(self.create(*pod, refusal)),
            Action::DeletePod { name, uid } => {
                let result = refusal.map_or(Ok(()), Err);
                if let Some(made) =
                    self.pods.get_mut(&name).filter(|made| result.is_ok() && made.uid() == uid)
                {
                    made.going.get_or_insert(self.time + 1);
                }
                Observation::Done(Done::Deleted { uid, result })
            }
            Action::ListPods => match refusal {
                Some(refusal) => Observation::Done(Done::Listed(refusal)),
                None => Observation::Pods(self.pods.values().map(|made| made.pod.clone()).collect()),
            },
            Action::Apply(body) => {
                self.tries += 1;
                Observation::Done(Done::Applied(self.apply(&body, refusal).map(Box::new)))
            }
            Action::Emit(event) => {
                let name = event.metadata.name.clone().unwrap();
                if refusal.is_none() {
                    // Two agents may record the same change in the same second of this world. The second event then
                    // has a name that exists already, which counts as a success. A single agent must not record a
                    // change twice.
                    let (before, own) = self.events.split_at(self.told_before);
                    assert!(!own.contains(&event), "told twice");
                    if !before.contains(&event) {
                        self.events.push(*event);
                    }
                }
                Observation::Done(Done::Emitted { name, result: refusal.map_or(Ok(()), Err) })
            }
            Action::Round { .. } | Action::WakeAt(_) => return None,
        })
    }

    fn create(&mut self, mut pod: Pod, refusal: Option<Refusal>) -> Done {
        let name = pod.metadata.name.clone().unwrap();
        if let Some(refusal) = refusal {
            return Done::Created { name, result: Err(refusal) };
        }
        if self.pods.contains_key(&name) {
            return Done::Created { name, result: Err(Refusal::Exists) };
        }
        self.made += 1;
        self.created += 1;
        pod.metadata.uid = Some(format!("pod-{}", self.made));
        let made = Made { pod: pod.clone(), at: self.time, fate: self.fate.clone(), seen: 0, going: None };
        self.pods.insert(name.clone(), made);
        if self.fate == Fate::Reports("pass") {
            self.passed.insert(self.truth(&pod.metadata.labels.as_ref().unwrap()[names::POD_SIZE]));
        }
        Done::Created { name, result: Ok(Box::new(pod)) }
    }

    /// Returns what a verdict about a size applies to: boot, size and pages.
    fn truth(&self, text: &str) -> (String, String, u64) {
        let boot = self.last_read.host.boot_id.known().cloned().unwrap_or_default();
        let pages = self.last_read.pool(size(text)).and_then(Pool::persistent).unwrap_or(0);
        (boot, text.to_owned(), pages)
    }

    /// Records that a probe of this size passed on the current state.
    pub(in super::super) fn passes(&mut self, text: &str) {
        self.passed.insert(self.truth(text));
    }

    fn apply(&mut self, body: &Value, refusal: Option<Refusal>) -> Result<Node, Refusal> {
        self.hold_to_truth(body);
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let Some(node) = &mut self.node else {
            return Err(Refusal::Gone("nodes \"node-a\" not found".into()));
        };
        if node["metadata"]["uid"] != body["metadata"]["uid"] {
            return Err(Refusal::Conflict("uid".into()));
        }
        // Keys of the previous apply that are missing from this one are removed. Labels of other clients stay.
        for kind in ["annotations", "labels"] {
            let pointer = format!("/metadata/managedFields/0/fieldsV1/f:metadata/f:{kind}");
            let owned: Vec<String> = node
                .pointer(&pointer)
                .and_then(Value::as_object)
                .map_or(vec![], |keys| keys.keys().cloned().collect());
            let mut all = node["metadata"][kind].as_object().cloned().unwrap_or_default();
            owned.iter().filter_map(|key| key.strip_prefix("f:")).for_each(|key| drop(all.remove(key)));
            all.extend(body["metadata"][kind].as_object().unwrap().clone());
            node["metadata"][kind] = Value::Object(all);
        }
        let fields = |kind: &str| -> Value {
            body["metadata"][kind]
                .as_object()
                .unwrap()
                .keys()
                .map(|key| (format!("f:{key}"), json!({})))
                .collect()
        };
        node["metadata"]["managedFields"] = json!([{
            "manager": "hugeprobe", "operation": "Apply", "subresource": "status",
            "fieldsV1": {"f:metadata": {"f:annotations": fields("annotations"), "f:labels": fields("labels")}},
        }]);
        node["status"]["conditions"] = body["status"]["conditions"].clone();
        self.version += 1;
        node["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.applies.push((self.time, body.clone()));
        Ok(parsed(self.node.as_ref().unwrap()))
    }

    /// Asserts that no size passes without a probe that passed on the same boot and number of pages, and that no
    /// annotation is too long.
    fn hold_to_truth(&self, body: &Value) {
        let says = |key: &str| body["metadata"]["labels"][key].as_str() == Some("pass");
        for text in [SMALL, LARGE] {
            if says(&names::size_label(size(text))) {
                assert!(
                    self.passed.contains(&self.truth(text)),
                    "{text} passes without a probe that did: {body}"
                );
            }
        }
        if says(names::VERDICT) {
            assert!([SMALL, LARGE].iter().any(|text| says(&names::size_label(size(text)))), "{body}");
        }
        for (key, value) in body["metadata"]["annotations"].as_object().unwrap() {
            assert!(key.starts_with(names::PREFIX) && value.as_str().unwrap().len() <= 140, "{key}: {value}");
        }
        assert_eq!(body["metadata"]["name"], "node-a");
        assert!(body["metadata"]["uid"].as_str().unwrap().starts_with("uid-"));
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

impl Made {
    fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap()
    }

    /// Changes the pod's fate from now on.
    pub(in super::super) fn turn(&mut self, fate: Fate) {
        self.fate = fate;
        self.seen = 0;
    }

    fn go_on(&mut self, stage: u8) {
        let status = match (&self.fate, stage) {
            (Fate::Pending, _) => {
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient hugepages-1Gi."}]})
            }
            (Fate::NoCpu, _) => {
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}]})
            }
            (Fate::Unseen, _) => json!({"phase": "Pending"}),
            (Fate::Refused(reason), _) => json!({"phase": "Failed", "reason": reason, "message": "no"}),
            (Fate::NoImage, _) => containers(&json!({"waiting": {"reason": "ImagePullBackOff"}}), "Pending"),
            (Fate::Reports(word), 2) => {
                let size = self.pod.metadata.labels.as_ref().unwrap()[names::POD_SIZE].clone();
                ended(["frontend", "backend"].map(|side| message(side, &size, self.uid(), word)))
            }
            (Fate::Forges, 2) => {
                ended([r#"{"v":2,"verdict":"pass","checks":{},"workers":{}}"#.into(), "pass".into()])
            }
            _ => containers(&json!({"running": {}}), "Running"),
        };
        self.pod.status = Some(serde_json::from_value(status).unwrap());
    }
}

/// Returns the message of a container in a run with this result. Any other word is returned as it is and is not a
/// valid message.
pub(in super::super) fn message(side: &str, text: &str, run: &str, word: &str) -> String {
    if !matches!(word, "pass" | "fail" | "unknown") {
        return word.to_owned();
    }
    let container = if side == "frontend" { Container::Frontend } else { Container::Backend };
    let size = size(text);
    let asked = Asked { size, pages: 2, frontend_pays: false, need: Vec::new(), memory_pays: false };
    let plan = asked.probe(&config("")).plan();
    let said = |id: CheckId, role: Option<Role>| {
        let size = catalogue::find(id).filter(|check| check.per_size).map(|_| size);
        if word == "fail" && id == HP603 && matches!(role, Some(Role::Backend(_))) {
            let text = "not seen on the other side";
            return Finding::not_pass(id, size, Outcome::Fail, text, Because::new(text, text));
        }
        if word == "unknown" && id == HP501 && role == Some(Role::Hugetlbfs) {
            let text = "no page to be had";
            return Finding::not_pass(id, size, Outcome::Unknown, text, Because::new(text, text));
        }
        Finding::pass(id, size, "fine").with(AGREED, json!({"id": id}))
    };
    let runs = |role: &Role| {
        plan.items
            .iter()
            .flat_map(|item| &item.roles)
            .any(|duty| duty.role == *role && duty.not_run.is_none())
    };
    let worker = |role: Role| WorkerReport {
        role,
        size: Some(size),
        part: Ok(Part {
            findings: (plan.items.iter())
                .filter(|item| item.roles.iter().any(|duty| duty.role == role && duty.not_run.is_none()))
                .map(|item| said(item.id, Some(role)))
                .collect(),
            last_step: None,
            ended: true,
        }),
        ending: Ending::Exited(0),
        log: String::new(),
    };
    let message = Message {
        container,
        size,
        run: run.parse().unwrap(),
        findings: container.inspections().iter().map(|id| said(*id, None)).collect(),
        workers: container.roles().filter(runs).map(worker).collect(),
    };
    message.write()
}

fn containers(state: &Value, phase: &str) -> Value {
    let scheduled = json!([{"type": "PodScheduled", "status": "True"}]);
    json!({"phase": phase, "conditions": scheduled, "containerStatuses": [
        status("frontend", state), status("backend", state),
    ]})
}

fn status(name: &str, state: &Value) -> Value {
    json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state})
}

fn ended(messages: [String; 2]) -> Value {
    let [frontend, backend] = messages
        .map(|message| json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": message}}));
    json!({"phase": "Succeeded", "containerStatuses": [status("frontend", &frontend), status("backend", &backend)]})
}

pub(in super::super) fn parsed(node: &Value) -> Node {
    serde_json::from_value(node.clone()).unwrap()
}

pub(in super::super) fn identity() -> Identity {
    let [node, pod, pod_uid, namespace] = ["node-a", "agent-1", "agent-uid", "hugeprobe"].map(str::to_owned);
    Identity { node, pod, pod_uid, namespace }
}
