//! `hugeprobe nodes`: reads the published verdict of each node of a cluster. It changes nothing.
//!
//! A verdict is valid only for the current boot of its node and until it expires.
//!
//! ## Rights
//!
//! `list` on `nodes`; `get` for one node.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api::requests::{self, ApiRequest};
use super::api::{Api, ApiError};
use super::slim::NodeShape;
use hugeprobe_domain::published::{Fleet, FleetNode, VerdictState};

/// The maximum number of Nodes in one response, which then has some megabytes.
const PIECE: u32 = 200;
/// The minimum time between two reads.
const LOOK: Duration = Duration::from_secs(2);

/// Which Nodes are read.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Those with these labels, or all.
    Labels(Option<&'a str>),
    /// The one with this name.
    Name(&'a str),
}

/// Reads the verdicts of the nodes that `selector` matches, sorted by name.
///
/// # Errors
///
/// See [`ApiError`]. Nodes that were read before the error are dropped.
pub async fn read(api: &Api, selector: Option<&str>) -> Result<Fleet, ApiError> {
    list(api, Which::Labels(selector)).await.map(|(fleet, _)| fleet)
}

/// Reads the verdicts of nodes, sorted by name, and the resource version from which a watch can continue.
///
/// # Errors
///
/// See [`read`].
pub async fn list(api: &Api, which: Which<'_>) -> Result<(Fleet, String), ApiError> {
    let request = |token: Option<&str>| which.list(token);
    let add = |nodes: &mut Vec<FleetNode>, node: NodeShape| nodes.push(unweighed(node));
    let (mut nodes, version) = api.pages(request, add).await?;
    let at = Timestamp::now();
    nodes.iter_mut().for_each(|node| node.weigh(at));
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((Fleet { at, nodes }, version))
}

/// Returns what `field` finds in each Node that `selector` matches, by name.
///
/// This is a separate list request, because [`read`] drops all other fields of a Node while it parses them.
///
/// # Errors
///
/// See [`ApiError`].
pub async fn fields<V>(
    api: &Api,
    selector: Option<&str>,
    field: impl Fn(&Value) -> Option<V>,
) -> Result<BTreeMap<String, V>, ApiError> {
    let request = |token: Option<&str>| requests::list_nodes(selector, PIECE, token);
    let add = |found: &mut BTreeMap<String, V>, node: Value| {
        let name = node.pointer("/metadata/name").and_then(Value::as_str);
        if let (Some(name), Some(value)) = (name, field(&node)) {
            found.insert(name.to_owned(), value);
        }
    };
    api.pages(request, add).await.map(|(found, _)| found)
}

/// Reads the verdict of one node.
///
/// # Errors
///
/// The Node cannot be read.
pub async fn one(api: &Api, name: &str) -> Result<FleetNode, ApiError> {
    let mut node = unweighed(api.object(requests::get_node(name)?).await?);
    node.weigh(Timestamp::now());
    Ok(node)
}

/// Repeats [`read`] until the fleet `is_done`, or until `timeout`.
///
/// Calls `look` with each fleet that is not. Transient errors are retried.
///
/// # Errors
///
/// Returns an error of [`read`] at once if it is not transient. At the timeout, returns the error of the last read.
pub async fn wait(
    api: &Api,
    selector: Option<&str>,
    timeout: Duration,
    is_done: impl Fn(&Fleet) -> bool,
    mut look: impl FnMut(&Fleet),
) -> Result<Fleet, ApiError> {
    let end = Instant::now() + timeout;
    loop {
        let began = Instant::now();
        let read = read(api, selector).await;
        let late = Instant::now() >= end;
        match read {
            Ok(fleet) if is_done(&fleet) || late => return Ok(fleet),
            Ok(fleet) => look(&fleet),
            Err(error) if late || !error.is_transient() => return Err(error),
            Err(_) => {}
        }
        // The longer a read takes, the longer the pause: it limits the load on the API server in a large cluster.
        let pause = LOOK.max(began.elapsed() * 4);
        sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
    }
}

// === impl Which ===

impl Which<'_> {
    fn list(self, token: Option<&str>) -> Result<ApiRequest, ApiError> {
        match self {
            Self::Labels(selector) => requests::list_nodes(selector, PIECE, token),
            Self::Name(name) => requests::list_node(name),
        }
    }

    /// Returns the request for a watch that begins after the resource version `version`.
    pub(super) fn watch(self, version: &str) -> Result<ApiRequest, ApiError> {
        match self {
            Self::Labels(selector) => requests::watch_nodes(selector, version),
            Self::Name(name) => requests::watch_node(name, version),
        }
    }
}

/// Returns the Node before its verdict is compared with the time.
pub(super) fn unweighed(node: NodeShape) -> FleetNode {
    FleetNode {
        boot_id: node.boot_id().to_owned(),
        published: node.published(),
        state: VerdictState::Missing,
        name: node.metadata.name,
    }
}
