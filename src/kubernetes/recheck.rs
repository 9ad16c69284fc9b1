//! `hugeprobe recheck`: asks the agents of nodes for another probe, and waits for their answers.
//!
//! It writes one annotation, which the agents read: see [`names::RECHECK`].
//!
//! ## Rights
//!
//! `patch` on `nodes`; `get` on them to wait; `list` to find them by label.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::api::{Api, ApiError, requests};
use super::{names, nodes};
use hugeprobe_domain::published::{Fleet, FleetNode};

/// The field manager of the annotation. It differs from the agent's.
const MANAGER: &str = "kubectl-hugeprobe";
/// The time between two looks at a node.
const LOOK: Duration = Duration::from_secs(2);

/// Returns the value of the annotation for a request that is made now: to the millisecond, so that two requests differ.
#[must_use]
pub fn value() -> String {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now).to_string()
}

/// Asks the agent of one node for another probe of each page size.
///
/// # Errors
///
/// The Node cannot be patched.
pub async fn request(api: &Api, node: &str, value: &str) -> Result<(), ApiError> {
    api.done(requests::annotate_node(node, MANAGER, names::RECHECK, value)?).await
}

/// Waits until the agent of each node has answered the request, or until `timeout`. Calls `answered` with each node that
/// has. Transient errors are retried.
///
/// Returns all nodes as they were read last, and the names of those that have not answered.
///
/// # Errors
///
/// A Node cannot be read, and the error is not transient, or it is the last before the timeout.
pub async fn wait(
    api: &Api,
    nodes: &[String],
    value: &str,
    timeout: Duration,
    mut answered: impl FnMut(&FleetNode),
) -> Result<(Fleet, Vec<String>), ApiError> {
    let end = Instant::now() + timeout;
    let (mut done, mut open): (Vec<FleetNode>, _) = (Vec::new(), nodes.to_vec());
    loop {
        let late = Instant::now() >= end;
        let (mut left, mut seen) = (Vec::new(), Vec::new());
        for name in open {
            match nodes::one(api, &name).await {
                Ok(node) if node.published.rechecked == value => {
                    answered(&node);
                    done.push(node);
                }
                Ok(node) => {
                    seen.push(node);
                    left.push(name);
                }
                Err(error) if late || !error.is_transient() => return Err(error),
                Err(_) => left.push(name),
            }
        }
        if left.is_empty() || late {
            let mut nodes = done;
            nodes.append(&mut seen);
            nodes.sort_by(|one, other| one.name.cmp(&other.name));
            return Ok((Fleet { at: Timestamp::now(), nodes }, left));
        }
        open = left;
        sleep(LOOK.min(end.saturating_duration_since(Instant::now()))).await;
    }
}
