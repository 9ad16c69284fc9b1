//! `hugeprobe cleanup`: removes what hugeprobe wrote on Nodes and the probe pods it left, and nothing else. The chart's
//! uninstall hook runs it under a separate account; run twice, it finds nothing the second time.
//!
//! ## Rights
//!
//! `list` (or `get`, for one node) on `nodes`, `patch` on `nodes/status`, `list` and `delete` on `pods` in its namespace.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use self::traces::{Traces, Untidy};
use super::api::{Api, ApiError, requests};
use super::names::{APP, COMPONENT, MANAGER, probe_pod_selector};
use super::slim::{List, SlimPod};
use crate::domain::text::count;

mod traces;

/// Nodes in one answer.
const PIECE: u32 = 200;
/// An agent that is about to end may write once more behind our back: what was cleaned is looked at again.
const PASSES: u32 = 3;
/// Between two passes.
const PAUSE: Duration = Duration::from_secs(2);

/// What is to be cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every node, and every probe pod of the namespace.
    AllNodes,
    /// One node, and its probe pods.
    Node(String),
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// Nodes that something was removed from.
    pub nodes: usize,
    /// Pods that were deleted.
    pub pods: usize,
    /// What could not be done.
    pub failures: usize,
}

/// Why nothing more could be done.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The reader closed the output.
    #[error("cannot write the report: {0}")]
    Write(#[from] io::Error),
}

/// Cleans, and tells `out` of each thing that it did. One node that cannot be cleaned keeps no other from it.
///
/// # Errors
///
/// What is there cannot be listed, or `out` takes nothing more.
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
        // Pods first: no probe may run while the Node is swept.
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

/// Whether anything was removed.
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
    let mut pods = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let request = requests::list_pods(namespace, &selector, PIECE, token.as_deref())?;
        let piece: List<SlimPod> = api.object(request).await?;
        pods.extend(piece.items.into_iter().map(|pod| pod.0.metadata));
        if piece.metadata.r#continue.is_empty() {
            break;
        }
        token = Some(piece.metadata.r#continue);
    }
    let mut swept = false;
    // One that is being deleted already is on its way.
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

/// Whether anything was removed.
async fn sweep_nodes(
    api: &Api,
    scope: &Scope,
    out: &mut dyn Write,
    done: &mut Done,
) -> Result<bool, CleanupError> {
    let mut swept = false;
    let mut token: Option<String> = None;
    loop {
        let piece: List<Traces> = match scope {
            Scope::AllNodes => {
                let request = requests::list_nodes(None, PIECE, token.as_deref())?;
                match api.object(request).await {
                    // The list was forgotten while it was worked on: what is done is done, the rest is for the next pass.
                    Err(error) if error.is_expired() && token.is_some() => return Ok(true),
                    other => other?,
                }
            }
            Scope::Node(name) => {
                let request = requests::get_node(name)?;
                match api.object(request).await {
                    Err(error) if error.is_not_found() => return Ok(swept),
                    other => List { metadata: Default::default(), items: vec![other?] },
                }
            }
        };
        for node in &piece.items {
            match sweep_node(api, node).await {
                Ok(None) => {}
                Ok(Some(removed)) => {
                    swept = true;
                    done.nodes += 1;
                    writeln!(out, "node {}: {removed}", node.name())?;
                }
                Err(error) if is_gone(&error) => {
                    writeln!(out, "node {}: deleted in the meantime", node.name())?;
                }
                Err(error) => failed(&error, out, done)?,
            }
        }
        if piece.metadata.r#continue.is_empty() {
            return Ok(swept);
        }
        token = Some(piece.metadata.r#continue);
    }
}

/// What was removed, in words; `None` if nothing on the Node is hugeprobe's.
async fn sweep_node(api: &Api, before: &Traces) -> Result<Option<String>, ApiError> {
    let mut after = before.clone();
    if before.was_applied() {
        // An apply that says nothing gives up all that this manager owned; with the uid, it can make no new Node.
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

/// The Node is not there: 404, or an apply that would have to create it.
fn is_gone(error: &ApiError) -> bool {
    error.is_not_found()
        || (error.is_forbidden() && error.message().contains("cannot create resource \"nodes"))
}

fn failed(error: &ApiError, out: &mut dyn Write, done: &mut Done) -> io::Result<()> {
    done.failures += 1;
    writeln!(out, "{error}")
}
