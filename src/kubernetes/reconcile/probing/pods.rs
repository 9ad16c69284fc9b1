//! The probe pods of this node that are known to exist: the one that is running, and those that are to go.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::super::clock::Moment;
use super::super::{Action, Reconciler, Refusal};
use crate::kubernetes::backoff::Backoff;
use crate::kubernetes::pod_outcome::{Stage, is_over, stage};

/// Every probe pod of this node that has been seen and is not gone, by uid.
#[derive(Debug, Default)]
pub(super) struct Pods {
    known: BTreeMap<String, Known>,
    /// Whether they are to be listed, and when that was asked for.
    look: bool,
    asked: Option<Moment>,
    not_before: Moment,
    failures: u32,
}

#[derive(Debug)]
struct Known {
    name: String,
    stage: Stage,
    /// Whether its containers hold nothing any more.
    over: bool,
    /// When it was made here; a list may be older than that.
    made: Option<Moment>,
    removal: Removal,
    /// How often that was refused.
    refused: u32,
}

/// How far it is with its removal.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Removal {
    NotAsked,
    /// Asked for, and not answered.
    Asked,
    /// Granted then; the object goes when the kubelet is done with it.
    Granted(Moment),
    /// Refused; to be tried again then.
    Refused(Moment),
}

const REFUSED: Backoff = Backoff { first: 2_000, most: 300_000 };
const LISTING: Backoff = Backoff { first: 1_000, most: 60_000 };

/// A pod that was deleted and is not seen to go: its going was missed.
const GOES_WITHIN_MS: u64 = 30_000;

/// A list that was made before a pod does not have it.
const LISTS_LAG_MS: u64 = 5_000;

// === impl Pods ===

impl Pods {
    /// Whether one of this name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.values().any(|pod| pod.name == name)
    }

    /// Whether one may still hold pages.
    pub(super) fn any_alive(&self) -> bool {
        self.known.values().any(|pod| !pod.over)
    }

    pub(super) fn stage(&self, uid: &str) -> Option<&Stage> {
        self.known.get(uid).map(|pod| &pod.stage)
    }

    /// They are to be listed.
    pub(super) const fn look(&mut self) {
        self.look = true;
    }

    /// This one was just made.
    pub(super) fn made(&mut self, pod: &Pod, now: Moment) {
        self.see(pod);
        if let Some(known) = pod.metadata.uid.as_ref().and_then(|uid| self.known.get_mut(uid)) {
            known.made = Some(now);
        }
    }

    fn see(&mut self, pod: &Pod) {
        let (Some(name), Some(uid)) = (&pod.metadata.name, &pod.metadata.uid) else { return };
        let (stage, over) = (stage(pod), is_over(pod));
        match self.known.get_mut(uid) {
            // What has ended stays so: what a container left may be taken from a status that comes later.
            Some(known) if known.over && !over => {}
            Some(known) => (known.stage, known.over) = (stage, over),
            None => {
                let known = Known {
                    name: name.clone(),
                    stage,
                    over,
                    made: None,
                    removal: Removal::NotAsked,
                    refused: 0,
                };
                self.known.insert(uid.clone(), known);
            }
        }
    }

    /// Asks for the removal of all but the one that is running, and for a list if one is wanted.
    pub(super) fn remove(
        &mut self,
        running: Option<(&str, Option<&str>)>,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        for (uid, pod) in &mut self.known {
            // While the answer to its creation is awaited, one of that name may be it.
            if running.is_some_and(|(name, its)| its.map_or(name == pod.name, |its| its == uid)) {
                continue;
            }
            match pod.removal {
                Removal::Asked => continue,
                Removal::Refused(again) if again > now => continue,
                Removal::Granted(when) if now.since(when) < GOES_WITHIN_MS => continue,
                Removal::Granted(_) => {
                    self.look = true;
                    pod.removal = Removal::Granted(now);
                    continue;
                }
                Removal::NotAsked | Removal::Refused(_) => {}
            }
            pod.removal = Removal::Asked;
            actions.push(Action::DeletePod { name: pod.name.clone(), uid: uid.clone() });
        }
        if self.look && self.asked.is_none() && self.not_before <= now {
            self.look = false;
            self.asked = Some(now);
            actions.push(Action::ListPods);
        }
    }

    pub(super) fn times(&self) -> impl Iterator<Item = Moment> {
        let removals = self.known.values().filter_map(|pod| match pod.removal {
            Removal::Granted(when) => Some(when.after(GOES_WITHIN_MS)),
            Removal::Refused(again) => Some(again),
            Removal::NotAsked | Removal::Asked => None,
        });
        removals.chain(self.look.then_some(self.not_before))
    }
}

// === what is seen ===

impl Reconciler {
    /// All probe pods that there are.
    pub(in super::super) fn see_pods(&mut self, pods: &[Pod]) {
        let now = self.clock.now();
        let is_listed = |uid: &String| pods.iter().any(|pod| pod.metadata.uid.as_ref() == Some(uid));
        let missing: Vec<_> = (self.probing.pods.known.iter())
            .filter(|(uid, known)| {
                !is_listed(uid) && known.made.is_none_or(|made| now.since(made) >= LISTS_LAG_MS)
            })
            .map(|(uid, _)| uid.clone())
            .collect();
        missing.iter().for_each(|uid| self.see_gone(uid));
        pods.iter().for_each(|pod| self.probing.pods.see(pod));
        self.probing.pods.asked = None;
        self.probing.pods.failures = 0;
    }

    /// One of them is new, or has changed.
    pub(in super::super) fn see_pod(&mut self, pod: &Pod) {
        self.probing.pods.see(pod);
    }

    /// One of them is gone.
    pub(in super::super) fn see_gone(&mut self, uid: &str) {
        let known = self.probing.pods.known.remove(uid);
        let Some(running) =
            self.probing.running.as_mut().filter(|running| running.uid.as_deref() == Some(uid))
        else {
            return;
        };
        // One that ended, and was removed before its end was looked at, has still ended.
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

    /// The answer to `DeletePod`.
    pub(in super::super) fn deleted(&mut self, uid: &str, result: &Result<(), Refusal>) {
        let Some(pod) = self.probing.pods.known.get_mut(uid) else { return };
        pod.removal = match result {
            Ok(()) | Err(Refusal::Gone(_) | Refusal::Conflict(_)) => Removal::Granted(self.clock.now()),
            Err(refusal) => {
                pod.refused = pod.refused.saturating_add(1);
                Removal::Refused(self.clock.after_refusal(REFUSED, pod.refused, refusal))
            }
        };
    }

    /// The answer to `ListPods`, if there is no list.
    pub(in super::super) fn not_listed(&mut self, refusal: &Refusal) {
        let pods = &mut self.probing.pods;
        pods.asked = None;
        pods.failures = pods.failures.saturating_add(1);
        pods.look = !matches!(refusal, Refusal::Forbidden(_));
        pods.not_before = self.clock.after_refusal(LISTING, pods.failures, refusal);
    }
}
