//! A real Prometheus with the chart's alerts, and a real kube-state-metrics. `charts/alerts/install` builds both. They are daemons of
//! the cluster.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{NAMESPACE, chart, daemon, kubectl, left, script, wait};

/// Where Prometheus listens, in the cluster's network namespace.
const ADDRESS: &str = "http://127.0.0.1:9090";

/// An agent of another node, which answers: without any, HugeprobeAbsent fires in place of HugeprobeAgentDown. A rule that records
/// plays it, because the cluster has one node.
const OTHER_AGENT: &str =
    "  - name: other\n    rules: [{record: hugeprobe_build_info, expr: vector(1), labels: {node: node-b}}]\n";

/// What is shorter in the rules than in the chart, so that a fault takes seconds: how long it has to last, the ages, and the ranges,
/// except the one in which Prometheus remembers an agent.
const SHORTER: &[(&str, &str)] = &[
    ("keep_firing_for: 10m", "keep_firing_for: 2s"),
    ("keep_firing_for: 15m", "keep_firing_for: 2s"),
    ("for: 5m", "for: 2s"),
    ("for: 15m", "for: 8s"),
    ("for: 1h", "for: 12s"),
    ("> 518400", "> 5"),
    ("6 * 3600", "5"),
    ("[30m]", "[45s]"),
];

/// The relabelings that the operator puts before those of the PodMonitor.
const OPERATOR: &str = "
        - {action: keep, source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name], regex: hugeprobe}
        - {action: keep, source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_component], regex: agent}
        - {action: drop, source_labels: [__meta_kubernetes_pod_phase], regex: (Failed|Succeeded)}
        - {action: keep, source_labels: [__meta_kubernetes_pod_container_port_name], regex: metrics}
        - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
        - {source_labels: [__meta_kubernetes_pod_container_name], target_label: container}
        - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
        - {source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name], target_label: job}
";

/// Prometheus and kube-state-metrics, until this goes.
#[derive(Debug)]
#[must_use]
pub(crate) struct Prometheus(());

/// The directory of its configuration and data.
fn home() -> PathBuf {
    left("state/prometheus")
}

// === impl Prometheus ===

impl Prometheus {
    /// Starts both.
    pub(crate) fn start() -> Self {
        // Minutes without Go's cache.
        let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/alerts/install");
        kubectl::finish(&mut Command::new(install), "").unwrap();
        let this = Self(());
        fs::create_dir_all(home()).unwrap();
        fs::write(home().join("prometheus.yaml"), configuration()).unwrap();
        write_rules(true);
        daemon("start", "kube-state-metrics");
        daemon("start", "prometheus");
        wait::until("Prometheus sees the agent and the condition of the Node", 60, || {
            let seen = [
                "hugeprobe_build_info{job=\"hugeprobe\"}",
                "kube_node_status_condition{condition=~\"hugeprobe.*\"} == 1",
            ];
            let missing: Vec<_> = seen.into_iter().filter(|series| this.query(series).is_empty()).collect();
            if missing.is_empty() { Ok(()) } else { Err(missing) }
        });
        this
    }

    /// Says whether an agent of another node answers.
    pub(crate) fn other_agent(&self, answers: bool) {
        write_rules(answers);
        curl(&["--request", "POST", &format!("{ADDRESS}/-/reload")]).unwrap();
    }

    /// The samples of an expression now.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        results(&[("query", expression)], "query")
    }

    /// The series of an expression since Prometheus started, with a point each two seconds.
    pub(crate) fn history(&self, expression: &str) -> Vec<Value> {
        let number = |expression| {
            let found = self.query(expression);
            found[0]["value"][1].as_str().unwrap().to_owned()
        };
        let (start, end) =
            (number("process_start_time_seconds{job=\"prometheus\"}"), number("vector(time())"));
        results(&[("query", expression), ("start", &start), ("end", &end), ("step", "2")], "query_range")
    }

    /// The alerts that fire, as `HugeprobeBusy node=node-a size=2Mi`.
    pub(crate) fn firing(&self) -> BTreeSet<String> {
        alerts().iter().map(name).collect()
    }

    /// Waits until these alerts fire and no others. Returns their descriptions.
    pub(crate) fn fires(&self, expected: &[&str]) -> Vec<String> {
        let wanted: BTreeSet<_> = expected.iter().map(|&alert| alert.to_owned()).collect();
        wait::until(&format!("only these alerts fire: {expected:?}"), 90, || {
            let firing = self.firing();
            if firing == wanted { Ok(()) } else { Err(firing) }
        });
        let alerts = alerts();
        let text =
            |alert: &Value, field: &str| alert["annotations"][field].as_str().unwrap_or_default().to_owned();
        for alert in &alerts {
            println!(
                "    {}: {}\n        {}",
                name(alert),
                text(alert, "summary"),
                text(alert, "description")
            );
        }
        alerts.iter().map(|alert| text(alert, "description")).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        daemon("stop", "prometheus");
        daemon("stop", "kube-state-metrics");
    }
}

