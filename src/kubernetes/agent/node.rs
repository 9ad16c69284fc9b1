//! Watches the agent's own Node, or polls it where watching is not allowed.
//!
//! Every list and watch selects this Node by its name.
//!
//! ## Rights
//!
//! `get`, `list` and `watch` on `nodes`. RBAC cannot restrict a watch to the node of each agent, but the field selector
//! for the agent's own node is always sent.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};

use super::health::Health;
use crate::api::{Api, ApiError, Event, Meter as _, Resource, Verb, requests};
use crate::backoff::{Backoff, Random};
use crate::slim::SlimNode;

/// The interval between two GETs where the Node is not watched.
pub const POLL: Duration = Duration::from_secs(120);
/// The interval between two GETs while the Node does not exist (yet, or any more).
const POLL_ABSENT: Duration = Duration::from_secs(15);
/// How long to poll before a forbidden watch is tried again. Permissions are granted by people, so it is long.
pub const FORBIDDEN: Duration = Duration::from_secs(600);
/// The pause between two watches, in case a server ends every watch at once.
const BREATH: Duration = Duration::from_millis(500);
/// The delay before list and watch are retried after a failure.
pub const WATCHING: Backoff = Backoff { first: 1_000, most: 30_000 };
/// The delay before a failed GET is retried.
pub const POLLING: Backoff = Backoff { first: 1_000, most: 60_000 };

/// Watches one Node.
#[derive(Debug)]
pub struct NodeWatcher {
    /// The API client.
    pub api: Api,
    /// The Node's name.
    pub name: String,
    /// Receives the failures of requests.
    pub health: Arc<Health>,
    /// Receives the current Node; `None` if it does not exist.
    pub tell: Sender<Option<Box<Node>>>,
    /// The source of jitter for the delays.
    pub random: Random,
}

// === impl NodeWatcher ===

impl NodeWatcher {
    /// Sends the Node now and whenever it changes. Requests that fail are retried; the receiver then gets the latest
    /// state.
    pub async fn watch(self) -> Infallible {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let error = match self.list().await {
                Ok(version) => self.watch_from(version).await,
                Err(error) => error,
            };
            if error.is_expired() {
                // The resource version is no longer stored (410). This is normal: list again.
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

    /// Sends the Node now and about every two minutes.
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

    /// Sends the current Node. Returns whether it exists.
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

    /// Sends the current Node. Returns the resource version from which a watch can continue.
    async fn list(&self) -> Result<String, ApiError> {
        let request = requests::list_node(&self.name)?;
        let mut found = None;
        let each = |SlimNode(node)| {
            if node.metadata.name.as_ref() == Some(&self.name) {
                found = Some(Box::new(node));
            }
        };
        let list = self.api.list(request, each).await?;
        self.tell(found).await;
        Ok(list.resource_version)
    }

    /// Sends the changes after `version` until a request fails.
    async fn watch_from(&self, mut version: String) -> ApiError {
        loop {
            match self.watch_once(&mut version).await {
                Ok(()) => sleep(self.random.jittered(BREATH)).await,
                Err(error) => return error,
            }
        }
    }

    /// Runs one watch until the server ends it normally.
    async fn watch_once(&self, version: &mut String) -> Result<(), ApiError> {
        let request = requests::watch_node(&self.name, version)?;
        let mut watch = self.api.watch(request).await?;
        while let Some(event) = watch.next::<SlimNode>().await? {
            let (node, gone) = match event {
                Event::Applied(node) => (node.0, false),
                Event::Deleted(node) => (node.0, true),
            };
            // Ignore other Nodes, in case a server ignores the selector.
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
        // Sending fails if the receiver was dropped because the agent ends.
        let _ = self.tell.send(node).await;
    }
}
