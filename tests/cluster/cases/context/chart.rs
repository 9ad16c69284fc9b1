//! The release: its values, changed for a case and changed back after, and its agent.

use std::path::Path;

use serde_json::{Value, json};

use super::node::{Node, Published};
use super::{NAMESPACE, kubectl, script, wait};

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
    published("the node passes, and no probe is wanted", 90, |published| {
        published.passes() && !published.annotations.contains_key("probe")
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

/// What every release of the cases has: the image that was installed, a tick of a second.
fn base() -> Value {
    let archive = std::fs::read_to_string(super::left("state/image")).unwrap();
    json!({"image": {"repository": "localhost/hugeprobe", "tag": archive.trim()}, "tickSeconds": 1})
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
