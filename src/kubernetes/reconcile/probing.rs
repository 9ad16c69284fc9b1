//! Decides when a probe is due and handles its result. One probe pod runs on a node at a time, and leftover pods are
//! removed.

mod ending;
mod observed_pods;
pub(super) mod pods;
mod resident;

use super::action::Action;
use super::clock::Moment;
use super::refusal::Refusal;
use super::size_state::{BlockedKind, SizeState};
use super::state::{Reconciler, RunningProbe};
use crate::backoff::Backoff;
use crate::config::Mode;
use crate::pod_outcome::{self, End, Stage};
use crate::probe_pod::{Asked, PageLimit, probe_pod};
use hugeprobe_domain::size::PageSize;

/// The backoff after an error of the API server that says nothing about the probe.
const AFTER_TROUBLE: Backoff = Backoff { first: 2_000, most: 120_000 };

/// The backoff while the pod's name is in use. A deleted pod releases its name within a few seconds.
const AFTER_TAKEN: Backoff = Backoff { first: 1_000, most: 30_000 };

/// The reason if a probe pod that this agent did not create blocks probes.
const LEFTOVER: &str = "leftover";

/// How often in a row the pod's name may be in use before the Node shows it. A pod that was just deleted is gone by
/// then.
const TAKEN: u32 = 4;

/// The time that is allowed in addition to all deadlines, in milliseconds, because the kubelet and the API server
/// need time.
const SLACK_MS: u64 = 15_000;

impl Reconciler {
    /// Handles the end of the running probe, removes leftover pods, and starts the probe that is due.
    pub(super) fn probe(&mut self, actions: &mut Vec<Action>) {
        if let Some(end) = self.end_of_probe() {
            self.end_probe(end);
            self.inspect();
        }
        if self.node().is_none() {
            return;
        }
        self.follow_recheck();
        let running =
            self.probing.running.as_ref().map(|running| (running.name.as_str(), running.uid.as_deref()));
        self.probing.pods.remove(running, self.clock.now(), actions);
        if self.probing.running.is_none()
            && !self.probing.pods.any_alive()
            && let Some(size) = self.next_size()
        {
            self.start(size, actions);
        }
        self.name_leftover();
    }

    /// Records which pod keeps probes from starting, once it has done so for a while.
    fn name_leftover(&mut self) {
        let (now, shown) = (self.clock.now(), self.clock.shown());
        if self.probing.running.is_some() {
            return;
        }
        for (size, state) in &mut self.sizes {
            if state.due(now).is_none_or(|time| time > now) {
                continue;
            }
            let name = crate::names::probe_pod(&self.identity.node, *size);
            let Some(why) = self.probing.pods.leftover(&name, now) else { continue };
            if state.blocked.as_ref().is_none_or(|blocked| blocked.why != why) {
                state.hindered(BlockedKind::Prevented, LEFTOVER, &why, shown);
            }
        }
    }

    /// Returns when a decision about probes is due.
    pub(super) fn probing_times(&self) -> Vec<Moment> {
        let now = self.clock.now();
        let mut times: Vec<_> = match &self.probing.running {
            Some(running) => vec![self.pending_until(running), self.over_by(running)],
            None => self.sizes.values().filter_map(|state| state.due(now)).collect(),
        };
        times.extend(self.probing.pods.times());
        times.extend(self.probing.recheck.due);
        times
    }

    /// Returns the first size whose probe is due and whose pod's name is free. Sizes that are not settled come first.
    fn next_size(&self) -> Option<PageSize> {
        let now = self.clock.now();
        let due = self.sizes.iter().filter(|(_, state)| state.due(now).is_some_and(|time| time <= now));
        let free = due.filter(|(size, _)| !self.probing.pods.has(&self.pod_name(**size)));
        free.min_by_key(|(size, state)| (state.is_settled(), **size)).map(|(size, _)| *size)
    }

    fn pod_name(&self, size: PageSize) -> String {
        crate::names::probe_pod(&self.identity.node, size)
    }

    fn start(&mut self, size: PageSize, actions: &mut Vec<Action>) {
        let Some(about) = self.sizes.get(&size).and_then(|state| state.about.clone()) else { return };
        let Some(asked) = self.asked(size) else { return };
        let name = match self.config.mode {
            Mode::ProbePods => {
                actions.push(Action::CreatePod(Box::new(probe_pod(&self.identity, &self.config, &asked))));
                self.pod_name(size)
            }
            Mode::Resident => self.start_round(&asked, actions),
        };
        let since = self.clock.now();
        self.probing.running = Some(RunningProbe { asked, about, name, uid: None, since, gone: false });
    }

