//! What both containers of a probe left, read and judged.

use crate::domain::check::{Finding, Verdict};
use crate::kubernetes::config::Config;
use crate::kubernetes::pod_outcome::Left;
use crate::kubernetes::probe_pod::Asked;

/// The verdict of a probe, and all that it found.
pub(super) fn conclude(
    _config: &Config,
    _asked: &Asked,
    _run: &str,
    _lefts: &[Left; 2],
) -> (Verdict, Vec<Finding>) {
    (Verdict::Unknown, Vec::new())
}
