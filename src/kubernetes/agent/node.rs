//! The agent's own Node, as it changes: a watch of that one name, or a GET now and then where watching is not allowed.
//!
//! ## Rights
//!
//! `get`, `list` and `watch` on `nodes`. A Role cannot hold them to one name together with a watch; the own-name selector
//! is always sent.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};

use super::health::Health;
use crate::kubernetes::api::{Api, ApiError, Event, Meter as _, Resource, Verb, requests};
use crate::kubernetes::backoff::{Backoff, Random};
use crate::kubernetes::slim::{List, SlimNode};

/// Between two GETs, where nothing tells of changes.
pub const POLL: Duration = Duration::from_secs(120);
/// Between two GETs of a Node that is not there (yet, or again).
const POLL_ABSENT: Duration = Duration::from_secs(15);
/// How long a watch that is forbidden is not tried again: rights are granted by people.
pub const FORBIDDEN: Duration = Duration::from_secs(600);
/// Between two watches, lest a server that ends each at once is kept busy.
const BREATH: Duration = Duration::from_millis(500);
/// Between two tries to list and watch.
pub const WATCHING: Backoff = Backoff { first: 1_000, most: 30_000 };
/// Between two GETs that fail.
pub const POLLING: Backoff = Backoff { first: 1_000, most: 60_000 };

/// Watches one Node.
#[derive(Debug)]
pub struct NodeWatcher {
    /// Whom to ask.
    pub api: Api,
    /// The Node's name.
    pub name: String,
    /// Reports failures.
    pub health: Arc<Health>,
    /// Gets the current Node; `None` if it does not exist.
    pub tell: Sender<Option<Box<Node>>>,
    /// For the waits.
    pub random: Random,
}

// === impl NodeWatcher ===

impl NodeWatcher {
    /// Tells what the Node is, now and whenever it changes. An outage is waited out, and ends with the latest state.
    pub async fn watch(self) -> Infallible {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let error = match self.list().await {
                Ok(version) => self.watch_from(version).await,
                Err(error) => error,
            };
            if error.is_expired() {
                // What it wanted to go on from is forgotten: nothing is wrong.
                sleep(self.random.jittered(BREATH)).await;
                continue;
            }
            self.health.failed(&error);
            if error.is_forbidden() {
                // A GET may be allowed where a watch is not.
                self.poll_until(Some(Instant::now() + FORBIDDEN)).await;
                continue;
            }
            if began.elapsed() > Duration::from_secs(60) {
                failures = 0;
            }
            failures += 1;
            sleep(self.random.wait(WATCHING, failures, error.retry_after())).await;
        }
    }

    /// Tells what the Node is, now and every two minutes.
    pub async fn poll(self) -> Infallible {
        loop {
            self.poll_until(None).await;
        }
    }

    async fn poll_until(&self, end: Option<Instant>) {
        let mut failures = 0;
        while end.is_none_or(|end| Instant::now() < end) {
            let wait = match self.get().await {
                Ok(there) => {
                    failures = 0;
                    self.random.jittered(if there { POLL } else { POLL_ABSENT })
                }
                Err(error) => {
                    self.health.failed(&error);
                    failures += 1;
                    self.random.wait(POLLING, failures, error.retry_after())
                }
            };
            sleep(wait).await;
        }
    }

    /// Tells what the Node is; whether it is there.
    async fn get(&self) -> Result<bool, ApiError> {
        let request = requests::get_node(&self.name)?;
        let node = match self.api.object::<SlimNode>(request).await {
            Ok(SlimNode(node)) => Some(Box::new(node)),
            Err(error) if error.is_not_found() => {
                self.health.succeeded(Verb::Get, Resource::Nodes);
                None
            }
            Err(error) => return Err(error),
        };
        let there = node.is_some();
        self.tell(node).await;
        Ok(there)
    }

    /// Sends the current Node; returns the version from which a watch continues.
    async fn list(&self) -> Result<String, ApiError> {
        let request = requests::list_node(&self.name)?;
        let list: List<SlimNode> = self.api.object(request).await?;
        let found = list.items.into_iter().find(|node| node.0.metadata.name.as_ref() == Some(&self.name));
        self.tell(found.map(|node| Box::new(node.0))).await;
        Ok(list.metadata.resource_version)
    }

    /// Tells of changes from `version` on, until something is wrong.
    async fn watch_from(&self, mut version: String) -> ApiError {
        loop {
            match self.watch_once(&mut version).await {
                Ok(()) => sleep(self.random.jittered(BREATH)).await,
                Err(error) => return error,
            }
        }
    }

    /// One watch, until the server ends it in good order.
    async fn watch_once(&self, version: &mut String) -> Result<(), ApiError> {
        let request = requests::watch_node(&self.name, version)?;
        let mut watch = self.api.watch(request).await?;
        while let Some(event) = watch.next::<SlimNode>().await? {
            let (node, gone) = match event {
                Event::Applied(node) => (node.0, false),
                Event::Deleted(node) => (node.0, true),
            };
            // A server that ignores the selector must not have us speak of another Node.
            if node.metadata.name.as_ref() != Some(&self.name) {
                continue;
            }
            self.tell((!gone).then(|| Box::new(node))).await;
        }
        if let Some(last) = watch.into_version() {
            *version = last;
        }
        Ok(())
    }

    async fn tell(&self, node: Option<Box<Node>>) {
        // The receiver is gone once the agent ends.
        let _ = self.tell.send(node).await;
    }
}
