//! Handles observations of probe pods and the results of the calls about them.

use k8s_openapi::api::core::v1::Pod;

use super::super::OUTAGE;
use super::super::refusal::Refusal;
use super::super::state::Reconciler;
use super::pods::{Known, LISTING, LISTS_LAG_MS, REFUSED, Removal};
use crate::pod_outcome::Stage;
use crate::probe_pod::on_node;

impl Reconciler {
    /// Handles a list of all probe pods.
    pub(in super::super) fn see_pods(&mut self, pods: &[Pod]) {
        let now = self.clock.now();
        let pods: Vec<&Pod> = pods.iter().filter(|pod| !self.is_elsewhere(pod)).collect();
        let is_listed = |uid: &String| pods.iter().any(|pod| pod.metadata.uid.as_ref() == Some(uid));
        let missing: Vec<_> = (self.probing.pods.known.iter())
            .filter(|(uid, known)| {
                !is_listed(uid) && known.made.is_none_or(|made| now.since(made) >= LISTS_LAG_MS)
            })
            .map(|(uid, _)| uid.clone())
            .collect();
        missing.iter().for_each(|uid| self.see_gone(uid));
        pods.iter().for_each(|pod| self.probing.pods.see(pod, now));
        self.probing.pods.asked = None;
        self.probing.pods.failures = 0;
    }

    /// Handles a probe pod that was created or has changed.
    pub(in super::super) fn see_pod(&mut self, pod: &Pod) {
        if !self.is_elsewhere(pod) {
            self.probing.pods.see(pod, self.clock.now());
        }
    }

    /// Returns whether a pod is on another node or can only be scheduled to another node. Regardless of its labels,
    /// it takes no page of this node, and this agent is not permitted to delete it.
    fn is_elsewhere(&self, pod: &Pod) -> bool {
        let Some(spec) = &pod.spec else { return false };
        let is_known = pod.metadata.uid.as_ref().is_some_and(|uid| self.probing.pods.known.contains_key(uid));
        match spec.node_name.as_deref() {
            Some(node) if !node.is_empty() => node != self.identity.node,
            _ => !is_known && spec.affinity.as_ref() != Some(&on_node(&self.identity.node)),
        }
    }

    /// Handles the deletion of a probe pod.
    pub(in super::super) fn see_gone(&mut self, uid: &str) {
        let known = self.probing.pods.known.remove(uid);
        let Some(running) =
            self.probing.running.as_mut().filter(|running| running.uid.as_deref() == Some(uid))
        else {
            return;
        };
        // A pod that was deleted after it had ended, but before its end was handled, still counts as ended.
        match known {
            Some(ended) if matches!(ended.stage, Stage::Ended(_)) => {
                self.probing
                    .pods
                    .known
                    .insert(uid.to_owned(), Known { removal: Removal::Granted(self.clock.now()), ..ended });
            }
            _ => running.gone = true,
        }
    }

    /// Handles the result of `DeletePod`.
    pub(in super::super) fn deleted(&mut self, uid: &str, result: &Result<(), Refusal>) {
        let now = self.clock.now();
        let Some(pod) = self.probing.pods.known.get_mut(uid) else { return };
        let is_away = matches!(result, Err(Refusal::Unavailable(_) | Refusal::Throttled { .. }));
        if is_away || pod.is_away {
            // It is not left over because the API server was away.
            pod.since = now;
        }
        pod.is_away = is_away;
        pod.removal = match result {
            Ok(()) | Err(Refusal::Gone(_) | Refusal::Conflict(_)) => Removal::Granted(now),
            Err(refusal) => {
                pod.refused = pod.refused.saturating_add(1);
                let backoff = if is_away { OUTAGE } else { REFUSED };
                Removal::Refused(self.clock.after_refusal(backoff, pod.refused, refusal))
            }
        };
    }

    /// Handles the failure of `ListPods`.
    pub(in super::super) fn not_listed(&mut self, refusal: &Refusal) {
        let pods = &mut self.probing.pods;
        pods.asked = None;
        pods.failures = pods.failures.saturating_add(1);
        pods.look = !matches!(refusal, Refusal::Forbidden(_));
        pods.not_before = self.clock.after_refusal(LISTING, pods.failures, refusal);
    }
}
