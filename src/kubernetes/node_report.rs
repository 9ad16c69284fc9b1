//! `hugeprobe node`: reads what is known of one node. It changes nothing.
//!
//! ## Rights
//!
//! `get` on the Node, `list` on `events` of the namespace `default`.

use jiff::Timestamp;

use super::api::{Api, ApiError};
use super::names::EVENT_NAMESPACE;
use super::{nodes, object_events};
use hugeprobe_domain::node_report::NodeReport;

/// The most events that are shown.
const EVENTS: usize = 20;

/// Reads what is known of the node.
///
/// # Errors
///
/// The Node cannot be read. If its events cannot be listed, the report says so.
pub async fn read(api: &Api, name: &str) -> Result<NodeReport, ApiError> {
    let node = nodes::one(api, name).await?;
    let mut limits = Vec::new();
    // The kubelet gives its events another uid than that of the Node.
    let events = object_events::read(api, EVENT_NAMESPACE, ("Node", name, None), |_| true, EVENTS).await;
    let events = events.unwrap_or_else(|error| {
        limits.push(format!("events are not shown: {error}"));
        Vec::new()
    });
    Ok(NodeReport { at: Timestamp::now(), node, events, limits })
}
