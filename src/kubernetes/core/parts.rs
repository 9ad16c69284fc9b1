//! What both containers of a probe left, read and judged.

use crate::domain::check::{Finding, Verdict};
use crate::domain::judge::judge;
use crate::domain::request::Request;
use crate::kubernetes::config::Config;
use crate::kubernetes::pod_outcome::Left;
use crate::kubernetes::probe_pod::Asked;
use crate::probe::container;

/// The verdict of a probe, and all that it found.
pub(super) fn conclude(
    config: &Config,
    asked: &Asked,
    run: &str,
    lefts: &[Left; 2],
) -> (Verdict, Vec<Finding>) {
    let probe = asked.probe(config);
    let Ok(run) = run.parse() else { return (Verdict::Unknown, Vec::new()) };
    let [frontend, backend] =
        lefts.each_ref().map(|left| container::Left { message: left.message.as_deref(), ended: &left.ended });
    let findings = container::conclude(&probe, &run, frontend, backend);
    let verdicts = judge(&probe.plan(), &Request::default(), &findings);
    (verdicts.first().map_or(Verdict::Unknown, |one| one.verdict), findings)
}
