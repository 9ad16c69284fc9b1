//! The probe pods of this node, as they change: watched while one is out, and not at all otherwise.
//!
//! ## Rights
//!
//! `list` and `watch` on `pods` in the agent's own namespace. Without `watch`, the list is asked for every two seconds
//! while a probe is out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::health::Health;
use crate::kubernetes::api::{Api, ApiError, Event, Verb, requests};
use crate::kubernetes::backoff::{Backoff, Random};
use crate::kubernetes::slim::{List, SlimPod};

/// Between two lists where a watch is not allowed: a probe takes seconds.
pub const POLL: Duration = Duration::from_secs(2);
/// Between two watches.
const BREATH: Duration = Duration::from_millis(500);
/// Between two tries to list and watch.
const WATCHING: Backoff = Backoff { first: 500, most: 30_000 };
/// There is one pod per size; more were created by another client, and the rest is seen once these are gone.
const MOST: u32 = 50;

/// A change of the probe pods.
#[derive(Debug)]
pub enum PodEvent {
    /// The list of all probe pods.
    Listed(Vec<Pod>),
    /// A pod is new or has changed.
    Applied(Box<Pod>),
    /// A pod was deleted.
    Deleted(Box<Pod>),
}

/// Watches the pods of a selector.
#[derive(Debug, Clone)]
pub struct PodWatcher {
    /// Whom to ask.
    pub api: Api,
    /// Where the pods are.
    pub namespace: String,
    /// Which they are.
    pub selector: String,
    /// Reports failures.
    pub health: Arc<Health>,
    /// Gets the changes.
    pub tell: Sender<PodEvent>,
    /// For the waits.
    pub random: Random,
}

// === impl PodWatcher ===

impl PodWatcher {
    /// Tells what happens from `version` on; without one, begins with all there are.
    pub async fn watch_from(self, version: Option<String>) -> Infallible {
        let mut failures = 0;
        let mut from = version;
        loop {
            let error = match self.watch(from.take()).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            if error.is_expired() {
                sleep(self.random.jittered(BREATH)).await;
                continue;
            }
            self.health.failed(&error);
            let wait = if error.is_forbidden() && error.attempt().verb == Verb::Watch {
                self.random.jittered(POLL)
            } else {
                failures += 1;
                self.random.wait(WATCHING, failures, error.retry_after())
            };
            sleep(wait).await;
        }
    }

    /// All pods, and the version from which a watch continues.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn list(&self) -> Result<(Vec<Pod>, String), ApiError> {
        let request = requests::list_pods(&self.namespace, &self.selector, MOST, None)?;
        let list: List<SlimPod> = self.api.object(request).await?;
        Ok((list.items.into_iter().map(|pod| pod.0).collect(), list.metadata.resource_version))
    }

    async fn watch(&self, from: Option<String>) -> Result<Infallible, ApiError> {
        let mut version = match from {
            Some(version) => version,
            None => {
                let (pods, version) = self.list().await?;
                self.tell(PodEvent::Listed(pods)).await;
                version
            }
        };
        loop {
            let request = requests::watch_pods(&self.namespace, &self.selector, &version)?;
            let mut watch = self.api.watch(request).await?;
            while let Some(event) = watch.next::<SlimPod>().await? {
                self.tell(match event {
                    Event::Applied(pod) => PodEvent::Applied(Box::new(pod.0)),
                    Event::Deleted(pod) => PodEvent::Deleted(Box::new(pod.0)),
                })
                .await;
            }
            if let Some(last) = watch.into_version() {
                version = last;
            }
            sleep(self.random.jittered(BREATH)).await;
        }
    }

    async fn tell(&self, event: PodEvent) {
        // The receiver is gone once no probe is running.
        let _ = self.tell.send(event).await;
    }
}
