//! `hugeprobe nodes`: reads the published verdict of each node of a cluster. It changes nothing.
//!
//! A verdict is valid only for the current boot of its node and until it expires.
//!
//! ## Rights
//!
//! `list` on `nodes`; `get` for one node.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::api::{Api, ApiError, requests};
use super::names::PREFIX;
use super::slim::SlimNode;
use hugeprobe_domain::published::{Fleet, FleetNode, Published};

/// The maximum number of Nodes in one response, which then has some megabytes.
const PIECE: u32 = 200;
/// The minimum time between two reads.
const LOOK: Duration = Duration::from_secs(2);

/// Reads the verdicts of the nodes that `selector` matches, sorted by name.
///
/// # Errors
///
/// See [`ApiError`]. Nodes that were read before the error are dropped.
pub async fn read(api: &Api, selector: Option<&str>) -> Result<Fleet, ApiError> {
    let mut slim = Vec::new();
    let mut token = None;
    loop {
        let request = requests::list_nodes(selector, PIECE, token.as_deref())?;
        let page = match api.list(request, |node: SlimNode| slim.push(node)).await {
            // The `continue` token expired between two pages (410): start again.
            Err(error) if error.is_expired() && token.is_some() => {
                slim.clear();
                token = None;
                continue;
            }
            other => other?,
        };
        if page.r#continue.is_empty() {
            break;
        }
        token = Some(page.r#continue);
    }
    let at = Timestamp::now();
    let mut nodes: Vec<_> = slim.into_iter().map(|node| weighed(node, at)).collect();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Fleet { at, nodes })
}

/// Reads the verdict of one node.
///
/// # Errors
///
/// The Node cannot be read.
pub async fn one(api: &Api, name: &str) -> Result<FleetNode, ApiError> {
    Ok(weighed(api.object(requests::get_node(name)?).await?, Timestamp::now()))
}

/// Repeats [`read`] until every node has a usable verdict, or until `timeout`.
///
/// Calls `look` with each fleet that is not complete yet. Transient errors are retried.
///
/// # Errors
///
/// Returns an error of [`read`] at once if it is not transient. At the timeout, returns the error of the last read.
pub async fn wait(
    api: &Api,
    selector: Option<&str>,
    timeout: Duration,
    mut look: impl FnMut(&Fleet),
) -> Result<Fleet, ApiError> {
    let end = Instant::now() + timeout;
    loop {
        let began = Instant::now();
        let read = read(api, selector).await;
        let late = Instant::now() >= end;
        match read {
            Ok(fleet) if fleet.is_told() || late => return Ok(fleet),
            Ok(fleet) => look(&fleet),
            Err(error) if late || !error.is_transient() => return Err(error),
            Err(_) => {}
        }
        // The longer a read takes, the longer the pause: it limits the load on the API server in a large cluster.
        let pause = LOOK.max(began.elapsed() * 4);
        sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
    }
}

fn weighed(node: SlimNode, now: Timestamp) -> FleetNode {
    let boot_id = node.boot_id().to_owned();
    let metadata = node.0.metadata;
    let (annotations, labels) =
        (metadata.annotations.unwrap_or_default(), metadata.labels.unwrap_or_default());
    let published = Published::read(&annotations, &labels, PREFIX);
    let state = published.state(&boot_id, now);
    FleetNode { name: metadata.name.unwrap_or_default(), boot_id, published, state }
}
