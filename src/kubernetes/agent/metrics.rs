//! The metrics of `/metrics`, with names and units in the style of Prometheus. docs/reference/metrics.md documents
//! them.
//!
//! The format is OpenMetrics: counters end in `_total`. A series that no longer applies is removed instead of set to
//! zero.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::api::{Resource, Verb};
use crate::reconcile::ProbeView;
use hugeprobe_domain::check::{CheckId, Outcome, Verdict};
use hugeprobe_domain::inventory::Pool;
use hugeprobe_domain::report::SizeVerdict;
use hugeprobe_domain::size::PageSize;

/// The `Content-Type` of `/metrics`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Count = Family<Labels, Gauge>;
type Seconds = Family<Labels, Gauge<f64, AtomicU64>>;

/// All metrics of the agent.
pub struct Metrics {
    registry: Registry,
    pool_pages: Count,
    node_verdict: Count,
    verdict: Count,
    check_outcome: Count,
    last_probe: Seconds,
    probe_duration: Seconds,
    busy_since: Seconds,
    blocked_since: Seconds,
    probes: Family<Labels, Counter>,
    api_requests: Family<Labels, Counter>,
    api_denied: Family<Labels, Counter>,
}

const VERDICTS: [Verdict; 5] = [Verdict::None, Verdict::Pass, Verdict::Warn, Verdict::Unknown, Verdict::Fail];

// === impl Metrics ===

impl Metrics {
    /// Creates the metrics, without any series except the version.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("hugeprobe"),
            pool_pages: Family::default(),
            node_verdict: Family::default(),
            verdict: Family::default(),
            check_outcome: Family::default(),
            last_probe: Family::default(),
            probe_duration: Family::default(),
            busy_since: Family::default(),
            blocked_since: Family::default(),
            probes: Family::default(),
            api_requests: Family::default(),
            api_denied: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let build = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        registry.register("build", "The version of the program", Info::new(build));
        registry.register(
            "pool_pages",
            "Huge pages by state, for each NUMA node; reserved pages are known only for the whole machine: \
             numa_node=\"\"",
            self.pool_pages.clone(),
        );
        registry.register(
            "node_verdict",
            "1 for the node's verdict, 0 for the others",
            self.node_verdict.clone(),
        );
        registry.register("verdict", "1 for the size's verdict, 0 for the others", self.verdict.clone());
        registry.register(
            "check_outcome",
            "1 for the result of the last run of the check, 0 for the others; size=\"\": the machine",
            self.check_outcome.clone(),
        );
        registry.register(
            "last_probe_timestamp_seconds",
            "When the last probe of the size that could run ended",
            self.last_probe.clone(),
        );
        registry.register(
            "probe_duration_seconds",
            "How long that probe took, from the creation of its pod to its report",
            self.probe_duration.clone(),
        );
        registry.register(
            "probe_busy_since_timestamp_seconds",
            "Since when no probe of the size could run while an older verdict is still used; no series while probes \
             run",
            self.busy_since.clone(),
        );
        registry.register(
            "probe_blocked_since_timestamp_seconds",
            "Since when no probe of the size could run or conclude, and why; no series while probes do",
            self.blocked_since.clone(),
        );
        registry.register("probes", "Probes by how they ended", self.probes.clone());
        registry.register(
            "api_requests",
            "Completed requests to the API server; code=\"none\": without an answer",
            self.api_requests.clone(),
        );
        registry.register(
            "api_denied",
            "Requests that RBAC or an admission policy denied",
            self.api_denied.clone(),
        );
    }

    /// Returns the text of `/metrics`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }

    /// Sets the pages of the pools. A counter that cannot be read has no series.
    pub fn pools(&self, pools: &[Pool]) {
        self.pool_pages.clear();
        for pool in pools {
            let set = |node: &str, state: &str, pages: Option<u64>| {
                let Some(pages) = pages.and_then(|pages| i64::try_from(pages).ok()) else { return };
                let labels = vec![
                    ("size", pool.size.to_string()),
                    ("numa_node", node.to_owned()),
                    ("state", state.to_owned()),
                ];
                self.pool_pages.get_or_create(&labels).set(pages);
            };
            set("", "reserved", pool.reserved.get());
            if pool.numa.is_empty() {
                set("", "total", pool.total.get());
                set("", "free", pool.free.get());
                set("", "surplus", pool.surplus.get());
            }
            for numa in &pool.numa {
                let node = numa.node.to_string();
                set(&node, "total", numa.total.get());
                set(&node, "free", numa.free.get());
                set(&node, "surplus", numa.surplus.get());
            }
        }
    }

    /// Counts a request that RBAC or an admission policy denied.
    ///
    /// The caller does not count requests that a quota denied or that failed because the Node is gone.
    pub fn denied(&self, verb: Verb, resource: Resource) {
        let labels = vec![("verb", verb.to_string()), ("resource", resource.to_string())];
        self.api_denied.get_or_create(&labels).inc();
    }

    /// Sets the verdicts of the node and of the sizes.
    pub fn verdicts(&self, node: Verdict, sizes: &[SizeVerdict]) {
        self.verdict.clear();
        for verdict in VERDICTS {
            let labels = vec![("verdict", verdict.to_string())];
            self.node_verdict.get_or_create(&labels).set((verdict == node).into());
            for one in sizes {
                let labels = vec![("size", one.size.to_string()), ("verdict", verdict.to_string())];
                self.verdict.get_or_create(&labels).set((verdict == one.verdict).into());
            }
        }
    }

    /// Sets the outcome of each check.
    pub fn outcomes(&self, outcomes: impl IntoIterator<Item = (CheckId, Option<PageSize>, Outcome)>) {
        self.check_outcome.clear();
        for (id, size, outcome) in outcomes {
            let labels = vec![
                ("id", id.to_string()),
                ("size", size.map(|size| size.to_string()).unwrap_or_default()),
                ("outcome", outcome.to_string()),
            ];
            self.check_outcome.get_or_create(&labels).set(1);
        }
    }

    /// Sets the metrics about probes.
    pub fn probes<'a>(&self, probes: impl IntoIterator<Item = &'a ProbeView<'a>>) {
        // Remove the series of sizes that are gone.
        self.busy_since.clear();
        self.blocked_since.clear();
        self.last_probe.clear();
        self.probe_duration.clear();
        self.probes.clear();
        for probe in probes {
            let size = vec![("size", probe.size.to_string())];
            if let Some(at) = probe.last_concluded {
                self.last_probe.get_or_create(&size).set(seconds(at));
            }
            if let Some(took) = probe.last_seconds {
                self.probe_duration.get_or_create(&size).set(took);
            }
            if let Some(since) = probe.busy_since {
                self.busy_since.get_or_create(&size).set(seconds(since));
            }
            if let Some(blocked) = probe.blocked {
                let labels = vec![
                    ("size", probe.size.to_string()),
                    ("kind", blocked.kind.as_str().to_owned()),
                    ("reason", blocked.reason.to_owned()),
                ];
                self.blocked_since.get_or_create(&labels).set(seconds(blocked.since));
            }
            for (ending, count) in probe.ends {
                let labels = vec![("size", probe.size.to_string()), ("ending", (*ending).to_owned())];
                self.probes.get_or_create(&labels).inner().store(*count, Ordering::Relaxed);
            }
        }
    }

    /// Counts a completed request, with the HTTP status if there was an answer.
    pub fn request(&self, verb: Verb, resource: Resource, code: Option<u16>) {
        let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let labels = vec![("verb", verb.to_string()), ("resource", resource.to_string()), ("code", code)];
        self.api_requests.get_or_create(&labels).inc();
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
