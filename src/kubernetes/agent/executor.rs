//! Executes the actions of the reconciler in order and sends the result of each. It does not retry; the reconciler
//! decides that.
//!
//! ## Rights
//!
//! `create` and `delete` on `pods` in the agent's own namespace, `patch` on `nodes/status`, `create` on `events` in
//! `default`.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::time::{Instant, sleep, sleep_until};

use super::health::Health;
use super::log::say;
use super::pods::PodWatcher;
use crate::api::{Api, ApiError, requests};
use crate::backoff::Backoff;
use crate::names::{EVENT_NAMESPACE, MANAGER};
use crate::reconcile::refusal::{Call, Refusal};
use crate::reconcile::{Action, Done, Identity};
use crate::slim::{SlimNode, SlimPod};

/// The result of an action.
#[derive(Debug)]
pub enum Answer {
    /// A result for the reconciler.
    Done(Done),
    /// All probe pods, and the resource version of the list.
    Pods(Vec<Pod>, String),
}

/// Executes actions.
#[derive(Debug, Clone)]
pub struct Executor {
    /// The API client.
    pub api: Api,
    /// The agent's node and pod.
    pub identity: Identity,
    /// Lists pods.
    pub pods: PodWatcher,
    /// Receives the failures of requests.
    pub health: Arc<Health>,
}

/// Limits the rate of requests, so that a problem on a node cannot overload the API server of the cluster.
#[derive(Debug)]
struct RateLimit {
    /// The number of requests that may be made at once.
    left: u32,
    /// When the number is next increased by one.
    next: Instant,
}

/// The maximum number of requests at once. It is enough for a first verdict about many sizes with some retries.
pub const BURST: u32 = 30;
/// The time after which one more request is allowed.
pub const PACE: Duration = Duration::from_secs(6);

/// The delay before the first list of the pods is retried.
const LISTING: Backoff = Backoff { first: 1_000, most: 30_000 };

// === impl Executor ===

impl Executor {
    /// Executes actions in order and sends the result of each. Ends when the receiver of the results is dropped.
    pub async fn work(self, mut todo: UnboundedReceiver<Action>, tell: Sender<Answer>) {
        let mut rate_limit = RateLimit { left: BURST, next: Instant::now() };
        while let Some(action) = todo.recv().await {
            rate_limit.acquire().await;
            let Some(answer) = self.execute(action).await else { continue };
            if tell.send(answer).await.is_err() {
                return;
            }
        }
    }

    /// Lists the probe pods until the list succeeds or is forbidden. The reconciler decides nothing before that.
    pub async fn list_until_known(self, tell: Sender<Answer>) {
        let mut failures = 0;
        loop {
            let answer = self.list_pods().await;
            let known =
                matches!(answer, Answer::Pods(..) | Answer::Done(Done::Listed(Refusal::Forbidden(_))));
            let throttled = match &answer {
                Answer::Done(Done::Listed(Refusal::Throttled { after_seconds })) => *after_seconds,
                _ => None,
            };
            // Sending fails if the receiver was dropped because the agent ends.
            let _ = tell.send(answer).await;
            if known {
                return;
            }
            failures += 1;
            sleep(self.pods.random.wait(LISTING, failures, throttled.map(Duration::from_secs))).await;
        }
    }

