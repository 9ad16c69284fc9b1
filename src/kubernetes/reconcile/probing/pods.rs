//! The probe pods of this node that are known to exist: the one that is running, and those that have to be deleted.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::super::action::Action;
use super::super::clock::Moment;
use crate::backoff::Backoff;
use crate::pod_outcome::{KEPT, Stage, is_over, stage};
use hugeprobe_domain::text::line;

/// Every probe pod of this node that has been observed and not yet deleted, by uid.
#[derive(Debug, Default)]
pub(in super::super) struct Pods {
    pub(in super::super) known: BTreeMap<String, Known>,
    /// Whether the pods have to be listed.
    pub(in super::super) look: bool,
    /// When a list was requested that has not been answered yet.
    pub(in super::super) asked: Option<Moment>,
    pub(in super::super) not_before: Moment,
    pub(in super::super) failures: u32,
}

#[derive(Debug)]
pub(in super::super) struct Known {
    pub(in super::super) name: String,
    pub(in super::super) stage: Stage,
    /// Whether its containers no longer hold any resource.
    pub(in super::super) over: bool,
    /// When this agent created it. A list that was made before does not contain it.
    pub(in super::super) made: Option<Moment>,
    pub(in super::super) removal: Removal,
    /// How often its deletion was refused.
    pub(in super::super) refused: u32,
    /// Whether the API server did not answer when its deletion was last requested.
    pub(in super::super) is_away: bool,
    /// When it was first observed, and when it was first observed to be over.
    pub(in super::super) since: Moment,
}

/// The progress of a pod's deletion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum Removal {
    NotAsked,
    /// Requested and not yet answered.
    Asked,
    /// Accepted at this time. The object disappears when the kubelet has stopped the containers.
    Granted(Moment),
    /// Refused. The deletion is requested again at this time.
    Refused(Moment),
}

pub(in super::super) const REFUSED: Backoff = Backoff { first: 2_000, most: 300_000 };
pub(in super::super) const LISTING: Backoff = Backoff { first: 1_000, most: 60_000 };

/// How long the deletion of a pod may take, in milliseconds. After that the agent assumes that it missed the watch
/// event, and lists the pods.
const GOES_WITHIN_MS: u64 = 30_000;

/// How long a leftover pod may exist before the Node shows its name, in milliseconds.
const LEFT_OVER_MS: u64 = 60_000;

/// How old a list of pods may be, in milliseconds. A pod that was created within this time is not missing if a list
/// does not contain it.
pub(in super::super) const LISTS_LAG_MS: u64 = 5_000;

// === impl Pods ===

impl Pods {
    /// Returns whether a pod of this name exists.
    pub(in super::super) fn has(&self, name: &str) -> bool {
        self.known.values().any(|pod| pod.name == name)
    }

    /// Returns whether any pod may still hold pages.
    pub(in super::super) fn any_alive(&self) -> bool {
        self.known.values().any(|pod| !pod.over)
    }

    /// Returns the leftover pod that keeps the pod `name` from being created, as a text, if it has done so for
    /// [`LEFT_OVER_MS`]: one that may hold pages, or one that has ended and has the name.
    pub(in super::super) fn leftover(&self, name: &str, now: Moment) -> Option<String> {
        let is_in_the_way = |pod: &&Known| !pod.is_away && (!pod.over || pod.name == name);
        let is_old = |pod: &&Known| now.since(pod.since) >= LEFT_OVER_MS;
        let pods = self.known.values().filter(is_in_the_way).filter(is_old);
        let pod = pods.min_by_key(|pod| (pod.over, pod.since))?;
        let what = match (pod.refused > 0, pod.over) {
            (true, _) => "cannot be deleted",
            (false, true) => "has ended and is not gone",
            (false, false) => "has not ended",
        };
        Some(line(&format!("a leftover probe pod {what}: {}", pod.name), KEPT))
    }

    pub(in super::super) fn stage(&self, uid: &str) -> Option<&Stage> {
        self.known.get(uid).map(|pod| &pod.stage)
    }

    /// Requests a list of the pods.
    pub(in super::super) const fn look(&mut self) {
        self.look = true;
    }

    /// Adds a pod that this agent has just created.
    pub(in super::super) fn made(&mut self, pod: &Pod, now: Moment) {
        self.see(pod, now);
        if let Some(known) = pod.metadata.uid.as_ref().and_then(|uid| self.known.get_mut(uid)) {
            known.made = Some(now);
        }
    }

    pub(in super::super) fn see(&mut self, pod: &Pod, now: Moment) {
        let (Some(name), Some(uid)) = (&pod.metadata.name, &pod.metadata.uid) else { return };
        let (stage, over) = (stage(pod), is_over(pod));
        match self.known.get_mut(uid) {
            // A pod that has ended stays ended. The status of a later observation may lack the containers' reports.
            Some(known) if known.over && !over => {}
            Some(known) => {
                if over && !known.over {
                    known.since = now;
                }
                (known.stage, known.over) = (stage, over);
            }
            None => {
                let known = Known {
                    name: name.clone(),
                    stage,
                    over,
                    made: None,
                    removal: Removal::NotAsked,
                    refused: 0,
                    is_away: false,
                    since: now,
                };
                self.known.insert(uid.clone(), known);
            }
        }
    }

    /// Requests the deletion of all pods but the running one, and a list if one is needed.
    pub(in super::super) fn remove(
        &mut self,
        running: Option<(&str, Option<&str>)>,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        for (uid, pod) in &mut self.known {
            // Until the creation has been answered, a pod of that name may be the one that is being created.
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

    pub(in super::super) fn times(&self) -> impl Iterator<Item = Moment> {
        let removals = self.known.values().filter_map(|pod| match pod.removal {
            Removal::Granted(when) => Some(when.after(GOES_WITHIN_MS)),
            Removal::Refused(again) => Some(again),
            Removal::NotAsked | Removal::Asked => None,
        });
        let leftovers = self.known.values().map(|pod| pod.since.after(LEFT_OVER_MS));
        removals.chain(leftovers).chain(self.look.then_some(self.not_before))
    }
}
