//! The health of the agent: `/healthz` and `/readyz`.
//!
//! Neither depends on the node's pages: an agent that reports a broken node is healthy.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::http::{PLAIN, Page};
use super::log::say;
use super::metrics::{self, Metrics};
use crate::api::{ApiError, Meter, Resource, Verb};

/// The state of the loop and of its API requests, and the metrics.
#[derive(Debug)]
pub struct Health {
    /// The metrics that `/metrics` serves.
    pub metrics: Metrics,
    /// The loop is stuck if its last tick is older than this.
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last_tick: Instant,
    /// Whether the first verdict was published.
    published: bool,
    /// Whether the first probe waits for its turn. The agent is ready then, so that a roll-out does not wait for the
    /// probe.
    awaits_turn: bool,
    /// The kinds of requests that currently fail.
    failing: BTreeMap<(Verb, Resource), Failing>,
}

/// The state of a kind of request that fails.
#[derive(Debug)]
struct Failing {
    since: Instant,
    /// Whether a permission is missing (true) or the request fails for another reason.
    forbidden: bool,
}

// === impl Health ===

impl Health {
    /// Creates the health of a loop that starts now and ticks every `tick`.
    #[must_use]
    pub fn new(tick: Duration) -> Self {
        // Three ticks, and at least a minute: do not restart the agent because the node is short of CPU.
        let patience = (tick * 3).max(Duration::from_secs(60));
        let state = State {
            last_tick: Instant::now(),
            published: false,
            awaits_turn: false,
            failing: BTreeMap::new(),
        };
        Self { metrics: Metrics::new(), patience, state: Mutex::new(state) }
    }

    /// Records a tick of the loop.
    pub fn tick(&self) {
        self.state().last_tick = Instant::now();
    }

    /// Records that a verdict was published.
    pub fn published(&self) {
        self.state().published = true;
    }

    /// Sets whether the first probe waits for its turn.
    pub fn awaits_turn(&self, awaits: bool) {
        self.state().awaits_turn = awaits;
    }

    /// Records that a request failed. The failure is logged once, until a request of its kind succeeds or fails
    /// differently.
    pub fn failed(&self, error: &ApiError) {
        let attempt = error.attempt();
        let forbidden = error.is_forbidden();
        if forbidden {
            self.metrics.denied(attempt.verb, attempt.resource);
        }
        let text = error.to_string();
        let mut state = self.state();
        match state.failing.get_mut(&(attempt.verb, attempt.resource)) {
            Some(failing) if failing.forbidden == forbidden => {}
            Some(failing) => {
                say(format_args!("{text}"));
                failing.forbidden = forbidden;
            }
            None => {
                say(format_args!("{text}"));
                let failing = Failing { since: Instant::now(), forbidden };
                state.failing.insert((attempt.verb, attempt.resource), failing);
            }
        }
    }

    /// Returns `/metrics`, `/healthz` and `/readyz`.
    #[must_use]
    pub fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/metrics" => {
                let text = self.metrics.text();
                Some(Page { well: true, content_type: metrics::CONTENT_TYPE, text })
            }
            "/healthz" => Some(self.live()),
            "/readyz" => Some(self.ready()),
            _ => None,
        }
    }

    fn live(&self) -> Page {
        let ago = self.state().last_tick.elapsed();
        let well = ago < self.patience;
        let word = if well { "alive" } else { "stuck" };
        let text = format!("{word}: the last tick was {:.1} s ago\n", ago.as_secs_f64());
        Page { well, content_type: PLAIN, text }
    }

    fn ready(&self) -> Page {
        let state = self.state();
        let mut text = if state.published {
            "ready: a verdict is on the Node\n".to_owned()
        } else if state.awaits_turn {
            "ready: the first probe waits for its turn\n".to_owned()
        } else {
            "not ready: no verdict is on the Node yet\n".to_owned()
        };
        // Do not show what the API server answered: this page needs no authentication. The log has the answer.
        for ((verb, resource), Failing { since, forbidden }) in &state.failing {
            let label = if *forbidden { "missing permission" } else { "failing" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{label}, {verb} {resource} (for {} s)", since.elapsed().as_secs());
        }
        Page { well: state.published || state.awaits_turn, content_type: PLAIN, text }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is usable: no code that holds it can leave the state half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter for Health {
    fn request(&self, verb: Verb, resource: Resource, code: Option<u16>) {
        self.metrics.request(verb, resource, code);
    }

    fn succeeded(&self, verb: Verb, resource: Resource) {
        let failing = self.state().failing.remove(&(verb, resource));
        if let Some(Failing { since, .. }) = failing {
            say(format_args!("can {verb} {resource} again, after {} s", since.elapsed().as_secs()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Attempt;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stopped_is_not_alive() {
        let health = Health::new(Duration::from_secs(10));
        assert!(health.page("/healthz").unwrap().well);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!health.page("/healthz").unwrap().well);
        health.tick();
        assert!(health.page("/healthz").unwrap().well);
    }

    #[tokio::test(start_paused = true)]
    async fn ready_means_that_a_verdict_is_out_and_a_missing_right_is_named_until_it_is_there() {
        let health = Health::new(Duration::from_secs(10));
        health.failed(&ApiError::Refused {
            attempt: Attempt::new(Verb::Patch, Resource::NodesStatus, "node-a"),
            code: 403,
            reason: "Forbidden".into(),
            message: "no such right".into(),
            retry_after: None,
        });
        let page = health.page("/readyz").unwrap();
        assert!(!page.well);
        let metrics = health.metrics.text();
        assert!(metrics.contains(r#"api_denied_total{verb="patch",resource="nodes/status"} 1"#), "{metrics}");
        assert!(page.text.ends_with("\nmissing permission, patch nodes/status (for 0 s)\n"), "{}", page.text);
        health.succeeded(Verb::Patch, Resource::NodesStatus);
        health.published();
        assert_eq!(health.page("/readyz").unwrap().text, "ready: a verdict is on the Node\n");
    }

    #[tokio::test]
    async fn a_first_probe_that_waits_for_its_turn_keeps_no_roll_out_waiting() {
        let health = Health::new(Duration::from_secs(10));
        health.awaits_turn(true);
        let page = health.page("/readyz").unwrap();
        assert_eq!((page.well, page.text.as_str()), (true, "ready: the first probe waits for its turn\n"));
        health.awaits_turn(false);
        assert!(!health.page("/readyz").unwrap().well);
    }

    #[tokio::test]
    async fn an_outage_is_told_and_says_nothing_about_readiness() {
        let health = Health::new(Duration::from_secs(10));
        health.published();
        let attempt = Attempt::new(Verb::Watch, Resource::Nodes, "node-a");
        health.failed(&ApiError::NoAnswer { attempt, why: "connection refused".into() });
        let page = health.page("/readyz").unwrap();
        assert!(page.well && page.text.ends_with("\nfailing, watch nodes (for 0 s)\n"), "{}", page.text);
    }
}
