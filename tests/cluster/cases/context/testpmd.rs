//! The workloads that a verdict is about: a pod with two containers, testpmd in each, one the other's vhost-user backend; and a
//! pod with one testpmd that has two ports of the node's vswitch.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ovs::{self, Listens};
use super::pools::SMALL;
use super::{WORKLOADS, kubectl};

/// Pages of 2Mi that either side maps.
const PAGES: i64 = 8;

/// Pages of 2Mi that a pod of two wants.
pub(crate) const WANTS: i64 = 2 * PAGES;

/// How long frames may take to arrive, the start of the pod included; a pod that is not scheduled by then is not any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// What distinguishes one pair from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    /// The user of both, and the group that owns the volumes, as the agent's values have them; else root.
    pub(crate) is_restricted: bool,
    /// Whether the volumes belong to that group.
    pub(crate) has_fs_group: bool,
    /// Whether the backend has pages of its own.
    pub(crate) backend_has_limit: bool,
}

/// What became of a workload.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Frames arrived at the backend.
    pub(crate) works: bool,
    /// Why not, by the pod or by what either side printed.
    pub(crate) words: String,
}

/// A pair as a node with nothing wrong carries it.
pub(crate) const HEALTHY: Pair = Pair { is_restricted: false, has_fs_group: true, backend_has_limit: true };

// === impl Pair ===

impl Pair {
    /// Runs it: until frames arrive, a container ends, or the time is up.
    pub(crate) fn run(self) -> Outcome {
        outcome("testpmd in two containers", &self.pod(), &["backend", "frontend"])
    }

    fn pod(self) -> Value {
        let mut security = json!({});
        if self.is_restricted {
            security = json!({"runAsUser": 65532, "runAsGroup": 65532});
        }
        if self.has_fs_group {
            security["fsGroup"] = json!(65532);
        }
        let containers = json!([
            // It connects, over and over: either may be the first to be there.
            side("backend", &["net_vhost0,iface=/sockets/s,client=1"], "rxonly", self.backend_has_limit),
            side("frontend", &["net_virtio_user0,path=/sockets/s,server=1"], "txonly", true),
        ]);
        pod("testpmd", &security, &containers, &json!({"emptyDir": {}}))
    }
}

/// A vswitch of the node: testpmd on a vhost port whose socket, `s`, is in a directory of the node.
pub(crate) fn vswitch(directory: &str) -> Value {
    let containers = json!([side("vswitch", &["net_vhost0,iface=/sockets/s"], "io", true)]);
    let sockets = json!({"hostPath": {"path": directory, "type": "DirectoryOrCreate"}});
    pod("vswitch", &json!({}), &containers, &sockets)
}

/// Runs a testpmd with the ports `a` and `b` of the node's Open vSwitch. What it sends into one comes out of the other.
pub(crate) fn switched(listens: Listens) -> Outcome {
    let server = if listens == Listens::Workload { ",server=1" } else { "" };
    let devices = [(0, "a"), (1, "b")]
        .map(|(number, port)| format!("net_virtio_user{number},path=/sockets/{port}{server}"));
    // A single burst may be lost while testpmd starts, so it sends all the time.
    let containers = json!([side("testpmd", &devices.each_ref().map(String::as_str), "flowgen", true)]);
    let sockets = json!({"hostPath": {"path": ovs::DIRECTORY, "type": "Directory"}});
    let pod = pod("testpmd", &json!({}), &containers, &sockets);
    let outcome = outcome("testpmd with two ports of Open vSwitch", &pod, &["testpmd"]);
    if listens == Listens::Workload {
        // A testpmd that was killed while it waited leaves its sockets, with which the next one does not start.
        ovs::on_node(&format!("rm -f {0}/a {0}/b", ovs::DIRECTORY)).unwrap();
    }
    outcome
}

