//! `hugeprobe nodes --watch` and `recheck --wait`: follows nodes by one list and one watch. It changes nothing.
//!
//! ## Rights
//!
//! `list` and `watch` on `nodes`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};

use super::api::{Api, ApiError, Event, Watch};
use super::backoff::Random;
use super::nodes::{self, Which};
use super::slim::NodeShape;
use hugeprobe_domain::published::{Fleet, FleetNode, VerdictState};

/// How often to look whether a verdict has expired. A Node does not change when that happens.
const LOOK: Duration = Duration::from_secs(10);
/// The pause before a watch that broke or ended is started again.
const PAUSE: Duration = Duration::from_secs(2);

/// The nodes as they were shown last.
struct Followed<F> {
    nodes: BTreeMap<String, FleetNode>,
    changed: F,
}

/// Calls `begin` with the nodes, and then `changed` with each node that is new or shows something
/// else, and with the time, until one of them breaks. A node whose Node is gone has the state [`VerdictState::Deleted`].
///
/// # Errors
///
/// The first list fails, or a later list or a watch, and the error is not transient.
pub async fn follow(
    api: &Api,
    which: Which<'_>,
    begin: impl FnOnce(&Fleet) -> ControlFlow<()>,
    changed: impl FnMut(&FleetNode, Timestamp) -> ControlFlow<()>,
) -> Result<(), ApiError> {
    let (fleet, mut version) = nodes::list(api, which).await?;
    if begin(&fleet).is_break() {
        return Ok(());
    }
    let nodes = fleet.nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
    let mut followed = Followed { nodes, changed };
    let random = Random::of_process();
    loop {
        let ended = match api.watch(which.watch(&version)?).await {
            Ok(watch) => followed.until_end(watch).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(ControlFlow::Break(())) => return Ok(()),
            Ok(ControlFlow::Continue(Some(latest))) => version = latest,
            Ok(ControlFlow::Continue(None)) => {}
            Err(error) if !error.is_transient() && !error.is_expired() => return Err(error),
            // What happened meanwhile is found by another list.
            Err(_) => {
                sleep(random.jittered(PAUSE)).await;
                match nodes::list(api, which).await {
                    Ok((fleet, latest)) => {
                        version = latest;
                        if followed.all(fleet).is_break() {
                            return Ok(());
                        }
                    }
                    Err(error) if !error.is_transient() => return Err(error),
                    Err(_) => {}
                }
                continue;
            }
        }
        sleep(random.jittered(PAUSE)).await;
    }
}

// === impl Followed ===

impl<F: FnMut(&FleetNode, Timestamp) -> ControlFlow<()>> Followed<F> {
    /// Follows one watch. Returns the version from which the next one continues, if there was an event.
    async fn until_end(&mut self, mut watch: Watch) -> Result<ControlFlow<(), Option<String>>, ApiError> {
        let mut look = Instant::now() + LOOK;
        loop {
            let flow = match timeout_at(look, watch.next::<NodeShape>()).await {
                Err(_) => {
                    look = Instant::now() + LOOK;
                    self.expire(Timestamp::now())
                }
                Ok(event) => match event? {
                    Some(Event::Applied(node)) => {
                        let mut node = nodes::unweighed(node);
                        node.weigh(Timestamp::now());
                        self.shown(node)
                    }
                    Some(Event::Deleted(node)) => self.gone(&node.metadata.name),
                    None => return Ok(ControlFlow::Continue(watch.into_version())),
                },
            };
            if flow.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// Compares with a list of all nodes.
    fn all(&mut self, fleet: Fleet) -> ControlFlow<()> {
        let there: BTreeSet<&str> = fleet.nodes.iter().map(|node| node.name.as_str()).collect();
        let gone = self.nodes.keys().filter(|name| !there.contains(name.as_str()));
        for name in gone.cloned().collect::<Vec<_>>() {
            self.gone(&name)?;
        }
        fleet.nodes.into_iter().try_for_each(|node| self.shown(node))
    }

    fn shown(&mut self, node: FleetNode) -> ControlFlow<()> {
        if self.nodes.get(&node.name) == Some(&node) {
            return ControlFlow::Continue(());
        }
        let flow = (self.changed)(&node, Timestamp::now());
        self.nodes.insert(node.name.clone(), node);
        flow
    }

    fn gone(&mut self, name: &str) -> ControlFlow<()> {
        match self.nodes.remove(name) {
            Some(node) => {
                let node = FleetNode { state: VerdictState::Deleted, ..node };
                (self.changed)(&node, Timestamp::now())
            }
            None => ControlFlow::Continue(()),
        }
    }

    /// Shows the nodes whose verdict has expired.
    fn expire(&mut self, now: Timestamp) -> ControlFlow<()> {
        for node in self.nodes.values_mut() {
            let before = node.state.clone();
            node.weigh(now);
            if node.state != before {
                (self.changed)(node, now)?;
            }
        }
        ControlFlow::Continue(())
    }
}
