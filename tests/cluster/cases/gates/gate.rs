//! The gates, and what becomes of a pod behind each.

use std::fmt;
use std::process::Child;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::context::kubectl::Guard;
use super::super::context::pools::SMALL;
use super::super::context::{NODE, WORKLOADS, chart, kubectl, left, pods, script, wait};

/// The rows of the table.
const ROWS: &str = include_str!("../../gates.txt");

/// The pages of each pod.
const PAGES: i64 = 2;

/// The gates, in the order of the table's columns.
const GATES: [Gate; 5] = [Gate::Open, Gate::Label, Gate::Rule, Gate::Preflight, Gate::Injected];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// None: the pod shows that the node is bad, and that the scheduler would take it.
    Open,
    /// Node affinity to the label of the page size.
    Label,
    /// The taint of a rule about the condition, which no other pod minds.
    Rule,
    /// An init container of the pod's own.
    Preflight,
    /// An init container that the policy adds.
    Injected,
}

/// What became of a pod.
enum Fate {
    /// Its container was started, and this came of it.
    Starts(String),
    /// It was not, for this reason.
    Waits(String),
}

/// The node readiness controller and its rule, if `readiness` has built it.
pub(super) struct Rule(Option<Running>);

struct Running {
    // In the order in which they go: only the controller can release its rule.
    rule: Option<(Guard, Guard)>,
    controller: Child,
}

/// One pod for each gate.
pub(super) struct Pods {
    _made: Guard,
    _file: tempfile::NamedTempFile,
}

/// Makes the pods, and compares what becomes of them with a row of the table.
pub(super) fn row(case: &str, rule: &Rule) {
    Pods::make().compare(case, rule);
}

/// Makes the pods on a node that is down, whose scheduler does not know it yet.
pub(super) fn bound() -> Pods {
    let pods = Pods::make();
    wait::until("the pods are bound", 20, || {
        let unbound = GATES.iter().filter(|gate| gate.read()["spec"].get("nodeName").is_none()).count();
        if unbound == 0 { Ok(()) } else { Err(unbound) }
    });
    pods
}

// === impl Gate ===

impl Gate {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "gate-none",
            Self::Label => "gate-label",
            Self::Rule => "gate-rule",
            Self::Preflight => "gate-preflight",
            Self::Injected => "gate-injected",
        }
    }

    fn pod(self) -> Value {
        let mut pod = pods::workload(self.name(), SMALL, PAGES, PAGES);
        pod["spec"]["restartPolicy"] = json!("Never");
        if self != Self::Rule {
            pod["spec"]["tolerations"] = json!([{"key": "readiness.k8s.io/hugepages", "operator": "Exists"}]);
        }
        match self {
            Self::Open | Self::Rule => {}
            Self::Label => {
                let label =
                    json!({"key": "hugeprobe.io/hugepages-2Mi", "operator": "In", "values": ["pass"]});
                pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                    json!({"nodeSelectorTerms": [{"matchExpressions": [label]}]});
            }
            Self::Preflight => {
                let pages = SMALL.quantity(PAGES);
                pod["spec"]["initContainers"] = json!([{
                    "name": "preflight", "image": format!("localhost/hugeprobe:{}", chart::tag()),
                    "command": ["/hugeprobe", "check", "--size", "2Mi", "--dir", "/hugepages", "--need", format!("2Mi={PAGES}")],
                    "securityContext": {"runAsUser": 0}, "terminationMessagePolicy": "FallbackToLogsOnError",
                    "resources": {"limits": {"cpu": "200m", "memory": "32Mi", SMALL.resource(): pages}},
                    "volumeMounts": [{"name": "pages", "mountPath": "/hugepages"}],
                }]);
            }
            Self::Injected => pod["metadata"]["labels"] = json!({"hugeprobe.io/preflight": "true"}),
        }
        pod
    }

    fn read(self) -> Value {
        kubectl::get(&["pod", self.name(), "--namespace", WORKLOADS]).unwrap_or_default()
    }

    /// What became of its pod, as soon as that is known.
    fn fate(self) -> Result<Fate, Value> {
        let status = self.read()["status"].clone();
        let list = |field: &str| status[field].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().trim().to_owned();
        for container in list("containerStatuses") {
            let state = &container["state"];
            if let Some(ended) = state.get("terminated") {
                return Ok(Fate::Starts(format!("and ends with {}", ended["exitCode"])));
            }
            if state.get("running").is_some() {
                return Err(status);
            }
        }
        for container in list("initContainerStatuses") {
            let ended = &container["state"]["terminated"];
            if ended["exitCode"].as_i64().is_some_and(|code| code != 0) {
                return Ok(Fate::Waits(format!(
                    "{}: {}",
                    text(&container["name"]),
                    cause(&text(&ended["message"]))
                )));
            }
        }
        if status["phase"] == "Failed" {
            return Ok(Fate::Waits(format!("{}: {}", text(&status["reason"]), text(&status["message"]))));
        }
        let conditions = list("conditions");
        let scheduled =
            conditions.iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False");
        scheduled.map(|one| Fate::Waits(text(&one["message"]))).ok_or(status)
    }
}

