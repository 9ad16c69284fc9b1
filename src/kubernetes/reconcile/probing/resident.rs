//! Resident mode: two containers beside the agent serve rounds, and report as the containers of a probe pod do.

use super::super::action::Action;
use super::super::state::Reconciler;
use crate::names;
use crate::pod_outcome::End;
use crate::probe_pod::Asked;
use hugeprobe_domain::size::PageSize;
use hugeprobe_probe::container::Terminated;

impl Reconciler {
    /// Starts a round and returns its nonce.
    pub(super) fn start_round(&mut self, asked: &Asked, actions: &mut Vec<Action>) -> String {
        self.probing.rounds = self.probing.rounds.saturating_add(1);
        let number = self.probing.rounds.to_string();
        let time = self.clock.shown().to_string();
        let run = names::digest([self.identity.pod_uid.as_str(), time.as_str(), number.as_str()]);
        actions.push(Action::Round {
            size: asked.size,
            run: run.clone(),
            pages: asked.pages,
            seconds: self.config.probe.deadline_seconds,
        });
        run
    }

    /// Returns the nonce of the round that is in progress.
    #[cfg(test)]
    pub(in super::super) fn round(&self) -> Option<String> {
        self.probing.running.as_ref().map(|running| running.name.clone())
    }

    /// Handles the reports of both roles about a round.
    pub(in super::super) fn see_round(
        &mut self,
        size: PageSize,
        run: &str,
        frontend: Option<String>,
        backend: Option<String>,
    ) {
        if !self
            .probing
            .running
            .as_ref()
            .is_some_and(|running| running.asked.size == size && running.name == run)
        {
            return;
        }
        let end = if frontend.is_none() && backend.is_none() {
            End::Unknown("neither role answered in time".to_owned())
        } else {
            let terminated = |message| Terminated { message, reason: "no report in time".to_owned() };
            End::Reported(Box::new([frontend, backend].map(terminated)))
        };
        self.end_probe(end);
    }
}