/// Runs a pod that is called `testpmd` until frames arrive in the first of its containers, one ends, or the time is up.
fn outcome(what: &str, pod: &Value, containers: &[&str]) -> Outcome {
    let made = kubectl::apply_for_now(pod);
    let begin = Instant::now();
    let outcome = loop {
        let pod = kubectl::get(&["pod", "testpmd", "--namespace", WORKLOADS]).unwrap_or_default();
        let said: Vec<String> = containers.iter().map(|container| log(container)).collect();
        if received(&said[0]) > 0 {
            break Outcome { works: true, words: format!("{} frames arrive", received(&said[0])) };
        }
        if let Some(words) = ended(&pod, &said).or_else(|| late(&pod, begin, &said)) {
            break Outcome { works: false, words };
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    println!("    {what}: {outcome}");
    drop(made);
    outcome
}

/// One testpmd on its ports.
fn side(name: &str, devices: &[&str], mode: &str, has_limit: bool) -> Value {
    let mut limits = json!({"memory": "256Mi"});
    if has_limit {
        limits[SMALL.resource()] = json!(SMALL.quantity(PAGES));
    }
    let megabytes = (2 * PAGES).to_string();
    let fixed = ["-l", "0-1", "--no-pci", "--huge-dir", "/hugepages", "--single-file-segments"];
    let own = ["-m", &megabytes, "--file-prefix", name];
    let mode = format!("--forward-mode={mode}");
    let devices = devices.iter().flat_map(|device| ["--vdev", device]);
    let application = ["--", "--total-num-mbufs=1025", "--stats-period=1", &mode, "--auto-start"];
    let arguments: Vec<&str> = fixed.into_iter().chain(own).chain(devices).chain(application).collect();
    json!({
        "name": name, "image": "localhost/testpmd:1", "imagePullPolicy": "Never",
        "args": arguments,
        "env": [{"name": "XDG_RUNTIME_DIR", "value": "/tmp"}],
        "resources": {"limits": limits, "requests": {"cpu": "50m"}},
        "volumeMounts": [
            {"name": "pages", "mountPath": "/hugepages"},
            {"name": "sockets", "mountPath": "/sockets"},
            {"name": "tmp", "mountPath": "/tmp", "subPath": name},
        ],
    })
}

fn pod(name: &str, security: &Value, containers: &Value, sockets: &Value) -> Value {
    let mut sockets = sockets.clone();
    sockets["name"] = json!("sockets");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": WORKLOADS},
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
            "securityContext": security,
            "containers": containers,
            "volumes": [
                {"name": "pages", "emptyDir": {"medium": "HugePages-2Mi"}},
                {"name": "tmp", "emptyDir": {}},
                sockets,
            ],
        }
    })
}

/// What a side printed; nothing if it never ran.
fn log(container: &str) -> String {
    kubectl::run(&["logs", "testpmd", "--namespace", WORKLOADS, "--container", container]).unwrap_or_default()
}

/// Frames by the counters that testpmd prints once a second.
fn received(said: &str) -> u64 {
    let counts = said.split("RX-packets: ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok());
    counts.max().unwrap_or(0)
}

/// Why it will not run any more: a container that ended.
fn ended(pod: &Value, said: &[String]) -> Option<String> {
    let statuses = pod["status"]["containerStatuses"].as_array()?;
    let status = statuses.iter().find(|status| status["state"].get("terminated").is_some())?;
    let code = &status["state"]["terminated"]["exitCode"];
    Some(format!("{} ended with {code}: {}", status["name"].as_str()?, tells(said)))
}

/// Why it did not run in time.
fn late(pod: &Value, begin: Instant, said: &[String]) -> Option<String> {
    if begin.elapsed() < PATIENCE {
        return None;
    }
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let scheduled = conditions.iter().find(|condition| condition["type"] == "PodScheduled");
    match scheduled.and_then(|condition| condition["message"].as_str()) {
        Some(message) => Some(format!("{}: {message}", pod["status"]["phase"])),
        None => Some(format!("{}, and no frame: {}", pod["status"]["phase"], tells(said))),
    }
}

/// The lines that tell most.
fn tells(said: &[String]) -> String {
    let tells = ["couldn't", "cannot", "not enough", "no free", "failed", "denied", "error"];
    let lines = said.iter().flat_map(|log| log.lines());
    let telling = lines.filter(|line| tells.iter().any(|word| line.to_lowercase().contains(word)));
    telling.take(3).collect::<Vec<_>>().join("; ")
}

// === impl Outcome ===

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", if self.works { "works" } else { "fails" }, self.words)
    }
}
