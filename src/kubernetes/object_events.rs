//! Reads the events about one object of the cluster.

use jiff::Timestamp;
use serde::Deserialize;

use super::api::{Api, ApiError, requests};
use hugeprobe_domain::node_report::ObjectEvent;

/// The most events that are kept while they are read. An API server lists them by name, not by time.
const MOST: usize = 500;

/// An event with only the fields that are shown. Events of events.k8s.io have `eventTime` and `series` in place of
/// `lastTimestamp` and `count`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Event {
    r#type: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    count: Option<u64>,
    last_timestamp: Option<String>,
    event_time: Option<String>,
    series: Option<Series>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    count: u64,
    last_observed_time: Option<String>,
}

/// Returns the last events about the object, at most `most` of them, the latest last.
///
/// With a `uid`, events about an earlier object of the same name are left out.
///
/// # Errors
///
/// The events cannot be listed.
pub async fn read(
    api: &Api,
    namespace: &str,
    (kind, name, uid): (&str, &str, Option<&str>),
    keep: impl Fn(&ObjectEvent) -> bool,
    most: usize,
) -> Result<Vec<ObjectEvent>, ApiError> {
    let mut events: Vec<ObjectEvent> = Vec::new();
    let each = |event: Event| {
        let event = event.shown();
        if keep(&event) {
            events.push(event);
        }
        if events.len() >= MOST.max(most * 2) {
            latest(&mut events, most);
        }
    };
    api.list(requests::list_events_of(namespace, kind, name, uid)?, each).await?;
    latest(&mut events, most);
    Ok(events)
}

/// Sorts the events by time, and keeps the last of them.
fn latest(events: &mut Vec<ObjectEvent>, most: usize) {
    events.sort_by_key(|event| event.at);
    events.drain(..events.len().saturating_sub(most));
}

// === impl Event ===

impl Event {
    fn shown(self) -> ObjectEvent {
        let (times, last) = match self.series {
            Some(series) => (series.count, series.last_observed_time),
            None => (self.count.unwrap_or(1), None),
        };
        let at = [last, self.last_timestamp, self.event_time].into_iter().flatten();
        ObjectEvent {
            at: at.filter_map(|text| text.parse::<Timestamp>().ok()).next(),
            is_warning: self.r#type.as_deref() == Some("Warning"),
            reason: self.reason.unwrap_or_default(),
            message: self.message.unwrap_or_default(),
            times: times.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn both_ways_to_count_an_event_are_read() {
        let shown = |event: Value| {
            let event = serde_json::from_value::<Event>(event).unwrap().shown();
            (event.at.map(|at| at.to_string()), event.times, event.is_warning)
        };
        let (first, last) = ("2026-11-23T05:00:00Z", "2026-11-23T06:00:00Z");
        for (event, expected) in [
            (json!({"type": "Warning", "lastTimestamp": last, "count": 3}), (Some(last), 3, true)),
            (
                json!({"lastTimestamp": null, "eventTime": "2026-11-23T05:00:00.000000Z"}),
                (Some(first), 1, false),
            ),
            (
                json!({"eventTime": first, "series": {"count": 2, "lastObservedTime": last}}),
                (Some(last), 2, false),
            ),
            (json!({"type": null, "count": 0}), (None, 1, false)),
        ] {
            let (at, times, warning) = shown(event.clone());
            assert_eq!((at.as_deref(), times, warning), expected, "{event}");
        }
    }
}
