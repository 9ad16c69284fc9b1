//! The event that is recorded about a Node when its verdict changes. `kubectl describe node` shows it.
//!
//! Source of the limits: the validation of events.k8s.io/v1 (reason, action and reportingInstance 128 characters, note
//! 1024 bytes, all fields immutable). `kubectl describe node` searches for events by the Node's uid, with no namespace
//! in `regarding`.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::names;
use super::publication::{MESSAGE_BYTES, PENDING};
use hugeprobe_domain::check::Verdict;
use hugeprobe_domain::text::bounded;

/// The maximum length of `reportingInstance`, `reason` and `action`, in characters.
const SHORT: usize = 128;

/// A change of the verdict or of its reason.
#[derive(Debug, Clone, Copy)]
pub struct VerdictChange<'a> {
    /// The Node's name.
    pub node: &'a str,
    /// The Node's uid.
    pub uid: &'a str,
    /// The name of the agent's pod.
    pub agent: &'a str,
    /// The new verdict.
    pub verdict: Verdict,
    /// The reason, in CamelCase.
    pub reason: &'a str,
    /// The message of the event.
    pub note: &'a str,
    /// The time of the change. It is part of the event's name, so the API server rejects a second event about the same
    /// change.
    pub at: Timestamp,
}

/// Builds the event about a change of the verdict.
#[must_use]
pub fn event(change: VerdictChange<'_>) -> Event {
    let at = change.at.to_string();
    let verdict = change.verdict.to_string();
    let hash = names::digest([change.uid, &verdict, change.reason, change.note, &at]);
    let kind = match change.verdict {
        Verdict::None | Verdict::Pass | Verdict::Warn => "Normal",
        // Waiting for the first result is normal.
        Verdict::Unknown if change.reason == PENDING => "Normal",
        Verdict::Unknown | Verdict::Fail => "Warning",
    };
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{hash}", names::MANAGER)),
            namespace: Some(names::EVENT_NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(change.at)),
        type_: Some(kind.to_owned()),
        reason: Some(bounded(change.reason, SHORT)),
        action: Some("Probe".to_owned()),
        note: Some(bounded(change.note, MESSAGE_BYTES)),
        regarding: Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(change.node.to_owned()),
            uid: Some(change.uid.to_owned()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(names::CONTROLLER.to_owned()),
        reporting_instance: Some(bounded(change.agent, SHORT)),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(verdict: Verdict, note: &str) -> Event {
        let at = "2026-11-23T05:38:15Z".parse().unwrap();
        let long = "p".repeat(253);
        event(VerdictChange {
            node: "node-a",
            uid: "u-1",
            agent: &long,
            verdict,
            reason: "PoolMissing",
            note,
            at,
        })
    }

    #[test]
    fn kubectl_describe_finds_it() {
        let event = turn(Verdict::Fail, "no page");
        let regarding = event.regarding.unwrap();
        assert_eq!((regarding.kind.as_deref(), regarding.uid.as_deref()), (Some("Node"), Some("u-1")));
        assert_eq!((regarding.namespace, regarding.api_version.as_deref()), (None, Some("v1")));
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
    }

    #[test]
    fn the_api_servers_limits_hold() {
        let event = turn(Verdict::Pass, &"ü".repeat(2000));
        assert_eq!(event.type_.as_deref(), Some("Normal"));
        assert!(event.note.unwrap().len() <= 1024);
        assert!(event.reporting_instance.unwrap().len() <= 128);
        assert!(!event.action.unwrap().is_empty() && !event.reporting_controller.unwrap().is_empty());
    }

    #[test]
    fn the_same_turn_has_the_same_name_and_no_other_has_it() {
        let name = |verdict, note| turn(verdict, note).metadata.name.unwrap();
        assert_eq!(name(Verdict::Fail, "a"), name(Verdict::Fail, "a"));
        assert_ne!(name(Verdict::Fail, "a"), name(Verdict::Pass, "a"));
        assert_ne!(name(Verdict::Fail, "a"), name(Verdict::Fail, "b"));
    }
}
