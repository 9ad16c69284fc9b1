//! What both containers of a probe left, read and judged.

use crate::domain::check::{Finding, Verdict};
use crate::domain::judge::judge;
use crate::domain::request::Request;
use crate::kubernetes::config::Config;
use crate::kubernetes::pod_outcome::Left;
use crate::kubernetes::probe_pod::Asked;
use crate::probe::container;

/// What came of a probe.
#[derive(Debug)]
pub(super) struct Concluded {
    /// What it comes to.
    pub(super) verdict: Verdict,
    /// All that it found.
    pub(super) findings: Vec<Finding>,
    /// Whether both containers left a message that counts.
    pub(super) heard: bool,
}

/// What both containers of a probe left, put together.
pub(super) fn conclude(config: &Config, asked: &Asked, run: &str, lefts: &[Left; 2]) -> Concluded {
    let probe = asked.probe(config);
    let Ok(run) = run.parse() else {
        return Concluded { verdict: Verdict::Unknown, findings: Vec::new(), heard: false };
    };
    let [frontend, backend] =
        lefts.each_ref().map(|left| container::Left { message: left.message.as_deref(), ended: &left.ended });
    let findings = container::conclude(&probe, &run, frontend, backend);
    let verdicts = judge(&probe.plan(), &Request::default(), &findings);
    let verdict = verdicts.first().map_or(Verdict::Unknown, |one| one.verdict);
    Concluded { verdict, findings, heard: container::are_heard(&probe, &run, frontend, backend) }
}
