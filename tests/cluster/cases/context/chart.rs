//! The release: its values, changed for a case and changed back after, and its agent.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::kubectl::Guard;
use super::node::{Node, Published};
use super::pools::{LARGE, SMALL, Size};
use super::{NAMESPACE, NODE, kubectl, pods, script, wait};

/// Values of a case; the values before come back when this goes.
#[derive(Debug)]
#[must_use]
pub(crate) struct Changed(());

/// Runs helm; what it printed, or what it complained of.
pub(crate) fn helm(arguments: &[&str], input: &str) -> Result<String, String> {
    kubectl::finish(script("helm").args(arguments), input)
}

/// The chart of this clone.
pub(crate) fn path() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/hugeprobe").display().to_string()
}

/// The values that the release was installed with.
pub(crate) fn values() -> Result<Value, String> {
    let text = helm(&["get", "values", "hugeprobe", "--namespace", NAMESPACE, "-o", "json"], "")?;
    serde_json::from_str(&text).map_err(|error| format!("helm get values: {error}"))
}

/// Installs or upgrades with exactly these values beside the image's and a tick that does not keep cases waiting.
pub(crate) fn install(chart: &str, values: &Value) -> Result<String, String> {
    let mut all = base();
    merge(&mut all, values);
    helm(
        &[
            "upgrade",
            "--install",
            "hugeprobe",
            chart,
            "--namespace",
            NAMESPACE,
            "--reset-values",
            "--values",
            "-",
            "--wait",
            "--timeout",
            "90s",
        ],
        &all.to_string(),
    )
}

/// Upgrades to these values for as long as the guard lives.
pub(crate) fn with(values: &Value) -> Changed {
    let guard = Changed(());
    install(&path(), values).unwrap_or_else(|error| panic!("helm upgrade with {values}: {error}"));
    guard
}

/// Waits until what is published satisfies `holds`.
pub(crate) fn published(what: &str, seconds: u64, holds: impl Fn(&Published) -> bool) -> Published {
    wait::until(what, seconds, || {
        let published = Node::read().published();
        if holds(&published) { Ok(published) } else { Err(published) }
    })
}

/// Where every case begins: the release as the cases have it, and a node that passes.
pub(crate) fn settled() -> Published {
    let wanted = base();
    if values().ok() != Some(wanted) {
        install(&path(), &json!({})).unwrap_or_else(|error| panic!("helm upgrade: {error}"));
    }
    passing()
}

/// Waits until no probe pod is left either: with the values that the case has set.
pub(crate) fn at_rest() {
    passing();
    wait::until("no probe pod is left", 60, || match pods::probes().len() {
        0 => Ok(()),
        more => Err(more),
    });
}

fn passing() -> Published {
    published("the node passes with the pools that are there, and no probe is wanted", 120, |published| {
        let is_known =
            |size: Size| match (size.persistent(), published.annotation(&format!("pool.{}", size.name))) {
                (0, pool) => pool.is_none_or(|pool| pool.starts_with("0 ")),
                (pages, pool) => pool.is_some_and(|pool| pool.split(' ').next() == Some(&pages.to_string())),
            };
        published.passes()
            && !published.annotations.contains_key("probe")
            && [SMALL, LARGE].into_iter().all(is_known)
    })
}

/// Name and uid of the agent's pod.
pub(crate) fn agent() -> Value {
    wait::until("the agent runs", 60, || {
        let pods =
            kubectl::list(&["pods", "--namespace", NAMESPACE, "-l", "app.kubernetes.io/component=agent"]);
        let running: Vec<Value> = pods
            .into_iter()
            .filter(|pod| {
                pod["status"]["phase"] == "Running" && pod["metadata"].get("deletionTimestamp").is_none()
            })
            .collect();
        if let [pod] = running.as_slice() { Ok(pod.clone()) } else { Err(running.len()) }
    })
}

/// A field of an object's metadata.
pub(crate) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_else(|| panic!("no metadata.{field} in {object:#}"))
}

/// The label of a namespace that names a Pod Security Standard.
pub(crate) fn pod_security(level: &str) -> String {
    format!("pod-security.kubernetes.io/enforce={level}")
}