    /// Returns what to test with the next probe of `size`; `None` if there is no Node or no such pool.
    ///
    /// The probe uses the configured number of pages, but at most half of the available pages, because each of the
    /// two containers requests that many.
    fn asked(&self, size: PageSize) -> Option<Asked> {
        let (inventory, node) = (self.observed.inventory.as_ref()?, self.node()?);
        let pool = inventory.pool(size)?;
        let capacity = node.capacity(size).get().unwrap_or(1);
        let obtainable = pool.available().unwrap_or(0).saturating_add(pool.growable().unwrap_or(0));
        let half = capacity.min(obtainable) / 2;
        let request = self.config.request(&node.labels);
        // Two limits of one page each could never be scheduled on a node with one page. In resident mode each role
        // already has its own limit.
        let limit = match capacity {
            1 if self.config.mode == Mode::ProbePods => {
                let of_pod = self.config.probe.pod_level_resources && node.has_pod_level_pages;
                if of_pod { PageLimit::Pod } else { PageLimit::Frontend }
            }
            _ => PageLimit::Containers,
        };
        Some(Asked {
            size,
            pages: self.config.probe.pages(size).min(half).max(1),
            limit,
            need: request.need.into_iter().filter(|need| need.size == size).collect(),
            memory_pays: inventory.huge_pages_count_as_memory.get() == Some(true),
        })
    }

    /// Returns how the running probe ended, or `None` if it has not ended.
    fn end_of_probe(&self) -> Option<End> {
        let running = self.probing.running.as_ref()?;
        let now = self.clock.now();
        if self.config.mode == Mode::Resident {
            let late = now >= self.over_by(running);
            return late.then(|| End::Unknown("neither role answered in time".to_owned()));
        }
        let uid = running.uid.as_ref()?;
        if running.gone {
            return Some(pod_outcome::gone());
        }
        let too_late = || {
            (now >= self.over_by(running))
                .then(|| End::Unknown("the probe pod exceeded its time limit".into()))
        };
        match self.probing.pods.stage(uid) {
            Some(Stage::Ended(end)) => Some(end.clone()),
            Some(Stage::Pending { if_it_lasts }) if now >= self.pending_until(running) => {
                Some(if_it_lasts.clone())
            }
            Some(Stage::Starting { stuck: Some(why) }) if now >= self.pending_until(running) => {
                Some(End::Unknown(why.clone()))
            }
            Some(Stage::Starting { stuck: None }) if now >= self.over_by(running) => {
                Some(End::Unknown("the probe pod's containers did not start in time".to_owned()))
            }
            Some(_) | None => too_late(),
        }
    }

    fn pending_until(&self, running: &RunningProbe) -> Moment {
        running.since.after(self.config.probe.pending_seconds.saturating_mul(1000))
    }

    fn over_by(&self, running: &RunningProbe) -> Moment {
        let deadline = self.config.probe.deadline_seconds.saturating_mul(1000);
        self.pending_until(running).after(deadline).after(SLACK_MS)
    }

    /// Handles the result of `CreatePod`.
    pub(super) fn created(&mut self, name: &str, result: Result<k8s_openapi::api::core::v1::Pod, Refusal>) {
        let Some(running) =
            self.probing.running.as_mut().filter(|running| running.name == name && running.uid.is_none())
        else {
            return;
        };
        match result {
            Ok(pod) => {
                running.uid = pod.metadata.uid.clone();
                self.probing.pods.made(&pod, self.clock.now());
            }
            Err(refusal) => {
                let size = running.asked.size;
                self.probing.running = None;
                self.not_created(size, &refusal);
            }
        }
    }

    fn not_created(&mut self, size: PageSize, refusal: &Refusal) {
        let shown = self.clock.shown();
        let renew = self.renew_ms();
        let Some(state) = self.sizes.get_mut(&size) else { return };
        let settle =
            |state: &mut SizeState| state.tried = state.about.as_ref().map(|about| about.due.clone());
        let backoff = match refusal {
            // Another pod has the name: a leftover of hugeprobe's that the agent has not seen yet.
            Refusal::Exists => {
                self.probing.pods.look();
                if state.failures >= TAKEN {
                    let why = "another pod has the name of the probe pod";
                    state.hindered(BlockedKind::Prevented, LEFTOVER, why, shown);
                } else {
                    state.failures = state.failures.saturating_add(1);
                }
                AFTER_TAKEN
            }
            Refusal::Quota(_) => {
                let why = "exceeded quota: other nodes are probed first";
                state.hindered(BlockedKind::Waiting, "quota", why, shown);
                state.backoff(renew)
            }
            Refusal::Forbidden(_) => {
                settle(state);
                let why = "the API server forbids the probe pod (403)";
                state.hindered(BlockedKind::Prevented, "forbidden", why, shown);
                state.backoff(renew)
            }
            Refusal::Invalid(_) => {
                settle(state);
                let why = "the API server refuses the probe pod as invalid";
                state.hindered(BlockedKind::Prevented, "invalid", why, shown);
                state.backoff(renew)
            }
            Refusal::Conflict(_) | Refusal::Gone(_) | Refusal::Throttled { .. } | Refusal::Unavailable(_) => {
                self.probing.pods.look();
                state.failures = state.failures.saturating_add(1);
                AFTER_TROUBLE
            }
        };
        let failures = state.failures;
        let again = self.clock.after_refusal(backoff, failures, refusal);
        if let Some(state) = self.sizes.get_mut(&size) {
            state.not_before = again;
        }
    }
}
