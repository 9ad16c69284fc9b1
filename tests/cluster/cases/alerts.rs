//! The chart's alerts in a real Prometheus: each fires for its fault, once, and no other fires. Then the dashboard's queries over what
//! Prometheus saw.
//!
//! Real: the agent, the faults, the chart's rules and relabelings, Prometheus, kube-state-metrics. Shorter than in the chart: the
//! durations of the rules. Played: an agent of another node.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::context::kubectl::Guard;
use super::context::node::Node;
use super::context::pools::{SMALL, scarce};
use super::context::prometheus::Prometheus;
use super::context::{NAMESPACE, WORKLOADS, chart, kubectl, pods, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] =
    &[case("each alert fires in a real Prometheus for its fault and for no other", alerts)];

fn alerts() {
    // A probe that cannot be scheduled is given up early.
    let changed = chart::with(&json!({"probe": {"pendingSeconds": 5}}));
    chart::at_rest();
    let prometheus = Prometheus::start();
    prometheus.fires(&[]);
    wait::throughout("no alert of a node that passes", 15, || match prometheus.firing() {
        alerts if alerts.is_empty() => Ok(()),
        alerts => Err(alerts),
    });
    stopped_agent(&prometheus);
    busy(&prometheus);
    denied(&prometheus);
    stale_then_unknown(&prometheus);
    starved(&prometheus);
    failing_then_without_agent(&prometheus);
    drop(changed);
    chart::settled();
    prometheus.fires(&[]);
    dashboard(&prometheus);
    drop(prometheus);
}

/// The agent's processes do not run: Prometheus has a target that does not answer.
fn stopped_agent(prometheus: &Prometheus) {
    struct Stopped(Vec<Pid>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            // The kubelet may have ended them meanwhile.
            for &pid in &self.0 {
                let _ = kill(pid, Signal::SIGCONT);
            }
        }
    }
    let pids: Vec<_> = pods::pids(&chart::agent()).into_iter().map(Pid::from_raw).collect();
    pids.iter().for_each(|&pid| kill(pid, Signal::SIGSTOP).unwrap());
    let stopped = Stopped(pids);
    prometheus.fires(&["HugeprobeAgentDown node=node-a"]);
    drop(stopped);
    prometheus.fires(&[]);
}

fn busy(prometheus: &Prometheus) {
    let size = scarce();
    let workload =
        kubectl::apply_for_now(&pods::workload("all-of-it", size, size.persistent(), size.persistent()));
    pods::running(WORKLOADS, "all-of-it", 60);
    let due = chart::due(size);
    prometheus.fires(&[&format!("HugeprobeBusy node=node-a size={}", size.name)]);
    drop(workload);
    drop(due);
    chart::at_rest();
    prometheus.fires(&[]);
}

