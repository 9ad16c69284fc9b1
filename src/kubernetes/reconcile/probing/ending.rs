//! Decides what the end of a probe means for its page size.

use super::super::size_state::{BlockedKind, ProbeResult, share};
use super::super::state::Reconciler;
use super::RunningProbe;
use crate::pod_outcome::{End, Lack};
use hugeprobe_domain::check::{Finding, Outcome, Verdict};
use hugeprobe_domain::compact::Container;
use hugeprobe_probe::container::{Conclusion, Terminated, conclude};

impl Reconciler {
    /// Handles the end of the running probe.
    pub(super) fn end_probe(&mut self, end: End) {
        let Some(running) = self.probing.running.take() else { return };
        let size = running.asked.size;
        // A probe that only waited does not count as tried.
        if let Some(state) = self.sizes.get_mut(&size).filter(|_| !matches!(end, End::Waiting(_))) {
            state.tried = Some(running.about.due.clone());
        }
        match end {
            End::Reported(terminated) => self.conclude(&running, &terminated),
            End::Busy { lacks: Lack::Numa, why } => {
                let (kind, why) = self.no_numa_node(&running, why);
                self.hinder(&running, kind, Lack::Numa.as_str(), &why);
            }
            End::Busy { lacks, why } => self.hinder(&running, BlockedKind::Busy, lacks.as_str(), &why),
            End::Waiting(why) => self.hinder(&running, BlockedKind::Waiting, "scheduler", &why),
            End::Unknown(why) => self.hinder(&running, BlockedKind::Prevented, "pod", &why),
        }
        let renew = self.renew_ms();
        let Some(state) = self.sizes.get(&size) else { return };
        let again = if state.renew {
            self.clock.now()
        } else {
            let (backoff, failures) = (state.backoff(renew), state.failures);
            self.clock.again(backoff, failures)
        };
        if let Some(state) = self.sizes.get_mut(&size) {
            state.not_before = again;
        }
    }

    /// Returns what the refusal of the kubelet's topology manager or memory manager means, and its text with the pages
    /// that were asked for and the NUMA node that had the most free pages.
    ///
    /// The scheduler counts the pages of the whole machine and knows no NUMA node, so workloads of this size are
    /// refused in the same way. With the policy `single-numa-node`, waiting does not help if one container asks for more
    /// pages than any NUMA node has. Whether the pod has to fit as a whole depends on `topologyManagerScope`, which
    /// the agent does not know, so the text has the pages of each container.
    fn no_numa_node(&self, running: &RunningProbe, why: String) -> (BlockedKind, String) {
        let asked = Container::ALL.map(|side| running.asked.probe(&self.config).pages_of(side));
        let pool = self.observed.inventory.as_ref().and_then(|inventory| inventory.pool(running.asked.size));
        let nodes = pool.into_iter().flat_map(|pool| &pool.numa);
        let counted = nodes.filter_map(|one| Some((one.free.get()?, one.total.get()?, one.node)));
        let counted: Vec<(u64, u64, u32)> = counted.collect();
        let Some((free, total, node)) = counted.iter().max_by_key(|(free, ..)| *free) else {
            return (BlockedKind::Busy, why);
        };
        let most = counted.iter().map(|(_, total, _)| *total).max().unwrap_or(0);
        let [frontend, backend] = asked;
        let word = why.split(':').next().unwrap_or_default();
        if frontend.saturating_add(backend) <= *free {
            let text = format!(
                "{word}: numa{node} has {free} free pages for {frontend}+{backend}, but too little CPU or memory"
            );
            return (BlockedKind::Busy, text);
        }
        let kind = if frontend.max(backend) > most { BlockedKind::Prevented } else { BlockedKind::Busy };
        let text = format!(
            "{word}: {frontend}+{backend} pages asked of one NUMA node, most free on numa{node}: {free} of {total}"
        );
        (kind, text)
    }

    fn hinder(&mut self, running: &RunningProbe, kind: BlockedKind, reason: &'static str, why: &str) {
        let shown = self.clock.shown();
        if let Some(state) = self.sizes.get_mut(&running.asked.size) {
            state.hindered(kind, reason, why, shown);
        }
    }

    /// Concludes the probe from the reports of both containers, which have ended.
    fn conclude(&mut self, running: &RunningProbe, terminated: &[Terminated; 2]) {
        let run = running.uid.as_deref().unwrap_or(&running.name);
        let Conclusion { verdict, findings, complete } = match run.parse() {
            Ok(run) => conclude(&running.asked.probe(&self.config), &run, terminated),
            Err(_) => Conclusion { verdict: Verdict::Unknown, findings: Vec::new(), complete: false },
        };
        let (now, shown, renew) = (self.clock.now(), self.clock.shown(), self.renew_ms());
        let busy = self.busy_ms();
        let used_up = complete && self.is_used_up(running);
        let Some(state) = self.sizes.get_mut(&running.asked.size) else { return };
        let not_pass: Vec<Finding> =
            findings.iter().filter(|finding| finding.outcome > Outcome::Pass).cloned().collect();
        match verdict {
            Verdict::Pass | Verdict::Warn | Verdict::Fail => {
                state.probe_result = Some(ProbeResult {
                    configuration: running.about.configuration.clone(),
                    verdict,
                    findings: findings.iter().map(without_evidence).collect(),
                    share: share(&findings),
                    at: shown,
                    expires: now.after(renew.saturating_mul(2)).min(now.after(busy)),
                    stale: now.after(busy),
                });
                state.inconclusive.clear();
                state.blocked = None;
                state.took = Some(now.since(running.since));
                state.ended(verdict.as_str(), verdict == Verdict::Fail);
            }
            // The pod was admitted, but the pages are used by processes that the kubelet does not know of.
            Verdict::Unknown | Verdict::None if used_up => {
                state.hindered(BlockedKind::Busy, Lack::Pages.as_str(), "no free page", shown);
            }
            Verdict::Unknown | Verdict::None => {
                // The first of equally bad findings is named, because later checks often could not be reached because
                // of it.
                let worst = not_pass.iter().rev().max_by_key(|finding| finding.outcome);
                let why = worst.map_or_else(
                    || "the probe was inconclusive".to_owned(),
                    |worst| format!("the probe was inconclusive, {}", worst.id),
                );
                state.inconclusive = not_pass;
                state.hindered(BlockedKind::Inconclusive, "report", &why, shown);
            }
        }
    }

    /// Returns whether the pool has fewer available pages than one container of the probe requests. If so, other
    /// processes use the rest.
    fn is_used_up(&self, running: &RunningProbe) -> bool {
        let pool = self.observed.inventory.as_ref().and_then(|inventory| inventory.pool(running.asked.size));
        let obtainable = pool.and_then(|pool| Some(pool.available()?.saturating_add(pool.growable()?)));
        obtainable.is_some_and(|pages| pages < running.asked.pages)
    }

    /// Returns the time from one renewal to the next, in milliseconds.
    pub(in super::super) const fn renew_ms(&self) -> u64 {
        self.config.renew_minutes.saturating_mul(60_000)
    }

    /// Returns how long a verdict remains valid at most while the node is busy, in milliseconds.
    pub(in super::super) const fn busy_ms(&self) -> u64 {
        self.config.probe.busy_hours.saturating_mul(3_600_000)
    }
}

/// Returns the finding without its evidence. The evidence is in the containers' logs and need not be kept.
fn without_evidence(finding: &Finding) -> Finding {
    Finding { evidence: serde_json::Map::new(), ..finding.clone() }
}
