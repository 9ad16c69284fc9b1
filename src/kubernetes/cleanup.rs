//! `hugeprobe cleanup`: removes what hugeprobe wrote on Nodes, and the probe pods that it left. It changes nothing
//! else.
//!
//! The chart's uninstall hook runs it under a separate service account. It can be run again: a second run finds nothing
//! to remove.
//!
//! ## Rights
//!
//! `list` (or `get`, for one node) on `nodes`, `patch` on `nodes/status`, `list` and `delete` on `pods` in its
//! namespace.

use std::io::{self, Write};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use tokio::time::sleep;

use self::traces::{Traces, Untidy};
use super::api::{Api, ApiError, ListMeta, requests};
use super::names::{APP, COMPONENT, MANAGER, probe_pod_selector};
use super::slim::SlimPod;
use hugeprobe_domain::text::count;

mod traces;

/// The maximum number of objects in one response.
const PIECE: u32 = 200;
/// The maximum number of passes. An agent that is about to end may write once more, so the nodes are checked again.
const PASSES: u32 = 3;
/// The pause after each Node that was cleaned: the API server gets at most about 100 writes a second.
const PACE: Duration = Duration::from_millis(10);
/// The pause between two passes.
const PAUSE: Duration = Duration::from_secs(2);

/// What to clean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All nodes, and all probe pods of the namespace.
    AllNodes,
    /// One node and its probe pods.
    Node(String),
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// The number of nodes from which something was removed.
    pub nodes: usize,
    /// The number of pods that were deleted.
    pub pods: usize,
    /// The number of failed requests.
    pub failures: usize,
}

/// The error that ended the cleanup.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The nodes or pods cannot be listed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The report cannot be written, for example because its reader closed the pipe.
    #[error("cannot write the report: {0}")]
    Write(#[from] io::Error),
}

/// Cleans nodes and pods, and writes what was removed to `out`. If one node cannot be cleaned, the others still are.
///
/// # Errors
///
/// The nodes or pods cannot be listed, or `out` cannot be written.
pub async fn run(
    api: &Api,
    scope: &Scope,
    namespace: &str,
    out: &mut dyn Write,
) -> Result<Done, CleanupError> {
    let mut done = Done::default();
    for pass in 0..PASSES {
        if pass > 0 {
            sleep(PAUSE).await;
        }
        // Pods first: no probe may run while its Node is cleaned.
        let pods = sweep_pods(api, scope, namespace, out, &mut done).await?;
        let nodes = sweep_nodes(api, scope, out, &mut done).await?;
        if !pods && !nodes {
            break;
        }
    }
    writeln!(
        out,
        "{} cleaned, {} deleted{}",
        count(done.nodes, "node"),
        count(done.pods, "probe pod"),
        if done.failures == 0 { String::new() } else { format!(", {}", count(done.failures, "failure")) }
    )?;
    Ok(done)
}

/// Deletes the probe pods. Returns whether any was deleted.
async fn sweep_pods(
    api: &Api,
    scope: &Scope,
    namespace: &str,
    out: &mut dyn Write,
    done: &mut Done,
) -> Result<bool, CleanupError> {
    let selector = match scope {
        Scope::AllNodes => format!("{}={},{}={}", APP.0, APP.1, COMPONENT.0, COMPONENT.1),
        Scope::Node(name) => probe_pod_selector(name),
    };
    let request = |token: Option<&str>| requests::list_pods(namespace, &selector, PIECE, token);
    let add = |pods: &mut Vec<ObjectMeta>, SlimPod(pod)| pods.push(pod.metadata);
    let (pods, _) = api.pages(request, add).await?;
    let mut swept = false;
    // Skip pods that are being deleted already.
    for pod in pods.into_iter().filter(|pod| pod.deletion_timestamp.is_none()) {
        let name = pod.name.unwrap_or_default();
        let request = requests::delete_pod(namespace, &name, pod.uid.as_deref())?;
        match api.done(request).await {
            Ok(()) => {
                swept = true;
                done.pods += 1;
                writeln!(out, "pod {namespace}/{name}: deleted")?;
            }
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => failed(&error, out, done)?,
        }
    }
    Ok(swept)
}

/// Cleans the nodes. Returns whether anything was removed, or whether another pass is needed.
async fn sweep_nodes(
    api: &Api,
    scope: &Scope,
    out: &mut dyn Write,
    done: &mut Done,
) -> Result<bool, CleanupError> {
    let mut swept = false;
    let mut token: Option<String> = None;
    loop {
        let mut nodes: Vec<Traces> = Vec::new();
        let page = match scope {
            Scope::AllNodes => {
                let request = requests::list_nodes(None, PIECE, token.as_deref())?;
                match api.list(request, |node| nodes.push(node)).await {
                    // The `continue` token expired. Keep what was done; the next pass does the rest.
                    Err(error) if error.is_expired() && token.is_some() => return Ok(true),
                    other => other?,
                }
            }
            Scope::Node(name) => {
                let request = requests::get_node(name)?;
                match api.object(request).await {
                    Err(error) if error.is_not_found() => return Ok(swept),
                    other => nodes.push(other?),
                }
                ListMeta::default()
            }
        };
        for node in &nodes {
            match sweep_node(api, node).await {
                Ok(None) => {}
                Ok(Some(removed)) => {
                    swept = true;
                    done.nodes += 1;
                    writeln!(out, "node {}: {removed}", node.name())?;
                    sleep(PACE).await;
                }
                Err(error) if is_gone(&error) => {
                    writeln!(out, "node {}: deleted in the meantime", node.name())?;
                }
                Err(error) => failed(&error, out, done)?,
            }
        }
        if page.r#continue.is_empty() {
            return Ok(swept);
        }
        token = Some(page.r#continue);
    }
}

/// Cleans one node. Returns a description of what was removed; `None` if nothing was.
async fn sweep_node(api: &Api, before: &Traces) -> Result<Option<String>, ApiError> {
    let mut after = before.clone();
    if before.was_applied() {
        // An apply without fields gives up all fields that this manager owned. The uid prevents it from creating a new
        // Node.
        let body = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": before.name(), "uid": before.uid()},
        });
        let request = requests::apply_node_status(before.name(), MANAGER, &body)?;
        after = api.object(request).await?;
    }
    if let Some(body) = after.updated() {
        let request = requests::merge_node_status(before.name(), MANAGER, &body)?;
        after = api.object(request).await?;
    }
    let removed = before.untidy().without(&after.untidy());
    Ok((removed != Untidy::default()).then(|| {
        let left = after.untidy();
        if left == Untidy::default() {
            format!("removed {removed}")
        } else {
            format!("removed {removed}; left {left}, which hugeprobe did not write")
        }
    }))
}

/// Returns whether the Node does not exist: the status is 404, or the apply was forbidden because it would create the
/// Node.
fn is_gone(error: &ApiError) -> bool {
    error.is_not_found()
        || (error.is_forbidden() && error.message().contains("cannot create resource \"nodes"))
}

fn failed(error: &ApiError, out: &mut dyn Write, done: &mut Done) -> io::Result<()> {
    done.failures += 1;
    writeln!(out, "{error}")
}
