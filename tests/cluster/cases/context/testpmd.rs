//! The workloads that a verdict is about: a pod with two containers, testpmd in each, one the other's vhost-user backend; and a
//! pod with one testpmd that has two ports of the node's vswitch.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ovs::{self, Listens};
use super::pools::{LARGE, SMALL, Size};
use super::{WORKLOADS, kubectl, machine};

/// The huge pages of each testpmd, and its CPUs: DPDK takes the pages from the NUMA nodes of these.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    size: Size,
    pages: i64,
    cpus: &'static str,
}

/// Eight pages of 2Mi.
const SMALL_PAGES: Memory = Memory { size: SMALL, pages: 8, cpus: "0-1" };

/// A page of 1Gi of the second NUMA node of the emulated machine.
pub(crate) const LARGE_PAGE: Memory = Memory { size: LARGE, pages: 1, cpus: "2-3" };

/// Pages of 2Mi that a pod of two wants.
pub(crate) const WANTS: i64 = 2 * SMALL_PAGES.pages;

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
    /// What either side maps.
    pub(crate) memory: Memory,
    /// Whether it runs on the emulated machine, which is slow, and not on the first node.
    pub(crate) on_machine: bool,
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
pub(crate) const HEALTHY: Pair = Pair {
    is_restricted: false,
    has_fs_group: true,
    backend_has_limit: true,
    memory: SMALL_PAGES,
    on_machine: false,
};

// === impl Pair ===

impl Pair {
    /// Runs it: until frames arrive, a container ends, or the time is up.
    pub(crate) fn run(self) -> Outcome {
        let patience = if self.on_machine { Duration::from_secs(machine::PATIENCE) } else { PATIENCE };
        outcome("testpmd in two containers", &self.pod(), &["backend", "frontend"], patience)
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
            side(
                "backend",
                &["net_vhost0,iface=/sockets/s,client=1"],
                "rxonly",
                self.memory,
                self.backend_has_limit,
            ),
            side("frontend", &["net_virtio_user0,path=/sockets/s,server=1"], "txonly", self.memory, true),
        ]);
        let mut pod = pod("testpmd", &security, &containers, &json!({"emptyDir": {}}), self.memory.size);
        if self.on_machine {
            pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": machine::NAME});
        }
        pod
    }
}

/// A vswitch of the node: testpmd on a vhost port whose socket, `s`, is in a directory of the node.
pub(crate) fn vswitch(directory: &str) -> Value {
    let containers = json!([side("vswitch", &["net_vhost0,iface=/sockets/s"], "io", SMALL_PAGES, true)]);
    let sockets = json!({"hostPath": {"path": directory, "type": "DirectoryOrCreate"}});
    pod("vswitch", &json!({}), &containers, &sockets, SMALL)
}

/// Runs a testpmd with the ports `a` and `b` of the node's Open vSwitch. What it sends into one comes out of the other.
pub(crate) fn switched(listens: Listens) -> Outcome {
    let server = if listens == Listens::Workload { ",server=1" } else { "" };
    let devices = [(0, "a"), (1, "b")]
        .map(|(number, port)| format!("net_virtio_user{number},path=/sockets/{port}{server}"));
    // A single burst may be lost while testpmd starts, so it sends all the time.
    let containers =
        json!([side("testpmd", &devices.each_ref().map(String::as_str), "flowgen", SMALL_PAGES, true)]);
    let sockets = json!({"hostPath": {"path": ovs::DIRECTORY, "type": "Directory"}});
    let pod = pod("testpmd", &json!({}), &containers, &sockets, SMALL);
    let outcome = outcome("testpmd with two ports of Open vSwitch", &pod, &["testpmd"], PATIENCE);
    if listens == Listens::Workload {
        // A testpmd that was killed while it waited leaves its sockets, with which the next one does not start.
        ovs::on_node(&format!("rm -f {0}/a {0}/b", ovs::DIRECTORY)).unwrap();
    }
    outcome
}

/// Runs a pod that is called `testpmd` until frames arrive in the first of its containers, one ends, or the time is up.
fn outcome(what: &str, pod: &Value, containers: &[&str], patience: Duration) -> Outcome {
    let made = kubectl::apply_for_now(pod);
    let begin = Instant::now();
    let outcome = loop {
        let pod = kubectl::get(&["pod", "testpmd", "--namespace", WORKLOADS]).unwrap_or_default();
        let said: Vec<String> = containers.iter().map(|container| log(container)).collect();
        if received(&said[0]) > 0 {
            break Outcome { works: true, words: format!("{} frames arrive", received(&said[0])) };
        }
        if let Some(words) = ended(&pod, &said).or_else(|| late(&pod, begin, patience, &said)) {
            break Outcome { works: false, words };
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    println!("    {what}: {outcome}");
    drop(made);
    outcome
}

/// One testpmd on its ports.
fn side(name: &str, devices: &[&str], mode: &str, memory: Memory, has_limit: bool) -> Value {
    let mut limits = json!({"memory": "256Mi"});
    if has_limit {
        limits[memory.size.resource()] = json!(memory.size.quantity(memory.pages));
    }
    let megabytes = memory.size.megabytes(memory.pages).to_string();
    let fixed = ["-l", memory.cpus, "--no-pci", "--huge-dir", "/hugepages", "--single-file-segments"];
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

fn pod(name: &str, security: &Value, containers: &Value, sockets: &Value, size: Size) -> Value {
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
                {"name": "pages", "emptyDir": {"medium": format!("HugePages-{}", size.name)}},
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
fn late(pod: &Value, begin: Instant, patience: Duration, said: &[String]) -> Option<String> {
    if begin.elapsed() < patience {
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