// === impl Fate ===

impl Fate {
    fn word(&self) -> &'static str {
        match self {
            Self::Starts(_) => "starts",
            Self::Waits(_) => "waits",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starts(text) | Self::Waits(text) => write!(out, "{} {text}", self.word()),
        }
    }
}

// === impl Pods ===

impl Pods {
    fn make() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let all: Vec<Value> = GATES.iter().map(|gate| gate.pod()).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": all});
        std::fs::write(file.path(), list.to_string()).unwrap();
        let path = file.path().to_str().unwrap();
        let made = Guard::run(
            &["create", "-f", path],
            &["delete", "--ignore-not-found", "--grace-period=1", "--timeout=60s", "-f", path],
        );
        Self { _made: made, _file: file }
    }

    /// Waits until it is known what became of each, and compares that with a row.
    pub(super) fn compare(self, case: &str, rule: &Rule) {
        let expected = expected(case);
        let known =
            || GATES.iter().map(|gate| gate.fate().map(|fate| fate.word())).collect::<Result<Vec<_>, _>>();
        wait::until("it is known what became of each pod", 60, known);
        // Another look: a pod that waits for the scheduler may wait for a moment only.
        std::thread::sleep(Duration::from_secs(2));
        let mut wrong = Vec::new();
        for (gate, expected) in GATES.into_iter().zip(expected) {
            let fate = gate.fate().unwrap();
            println!("    {}: {fate}", gate.name());
            let is_tried = gate != Gate::Rule || rule.0.is_some();
            if is_tried && fate.word() != expected {
                wrong.push(format!("{}: {fate}, expected {expected}", gate.name()));
            }
            if let (Gate::Open, Fate::Starts(end)) = (gate, &fate) {
                assert_eq!(end, "and ends with 1", "the node is not bad");
            }
        }
        assert!(wrong.is_empty(), "{case}: {wrong:#?}");
    }
}

/// The line of a report that has the first cause.
fn cause(report: &str) -> String {
    let mut lines = report.lines().map(str::trim).filter(|line| line.contains("(HP"));
    lines.next_back().unwrap_or(report).to_owned()
}

/// The row of a case.
fn expected(case: &str) -> Vec<&'static str> {
    let cells = |row: &'static str| row.split('|').map(str::trim).collect::<Vec<_>>();
    let rows = ROWS.lines().filter(|line| !line.starts_with('#')).map(cells);
    let mut row = rows.filter(|cells| cells.last() == Some(&case));
    let row = row.next().unwrap_or_else(|| panic!("tests/cluster/gates.txt has no row {case:?}"));
    row[1..=GATES.len()].to_vec()
}

// === impl Rule ===

impl Rule {
    /// Runs the controller by `tests/cluster/readiness`, with the rule of examples/. Without its program the column is not
    /// tried, and the case shows as ignored.
    pub(super) fn start() -> Self {
        if !left("bin/readiness").exists() {
            println!("    the column of the rule is not tried: target/cluster/bin/readiness does not exist");
            return Self(None);
        }
        kubectl::must(&["apply", "-f", left("bin/readiness.yaml").to_str().unwrap()]);
        let mut running = Running { rule: None, controller: script("readiness").spawn().unwrap() };
        let node = Guard::run(
            &["label", "node", NODE, "pool=nfv", "--overwrite"],
            &["label", "node", NODE, "pool-"],
        );
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/node-readiness-rule.yaml");
        wait::until("the API server knows the kind", 30, || kubectl::run(&["get", "nodereadinessrules"]));
        let rule = Guard::run(&["apply", "-f", file], &["delete", "--timeout=30s", "-f", file]);
        running.rule = Some((rule, node));
        wait::until("the rule was evaluated", 60, || {
            let rule = kubectl::get(&["nodereadinessrule", "hugepages"]).unwrap_or_default();
            if rule["status"]["nodeEvaluations"].to_string().contains(NODE) { Ok(()) } else { Err(rule) }
        });
        Self(Some(running))
    }

    /// Waits until the rule has set its taint.
    pub(super) fn taints(&self) {
        if self.0.is_some() {
            wait::until("the rule has set its taint", 30, || {
                let node = kubectl::get(&["node", NODE]).unwrap_or_default();
                let taints = node["spec"]["taints"].to_string();
                if taints.contains("readiness.k8s.io/hugepages") { Ok(()) } else { Err(taints) }
            });
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.rule.take());
        drop(self.controller.kill());
        drop(self.controller.wait());
    }
}