/// The namespace takes pods of the privileged profile for as long as this lives.
pub(crate) fn privileged() -> Guard {
    Guard::run(
        &["label", "namespace", NAMESPACE, &pod_security("privileged"), "--overwrite"],
        &["label", "namespace", NAMESPACE, &pod_security("restricted"), "--overwrite"],
    )
}

/// The label of the Node that makes a probe of a size due: what every release of the cases expects there is met, and is
/// another expectation than before.
const DUE: &str = "hugeprobe-case";

/// Has a size probed once more, without a change of the release; when this goes, perhaps again.
pub(crate) fn due(size: Size) -> Guard {
    // By turns, or one that was probed under the same expectation a moment ago would be left at that.
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % 2;
    Guard::run(
        &["label", "node", NODE, &format!("{DUE}={}-{turn}", size.name), "--overwrite"],
        &["label", "node", NODE, &format!("{DUE}-")],
    )
}

/// The expectations of [`due`] about a size.
pub(crate) fn expectations(size: &str) -> Vec<Value> {
    let expected = |(turn, pool)| json!({"nodeSelector": {DUE: format!("{size}-{turn}")}, "expect": [format!("{size}{pool}>=1")]});
    [(0, ""), (1, "@numa0")].map(expected).into()
}

/// The tag of the image that the release has.
pub(crate) fn tag() -> String {
    std::fs::read_to_string(super::left("state/image")).unwrap().trim().to_owned()
}

/// What every release of the cases has: the image that was installed, a tick of a second, and what [`due`] needs.
fn base() -> Value {
    let expected = [expectations("2Mi"), expectations("1Gi")].concat();
    json!({
        "image": {"repository": "localhost/hugeprobe", "tag": tag()},
        "tickSeconds": 1,
        "expectations": expected,
    })
}

/// The agent's /metrics.
pub(crate) fn metrics() -> String {
    page("/metrics").unwrap_or_else(|error| panic!("/metrics: {error}"))
}

/// A page of the agent, by way of the API server.
pub(crate) fn page(path: &str) -> Result<String, String> {
    let agent = agent();
    let pod = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}:9595/proxy{path}", meta(&agent, "name"));
    kubectl::run(&["get", "--raw", &pod])
}

/// How often probes of a size ended this way in the life of this agent.
pub(crate) fn ended(size: Size, ending: &str) -> u64 {
    let metrics = page("/metrics").unwrap_or_default();
    let line = |line: &&str| {
        let labels = [format!("size=\"{}\"", size.name), format!("ending=\"{ending}\"")];
        line.starts_with("hugeprobe_probes_total{") && labels.iter().all(|label| line.contains(label))
    };
    metrics.lines().find(line).and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// What was denied to this agent in its life, by verb and resource.
pub(crate) fn denied() -> Vec<String> {
    let metrics = metrics();
    let lines = metrics.lines().filter(|line| line.starts_with("hugeprobe_api_denied_total{"));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Waits until probes of a size have passed more often than that.
pub(crate) fn concluded(what: &str, size: Size, before: u64) {
    wait::until(what, 120, || {
        let passed = ended(size, "pass") + ended(size, "warn");
        if passed > before { Ok(()) } else { Err(page("/metrics")) }
    });
}

/// What came of a check when it was last made.
pub(crate) fn outcome(id: &str, size: &str) -> Option<String> {
    let metrics = metrics();
    let labels = [format!("id=\"{id}\""), format!("size=\"{size}\"")];
    let line = metrics.lines().find(|line| {
        line.starts_with("hugeprobe_check_outcome{") && labels.iter().all(|label| line.contains(label))
    })?;
    Some(line.split("outcome=\"").nth(1)?.split('"').next()?.to_owned())
}

/// Prints what is published, as kubectl shows it.
pub(crate) fn show_ours() {
    let text = kubectl::must(&["describe", "node", NODE]);
    for line in text.lines().filter(|line| line.contains("hugeprobe")) {
        println!("    {line}");
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

// === impl Changed ===

impl Drop for Changed {
    fn drop(&mut self) {
        if let Err(error) = install(&path(), &json!({})) {
            println!("    the values of the release were not put back: {error}");
        }
    }
}