    /// Executes one action and returns its result; `None` for an action that needs no request.
    pub async fn execute(&self, action: Action) -> Option<Answer> {
        Some(match action {
            Action::CreatePod(pod) => {
                let name = pod.metadata.name.clone().unwrap_or_default();
                let result = self.create_pod(&name, &pod).await;
                let result = result.map(Box::new).map_err(|error| self.refusal(Call::CreatePod, &error));
                Answer::Done(Done::Created { name, result })
            }
            Action::DeletePod { name, uid } => {
                let result = match self.delete_pod(&name, &uid).await {
                    // The pod is gone, or another pod has its name: there is nothing to delete.
                    Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
                    other => other.map_err(|error| self.refusal(Call::DeletePod, &error)),
                };
                Answer::Done(Done::Deleted { uid, result })
            }
            Action::ListPods => self.list_pods().await,
            Action::Apply(body) => {
                let result = self.apply(&body).await;
                let result = result.map(Box::new).map_err(|error| self.refusal(Call::Apply, &error));
                Answer::Done(Done::Applied(result))
            }
            Action::Emit(event) => {
                let name = event.metadata.name.clone().unwrap_or_default();
                let result = match self.emit(&name, &event).await {
                    // An earlier request recorded the event, but its answer was lost.
                    Err(error) if error.is_conflict() => Ok(()),
                    other => other.map_err(|error| self.refusal(Call::Emit, &error)),
                };
                Answer::Done(Done::Emitted { name, result })
            }
            Action::Round { .. } | Action::WakeAt(_) => return None,
        })
    }

    /// Lists all probe pods of this node.
    pub async fn list_pods(&self) -> Answer {
        match self.pods.list().await {
            Ok((pods, version)) => Answer::Pods(pods, version),
            Err(error) => Answer::Done(Done::Listed(self.refusal(Call::ListPods, &error))),
        }
    }

    /// Deletes a pod if it still has this uid.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn delete_pod(&self, name: &str, uid: &str) -> Result<(), ApiError> {
        let request = requests::delete_pod(&self.identity.namespace, name, Some(uid))?;
        self.api.done(request).await?;
        say(format_args!("deleted pod {name}"));
        Ok(())
    }

    async fn create_pod(&self, name: &str, pod: &Pod) -> Result<Pod, ApiError> {
        let request = requests::create_pod(&self.identity.namespace, name, pod)?;
        let made: SlimPod = self.api.object(request).await?;
        say(format_args!("created pod {name}"));
        Ok(made.0)
    }

    async fn apply(&self, body: &serde_json::Value) -> Result<k8s_openapi::api::core::v1::Node, ApiError> {
        let request = requests::apply_node_status(&self.identity.node, MANAGER, body)?;
        let node: SlimNode = self.api.object(request).await?;
        say(format_args!("wrote the verdict on the Node"));
        Ok(node.0)
    }

    async fn emit(&self, name: &str, event: &k8s_openapi::api::events::v1::Event) -> Result<(), ApiError> {
        let request = requests::create_event(EVENT_NAMESPACE, name, event)?;
        self.api.done(request).await?;
        let reason = event.reason.as_deref().unwrap_or_default();
        say(format_args!("recorded an event: {reason}"));
        Ok(())
    }

    /// Converts an error for the reconciler. Records the error for the log and `/readyz` unless it is expected.
    fn refusal(&self, call: Call, error: &ApiError) -> Refusal {
        let refusal = refusal(call, error);
        // Expected: the name exists, the object has changed, a quota is used up, or the Node is gone.
        if !matches!(refusal, Refusal::Exists | Refusal::Conflict(_) | Refusal::Quota(_) | Refusal::Gone(_)) {
            self.health.failed(error);
        }
        refusal
    }
}

// === impl RateLimit ===

impl RateLimit {
    /// Waits until one more request may be made.
    async fn acquire(&mut self) {
        loop {
            let now = Instant::now();
            while self.left < BURST && self.next <= now {
                self.left += 1;
                self.next += PACE;
            }
            if let Some(left) = self.left.checked_sub(1) {
                if self.left == BURST {
                    self.next = now + PACE;
                }
                self.left = left;
                return;
            }
            sleep_until(self.next).await;
        }
    }
}

/// Converts an API error to the reconciler's [`Refusal`].
#[must_use]
pub fn refusal(call: Call, error: &ApiError) -> Refusal {
    match error {
        ApiError::Refused { code, reason, message, retry_after, .. } => {
            Refusal::of(call, *code, reason, message, retry_after.map(|wait| wait.as_secs()))
        }
        // It is unknown whether the API server has executed the request.
        ApiError::NoAnswer { .. } | ApiError::TooSlow { .. } | ApiError::Garbled { .. } => {
            Refusal::Unavailable(error.to_string())
        }
    }
}
