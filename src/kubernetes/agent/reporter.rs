//! Writes the state of the reconciler to the metrics, and its changes to the log.

use std::collections::BTreeMap;

use super::health::Health;
use super::log::say;
use crate::reconcile::View;
use hugeprobe_domain::size::PageSize;

/// Reports changes. It keeps what was reported last.
#[derive(Debug, Default)]
pub struct Reporter {
    verdict: String,
    blocked: BTreeMap<PageSize, String>,
    has_node: Option<bool>,
    recheck: String,
}

// === impl Reporter ===

impl Reporter {
    /// Logs what has changed and updates the metrics.
    pub fn report(&mut self, view: &View<'_>, health: &Health) {
        if view.first_published {
            health.published();
        }
        health.awaits_turn(view.awaits_turn);
        if let Some(verdict) = view.verdict {
            let sizes: Vec<_> =
                view.sizes.iter().map(|one| format!("{} {}", one.size, one.verdict)).collect();
            let text = format!("verdict {verdict}: {}", sizes.join(", "));
            if text != self.verdict {
                say(format_args!("{}", text.trim_end_matches([':', ' '])));
                self.verdict = text;
            }
            health.metrics.verdicts(verdict, view.sizes);
        }
        health
            .metrics
            .outcomes(view.findings.iter().map(|finding| (finding.id, finding.size, finding.outcome)));
        health.metrics.probes(&view.probes);
        self.blocked(view);
        if let Some(recheck) = view.recheck.filter(|recheck| *recheck != self.recheck) {
            say(format_args!("{recheck}"));
            recheck.clone_into(&mut self.recheck);
        }
        if self.has_node.is_none_or(|had| had != view.has_node) {
            if self.has_node.is_some() {
                say(format_args!("the Node is {}", if view.has_node { "there" } else { "missing" }));
            }
            self.has_node = Some(view.has_node);
        }
    }

    fn blocked(&mut self, view: &View<'_>) {
        for probe in &view.probes {
            match (probe.blocked.map(|blocked| blocked.why.as_str()), self.blocked.get(&probe.size)) {
                (Some(now), before) if before.is_none_or(|before| before != now) => {
                    say(format_args!("the probe of {}: {now}", probe.size));
                    self.blocked.insert(probe.size, now.to_owned());
                }
                (None, Some(_)) => {
                    self.blocked.remove(&probe.size);
                }
                _ => {}
            }
        }
    }
}
