//! Watches the probe pods of this node while there are any. Without a probe pod there is no watch.
//!
//! ## Rights
//!
//! `list` and `watch` on `pods` in the agent's own namespace. Without `watch`, the pods are listed every two seconds
//! while a probe runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::health::Health;
use crate::api::{Api, ApiError, Event, Verb, requests};
use crate::backoff::{Backoff, Random};
use crate::slim::SlimPod;

/// The interval between two lists where `watch` is forbidden. It is short because a probe takes seconds.
pub const POLL: Duration = Duration::from_secs(2);
/// The pause between two watches.
const BREATH: Duration = Duration::from_millis(500);
/// The delay before list and watch are retried after a failure.
const WATCHING: Backoff = Backoff { first: 500, most: 30_000 };
/// The maximum number of pods in a list.
///
/// The agent creates one pod per size. If there are more, another client created them; the rest is seen when the first
/// ones are gone.
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

/// Watches the pods that a selector matches.
#[derive(Debug, Clone)]
pub struct PodWatcher {
    /// The API client.
    pub api: Api,
    /// The namespace of the pods.
    pub namespace: String,
    /// The label selector of the pods.
    pub selector: String,
    /// Receives the failures of requests.
    pub health: Arc<Health>,
    /// Receives the changes.
    pub tell: Sender<PodEvent>,
    /// The source of jitter for the delays.
    pub random: Random,
}

// === impl PodWatcher ===

impl PodWatcher {
    /// Sends all changes after the resource version `version`. Without a version, sends the list of all pods first.
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

    /// Returns all pods and the resource version from which a watch can continue.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn list(&self) -> Result<(Vec<Pod>, String), ApiError> {
        let request = requests::list_pods(&self.namespace, &self.selector, MOST, None)?;
        let mut pods = Vec::new();
        let list = self.api.list(request, |SlimPod(pod)| pods.push(pod)).await?;
        Ok((pods, list.resource_version))
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
        // Sending fails if the receiver was dropped because the agent ends.
        let _ = self.tell.send(event).await;
    }
}
