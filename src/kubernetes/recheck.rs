//! `hugeprobe recheck`: asks the agents of nodes for another probe, and waits for their answers.
//!
//! It writes one annotation, which the agents read: see [`names::RECHECK`].
//!
//! ## Rights
//!
//! `patch` on `nodes`; `list` to find them by label; `list` and `watch` to wait.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};

use super::api::{Api, ApiError, requests};
use super::follow::follow;
use super::names;
use super::nodes::Which;
use hugeprobe_domain::published::{Fleet, FleetNode, VerdictState};

/// The field manager of the annotation. It differs from the agent's.
const MANAGER: &str = "kubectl-hugeprobe";
/// The pause before another list, if the first failed.
const PAUSE: Duration = Duration::from_secs(2);

/// What is known of the nodes that were asked.
struct Waiting<'a, F> {
    value: &'a str,
    /// The names of the nodes that may still answer.
    open: BTreeSet<String>,
    /// The last state of each node that was asked. It no longer changes after the answer.
    last: BTreeMap<String, FleetNode>,
    answered: F,
}

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

/// Waits until the agent of each of `nodes` has answered the request, or until `timeout`. Calls `answered` with each node
/// that has. `selector` matches all of them. A node that is deleted meanwhile is not waited for.
///
/// Returns the nodes as they were last, and the names of those that have not answered.
///
/// # Errors
///
/// The nodes cannot be listed or watched, and the error is not transient, or no list succeeds before the timeout.
pub async fn wait(
    api: &Api,
    selector: Option<&str>,
    nodes: &[String],
    value: &str,
    timeout: Duration,
    answered: impl FnMut(&FleetNode),
) -> Result<(Fleet, Vec<String>), ApiError> {
    // The cluster may have thousands of other nodes.
    let which = if let [one] = nodes { Which::Name(one) } else { Which::Labels(selector) };
    let end = Instant::now() + timeout;
    let open = nodes.iter().cloned().collect();
    let waiting = RefCell::new(Waiting { value, open, last: BTreeMap::new(), answered });
    let mut failed = None;
    loop {
        let begin = |fleet: &Fleet| waiting.borrow_mut().begin(fleet);
        let changed = |node: &FleetNode, _| waiting.borrow_mut().take(node);
        match timeout_at(end, follow(api, which, begin, changed)).await {
            Ok(Ok(())) => break,
            // The first list failed.
            Ok(Err(error)) if error.is_transient() => failed = Some(error),
            Ok(Err(error)) => return Err(error),
            Err(_) => match failed {
                Some(error) if waiting.borrow().last.is_empty() => return Err(error),
                _ => break,
            },
        }
        sleep(PAUSE).await;
    }
    let last = waiting.into_inner().last;
    let is_silent = |name: &&String| last.get(*name).is_none_or(|node| node.published.rechecked != value);
    let silent = nodes.iter().filter(is_silent).cloned().collect();
    Ok((Fleet { at: Timestamp::now(), nodes: last.into_values().collect() }, silent))
}

// === impl Waiting ===

impl<F: FnMut(&FleetNode)> Waiting<'_, F> {
    fn begin(&mut self, fleet: &Fleet) -> ControlFlow<()> {
        let there: BTreeSet<&str> = fleet.nodes.iter().map(|node| node.name.as_str()).collect();
        self.open.retain(|name| there.contains(name.as_str()));
        fleet.nodes.iter().try_for_each(|node| self.take(node))?;
        self.flow()
    }

    fn take(&mut self, node: &FleetNode) -> ControlFlow<()> {
        if self.open.contains(&node.name) {
            let has_answered = node.published.rechecked == self.value;
            if has_answered {
                (self.answered)(node);
            }
            if has_answered || node.state == VerdictState::Deleted {
                self.open.remove(&node.name);
            }
            self.last.insert(node.name.clone(), node.clone());
        }
        self.flow()
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.open.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