/// The Role of the probe pods lacks a right.
fn denied(prometheus: &Prometheus) {
    let role = ["role", "hugeprobe-probe-pods", "--namespace", NAMESPACE];
    let patch =
        |verbs: &str| format!("[{{\"op\": \"replace\", \"path\": \"/rules/0/verbs\", \"value\": {verbs}}}]");
    let (less, all) = (
        patch(r#"["get", "list", "watch", "delete"]"#),
        patch(r#"["get", "list", "watch", "create", "delete"]"#),
    );
    let words = |patch| [&["patch"], &role[..], &["--type", "json", "--patch", patch]].concat();
    let without_right = Guard::run(&words(&less), &words(&all));
    let due = chart::due(SMALL);
    let descriptions = prometheus.fires(&["HugeprobeDenied"]);
    assert!(descriptions.iter().any(|text| text.contains("Denied: create pods;")), "{descriptions:#?}");
    drop(without_right);
    drop(due);
    // Nothing is denied any more once the range of the rule has passed.
    wait::until("no request is denied for as long as the rule looks back", 120, || {
        match prometheus.firing() {
            alerts if alerts.is_empty() => Ok(()),
            alerts => Err(alerts),
        }
    });
}

/// A pool that grows makes the kubelet's number stale. A probe is due that the quota does not admit, so the verdict is unknown.
fn stale_then_unknown(prometheus: &Prometheus) {
    let none = kubectl::apply_for_now(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": NAMESPACE},
        "spec": {"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["hugeprobe-probe"]}]}}
    }));
    let grown = SMALL.change(8);
    prometheus.fires(&["HugeprobeKubeletStale node=node-a", "HugeprobeVerdictUnknown node=node-a"]);
    SMALL.recount();
    prometheus.fires(&["HugeprobeVerdictUnknown node=node-a"]);
    drop(none);
    prometheus.fires(&[]);
    drop(grown);
    SMALL.recount();
    chart::at_rest();
}

/// A probe pod that asks for more CPU than the node has.
fn starved(prometheus: &Prometheus) {
    let changed = chart::with(&json!({"probe": {"pendingSeconds": 5, "cpu": "64"}}));
    let firing = wait::until("a probe that lacks CPU has an alert", 90, || {
        let firing = prometheus.firing();
        if firing.iter().any(|alert| alert.starts_with("HugeprobeProbeStarved")) {
            Ok(firing)
        } else {
            Err(firing)
        }
    });
    assert!(
        firing.iter().all(|alert| alert.starts_with("HugeprobeProbeStarved node=node-a reason=cpu size=")),
        "{firing:#?}"
    );
    drop(changed);
    chart::at_rest();
    prometheus.fires(&[]);
}

/// A node that fails, then its agent is gone as well, then no agent of any node answers.
fn failing_then_without_agent(prometheus: &Prometheus) {
    let changed = chart::with(&json!({"expectations": [{"nodeSelector": {}, "expect": ["2Mi>=5000"]}]}));
    let fails = ["HugeprobeVerdictFail node=node-a"];
    prometheus.fires(&fails);
    // The condition alone raises the alert as well, so the agent's own metrics are looked at.
    wait::until("the agent reports the failure, and its condition is False", 30, || {
        let agent = prometheus.firing().len() == 1
            && !prometheus.query("hugeprobe_node_verdict{verdict=\"fail\"} == 1").is_empty();
        let condition = Node::read().published().condition.is_some_and(|(status, _)| status == "False");
        if agent && condition { Ok(()) } else { Err((agent, condition)) }
    });
    wait::throughout("one alert by both", 5, || match prometheus.firing() {
        alerts if alerts.len() == 1 => Ok(()),
        alerts => Err(alerts),
    });
    let descriptions = prometheus.fires(&fails);
    assert!(descriptions.iter().any(|text| text.contains("HP103 (2Mi)")), "{descriptions:#?}");
    let patch = |value: &str| {
        format!(
            "{{\"spec\": {{\"template\": {{\"spec\": {{\"nodeSelector\": {{\"nowhere\": {value}}}}}}}}}}}"
        )
    };
    let words = ["patch", "daemonset", "hugeprobe", "--namespace", NAMESPACE, "--patch"];
    let (nowhere, everywhere) = (patch("\"yes\""), patch("null"));
    let gone = Guard::run(&[&words[..], &[&nowhere]].concat(), &[&words[..], &[&everywhere]].concat());
    let both = ["HugeprobeAgentDown node=node-a", "HugeprobeVerdictFail node=node-a"];
    let descriptions = prometheus.fires(&both);
    assert!(
        descriptions.iter().any(|text| text.starts_with("The agent does not answer.")),
        "{descriptions:#?}"
    );
    prometheus.other_agent(false);
    prometheus.fires(&["HugeprobeAbsent", "HugeprobeVerdictFail node=node-a"]);
    prometheus.other_agent(true);
    drop(gone);
    chart::agent();
    drop(changed);
}

/// Every query of the dashboard has data of these minutes, and so has every variable.
fn dashboard(prometheus: &Prometheus) {
    let path = format!("{}/files/dashboard.json", chart::path());
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let (series, label) = query
            .strip_prefix("label_values(")
            .unwrap()
            .strip_suffix(')')
            .unwrap()
            .rsplit_once(", ")
            .unwrap();
        let found = prometheus.history(&of_all(&format!("count by ({label}) ({series})")));
        println!("    variable {}: {} values", variable["name"], found.len());
        assert!(!found.is_empty(), "{query} has no value");
    }
    let begin = Instant::now();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let found = prometheus.history(&of_all(expression));
            let is_above_zero = |point: &Value| point[1].as_str().is_some_and(|value| value != "0");
            let points = || found.iter().filter_map(|series| series["values"].as_array()).flatten();
            println!("    {}: {} series, {} points", panel["title"], found.len(), points().count());
            // No node was without a pool in these minutes.
            assert!(
                points().any(is_above_zero) || panel["title"] == "none",
                "{expression} has no data: {found:#?}"
            );
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(60), "the queries took {:?}", begin.elapsed());
}

/// An expression of the dashboard as Grafana sends it with "All" for each variable.
fn of_all(expression: &str) -> String {
    let mut query = expression.replace("$__rate_interval", "30s");
    for variable in ["$cluster", "$node", "$size"] {
        query = query.replace(variable, ".*");
    }
    assert!(!query.contains('$'), "a variable that is not replaced: {query}");
    query
}
