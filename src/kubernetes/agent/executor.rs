//! Executes the actions of the reconciler, one after another, and answers each with its result. Nothing is tried again here: the
//! reconciler decides that.
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
use crate::kubernetes::api::{Api, ApiError, requests};
use crate::kubernetes::backoff::Backoff;
use crate::kubernetes::names::{EVENT_NAMESPACE, MANAGER};
use crate::kubernetes::reconcile::refusal::{Call, Refusal};
use crate::kubernetes::reconcile::{Action, Done, Identity};
use crate::kubernetes::slim::{SlimNode, SlimPod};

/// The result of an action.
#[derive(Debug)]
pub enum Answer {
    /// A result for the reconciler.
    Done(Done),
    /// All probe pods, and the version that they were listed at.
    Pods(Vec<Pod>, String),
}

/// Executes actions.
#[derive(Debug, Clone)]
pub struct Executor {
    /// Whom to ask.
    pub api: Api,
    /// Who asks.
    pub identity: Identity,
    /// Lists pods.
    pub pods: PodWatcher,
    /// Reports failures.
    pub health: Arc<Health>,
}

/// Limits the rate of writes: whatever goes wrong on a node must not load the API server of the cluster.
#[derive(Debug)]
struct RateLimit {
    /// Writes that may be made at once.
    left: u32,
    /// When the next one is added.
    next: Instant,
}

/// A first verdict about many sizes, and some trouble, take no more than this at once.
pub const BURST: u32 = 30;
/// Beyond it, one write in this time.
pub const PACE: Duration = Duration::from_secs(6);

/// Between two tries to list the pods for the first time.
const LISTING: Backoff = Backoff { first: 1_000, most: 30_000 };

// === impl Executor ===

impl Executor {
    /// Executes actions in their order, and answers each. Ends when the receiver is dropped.
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

    /// Lists the probe pods until that is done, or forbidden: the reconciler decides nothing before.
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
            // The receiver is gone once the agent ends.
            let _ = tell.send(answer).await;
            if known {
                return;
            }
            failures += 1;
            sleep(self.pods.random.wait(LISTING, failures, throttled.map(Duration::from_secs))).await;
        }
    }

    /// Executes one action; `None` if it needs no request.
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
                    // Gone already, or another one by now: as wanted.
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
                    // The event was recorded before; the answer was lost.
                    Err(error) if error.is_conflict() => Ok(()),
                    other => other.map_err(|error| self.refusal(Call::Emit, &error)),
                };
                Answer::Done(Done::Emitted { name, result })
            }
            Action::Round { .. } | Action::WakeAt(_) => return None,
        })
    }

    /// All probe pods of this node.
    pub async fn list_pods(&self) -> Answer {
        match self.pods.list().await {
            Ok((pods, version)) => Answer::Pods(pods, version),
            Err(error) => Answer::Done(Done::Listed(self.refusal(Call::ListPods, &error))),
        }
    }

    /// Deletes a pod, if it is still that one.
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

    /// The error as the reconciler gets it, which the log and `/readyz` have too.
    fn refusal(&self, call: Call, error: &ApiError) -> Refusal {
        let refusal = refusal(call, error);
        // Expected answers are not errors: a name that exists, a quota that is used up, a Node that is gone.
        if !matches!(refusal, Refusal::Exists | Refusal::Conflict(_) | Refusal::Quota(_) | Refusal::Gone(_)) {
            self.health.failed(error);
        }
        refusal
    }
}

// === impl RateLimit ===

impl RateLimit {
    /// Waits until one more write may be made.
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

/// What an error means for the reconciler.
#[must_use]
pub fn refusal(call: Call, error: &ApiError) -> Refusal {
    match error {
        ApiError::Refused { code, reason, message, retry_after, .. } => {
            Refusal::of(call, *code, reason, message, retry_after.map(|wait| wait.as_secs()))
        }
        // Whether it was done is not known.
        ApiError::NoAnswer { .. } | ApiError::TooSlow { .. } | ApiError::Garbled { .. } => {
            Refusal::Unavailable(error.to_string())
        }
    }
}