/// The alerts that fire, as Prometheus has them.
fn alerts() -> Vec<Value> {
    let answer = api("alerts", &[]);
    let all = answer["alerts"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|alert| alert["state"] == "firing").collect()
}

/// The name of an alert, and its labels except the severity.
fn name(alert: &Value) -> String {
    let labels = alert["labels"].as_object().unwrap();
    let others = labels.iter().filter(|(key, _)| !["alertname", "severity"].contains(&key.as_str()));
    let others = others.map(|(key, value)| format!(" {key}={}", value.as_str().unwrap()));
    labels["alertname"].as_str().unwrap().to_owned() + &others.collect::<String>()
}

/// An object of the chart as text, with the default values.
fn rendered(template: &str, value: &str) -> String {
    let template = format!("templates/{template}.yaml");
    let arguments =
        ["template", "hugeprobe", &chart::path(), "--namespace", NAMESPACE, "--kube-version", "1.34"];
    chart::helm(&[&arguments[..], &["--show-only", &template, "--set", value]].concat(), "").unwrap()
}

/// What the operator makes of the chart's PodMonitor, and kube-state-metrics.
fn configuration() -> String {
    let monitor = rendered("podmonitor", "podMonitor.enabled=true");
    let relabelings = monitor.split("relabelings:\n").nth(1).unwrap();
    let relabelings =
        relabelings.replace("sourceLabels", "source_labels").replace("targetLabel", "target_label");
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: prometheus
    static_configs: [{{targets: ['127.0.0.1:9090']}}]
  - job_name: kube-state-metrics
    honor_labels: true
    static_configs: [{{targets: ['127.0.0.1:9092']}}]
  - job_name: podMonitor/{NAMESPACE}/hugeprobe/0
    kubernetes_sd_configs:
      - role: pod
        kubeconfig_file: {}
        namespaces: {{names: [{NAMESPACE}]}}
    relabel_configs:
{OPERATOR}{relabelings}",
        left("state/admin.conf").display()
    )
}

/// The rules of the chart, made shorter.
fn write_rules(other_agent: bool) {
    let object = rendered("prometheusrule", "prometheusRule.enabled=true");
    let spec = object.split("\nspec:\n").nth(1).unwrap();
    let mut rules: String =
        spec.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect();
    for (before, after) in SHORTER {
        assert!(rules.contains(before), "the chart's rules have no {before:?}: {rules}");
        rules = rules.replace(before, after);
    }
    if other_agent {
        rules += OTHER_AGENT;
    }
    fs::write(home().join("rules.yaml"), rules).unwrap();
}

fn results(parameters: &[(&str, &str)], path: &str) -> Vec<Value> {
    api(path, parameters)["result"].as_array().cloned().unwrap_or_default()
}

/// Asks Prometheus' HTTP API; null while it does not answer.
fn api(path: &str, parameters: &[(&str, &str)]) -> Value {
    let address = format!("{ADDRESS}/api/v1/{path}");
    let pairs: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let pairs = pairs.iter().flat_map(|pair| ["--data-urlencode", pair.as_str()]);
    let arguments: Vec<_> = ["--get", address.as_str()].into_iter().chain(pairs).collect();
    let answer = curl(&arguments).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    answer.map_or(Value::Null, |mut answer| answer["data"].take())
}

fn curl(arguments: &[&str]) -> Result<String, String> {
    let fixed = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "10"];
    kubectl::finish(script("inside").args(fixed).args(arguments), "")
}
