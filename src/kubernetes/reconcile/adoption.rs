//! Takes over the state that the previous agent left on the Node. A verdict of the same boot and configuration is
//! kept until there is a new one.
//!
//! A value is ignored if another client wrote it, or if it does not have the format that an agent writes.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::node::NodeView;
use super::size_state::ProbeResult;
use super::state::Reconciler;
use crate::names;
use crate::publication::ANNOTATION_CHARS;
use hugeprobe_domain::check::{Because, CheckId, Finding, Outcome, Verdict};
use hugeprobe_domain::size::PageSize;
use hugeprobe_domain::text::line;

/// How far the clock may have been set back since the previous agent wrote its verdict.
const SET_BACK: SignedDuration = SignedDuration::from_mins(5);

impl Reconciler {
    /// Takes over what the Node shows, the first time that there is a Node.
    pub(super) fn adopt(&mut self) {
        if self.publishing.adopted {
            return;
        }
        let Some(node) = self.observed.node.as_ref().and_then(Option::as_ref).cloned() else { return };
        self.publishing.adopted = true;
        let (now, shown) = (self.clock.now(), self.clock.shown());
        let is_ours = self.is_of_this_boot(&node);
        self.probing.recheck.take_over(&node);
        let busy = i64::try_from(self.busy_ms()).unwrap_or(i64::MAX);
        let (sizes, longest) = (&mut self.sizes, self.config.renew_minutes.saturating_mul(120_000));
        for (size, state) in sizes.iter_mut().filter(|_| is_ours) {
            let Some(about) = &state.about else { continue };
            if let Some((probe_result, left)) = kept(&node, *size, &about.configuration, shown) {
                let left = u64::try_from(left.as_millis()).unwrap_or(0).min(longest);
                let age =
                    i64::try_from(shown.duration_since(probe_result.at).as_millis()).unwrap_or(i64::MAX);
                let stale = now.after(u64::try_from(busy.saturating_sub(age.max(0))).unwrap_or(0));
                let expires = now.after(left).min(stale);
                state.probe_result = Some(ProbeResult { expires, stale, ..probe_result });
            }
        }
        if self.is_trusted(&node) {
            let renew_at = self.next_renewal();
            self.publishing.take_over(&node, renew_at);
        }
        self.inspect();
    }

    /// Returns whether the Node shows what an agent wrote on this boot, and its verdict was not changed by another
    /// client.
    pub(super) fn is_trusted(&self, node: &NodeView) -> bool {
        self.is_of_this_boot(node) && node.owned.contains(names::VERDICT)
    }

    /// Returns whether an agent wrote to the Node that its verdict is about this boot.
    fn is_of_this_boot(&self, node: &NodeView) -> bool {
        let boot = self.observed.inventory.as_ref().and_then(|inventory| inventory.host.boot_id.known());
        boot.is_some() && node.annotations.get(names::BOOT_ID) == boot && node.owned.contains(names::BOOT_ID)
    }
}

/// Returns the verdict about one size that the Node shows, and how long it is still valid.
fn kept(
    node: &NodeView,
    size: PageSize,
    configuration: &str,
    now: Timestamp,
) -> Option<(ProbeResult, SignedDuration)> {
    let own = |key: &str| node.annotations.get(key).filter(|_| node.owned.contains(key)).map(String::as_str);
    let mut words = own(&names::probe(size))?.split(' ');
    let (verdict, at, digest) = (words.next()?, words.next()?, words.next()?);
    let verdict = match verdict {
        "pass" => Verdict::Pass,
        "warn" => Verdict::Warn,
        "fail" => Verdict::Fail,
        _ => return None,
    };
    let at = Timestamp::from_str(at).ok()?;
    let valid_until = Timestamp::from_str(own(names::VALID_UNTIL)?).ok()?;
    let left = valid_until.duration_since(now);
    if words.next().is_some()
        || digest != configuration
        || left <= SignedDuration::ZERO
        || at > now.checked_add(SET_BACK).ok()?
    {
        return None;
    }
    let findings = node.annotations.iter().filter(|(key, _)| node.owned.contains(*key));
    let findings = findings.filter_map(|(key, value)| finding(key, value, size)).collect();
    let share = own(&names::share(size)).map(|share| line(share, ANNOTATION_CHARS));
    let probe_result = ProbeResult {
        configuration: digest.to_owned(),
        verdict,
        findings,
        share,
        at,
        expires: super::Moment::default(),
        stale: super::Moment::default(),
    };
    Some((probe_result, left))
}

/// Returns a probe's finding from its annotation, such as `hugeprobe.io/check.HP601.2Mi: "fail: another inode"`.
///
/// Findings of inspections (HP1xx, HP2xx) are not taken over, because those checks are made again.
fn finding(key: &str, value: &str, size: PageSize) -> Option<Finding> {
    let rest = key.strip_prefix(names::PREFIX)?.strip_prefix("check.")?;
    let (id, its) = match rest.split_once('.') {
        Some((id, its)) => (id, Some(its.parse::<PageSize>().ok()?)),
        None => (rest, None),
    };
    let id: CheckId = id.parse().ok()?;
    let (word, summary) = value.split_once(": ")?;
    let outcome = match word {
        "warn" => Outcome::Warn,
        "fail" => Outcome::Fail,
        _ => return None,
    };
    let summary = line(summary, ANNOTATION_CHARS);
    let is_of_probe = id.number() >= 300 && its.is_none_or(|its| its == size);
    is_of_probe.then(|| {
        Finding::not_pass(id, its, outcome, summary.clone(), Because::new("as its check has it", summary))
    })
}
