//! `hugeprobe why`: reads what the cluster reports about a pod that does not run. It changes nothing.
//!
//! ## Rights
//!
//! `get` on the pod, `list` on `events` of its namespace, `get` on its node; for a pod that is bound to no node, the rights
//! of [`fits`]. What may not be read is named in the report.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};
use serde_json::Value;

use super::api::{Api, ApiError, requests};
use super::fits::{self, Workload};
use super::{nodes, object_events};
use hugeprobe_domain::text::count;
use hugeprobe_domain::why::{Place, PodReport};

/// The most events that are shown.
const EVENTS: usize = 20;

/// How the message of the scheduler in the status begins.
const UNSCHEDULED: &str = "condition PodScheduled";

/// Reads what is reported about the pod.
///
/// # Errors
///
/// The pod cannot be read.
pub async fn read(api: &Api, namespace: &str, name: &str) -> Result<PodReport, ApiError> {
    let request = requests::get_pod(namespace, name)?;
    let attempt = request.0.clone();
    let object: Value = api.object(request).await?;
    let workload = Workload::of(&object);
    let pod: Pod = serde_json::from_value(object)
        .map_err(|error| ApiError::Garbled { attempt, why: error.to_string() })?;
    let status = pod.status.unwrap_or_default();
    let mut messages = of_status(&status);
    let mut limits = Vec::new();
    match events(api, namespace, name, pod.metadata.uid.as_deref()).await {
        Ok(events) => {
            // The scheduler writes the same message in both, and the event goes after an hour.
            if events.iter().any(|event| event.starts_with("event FailedScheduling")) {
                messages.retain(|message| !message.starts_with(UNSCHEDULED));
            }
            messages.extend(events);
        }
        Err(error) => limits.push(format!("events are not shown: {error}")),
    }
    let node = pod.spec.and_then(|spec| spec.node_name).filter(|node| !node.is_empty());
    let place = match (&node, workload) {
        (Some(node), _) => match nodes::one(api, node).await {
            Ok(node) => Place::Node(Box::new(node)),
            Err(error) => {
                limits.push(format!("the verdict of node {node} is unknown: {error}"));
                Place::Unread
            }
        },
        (None, Ok(workload)) if workload.pages.is_empty() => Place::NoPages,
        (None, Ok(workload)) => match fits::read(api, None, &workload, false).await {
            Ok(fit) => Place::Nodes(fit),
            Err(error) => {
                limits.push(format!("the nodes are not compared: {error}"));
                Place::Unread
            }
        },
        (None, Err(error)) => {
            limits.push(format!("the nodes are not compared: {error}"));
            Place::Unread
        }
    };
    Ok(PodReport {
        at: Timestamp::now(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        is_well: is_well(&status),
        phase: status.phase.unwrap_or_default(),
        node,
        messages,
        place,
        limits,
    })
}

/// Returns the last warnings about the pod.
async fn events(api: &Api, namespace: &str, name: &str, uid: Option<&str>) -> Result<Vec<String>, ApiError> {
    let object = ("Pod", name, uid);
    let events = object_events::read(api, namespace, object, |event| event.is_warning, EVENTS).await?;
    let each = events.iter().flat_map(|event| {
        let times =
            if event.times > 1 { format!(" ({})", count(event.times, "time")) } else { String::new() };
        lines(&format!("event {}", event.reason), &event.message, &times)
    });
    Ok(each.collect())
}

/// Returns the messages of the status, of the condition `PodScheduled` and of the containers.
fn of_status(status: &PodStatus) -> Vec<String> {
    let mut messages = Vec::new();
    let (reason, message) = (status.reason.as_deref(), status.message.as_deref());
    if reason.or(message).is_some() {
        let what = format!("status {}", reason.unwrap_or_default());
        messages.extend(lines(what.trim_end(), message.unwrap_or_default(), ""));
    }
    for condition in status.conditions.iter().flatten() {
        if condition.type_ == "PodScheduled" && condition.status == "False" {
            let what = format!("{UNSCHEDULED}: {}", condition.reason.as_deref().unwrap_or_default());
            messages.extend(lines(what.trim_end(), condition.message.as_deref().unwrap_or_default(), ""));
        }
    }
    for container in containers(status) {
        for (when, state) in [("", &container.state), ("last ", &container.last_state)] {
            let Some(state) = state else { continue };
            messages.extend(of_state(&format!("container {}: {when}", container.name), state));
        }
    }
    messages
}

fn of_state(what: &str, state: &ContainerState) -> Vec<String> {
    if let Some(waiting) = &state.waiting {
        let what = format!("{what}waiting: {}", waiting.reason.as_deref().unwrap_or_default());
        return lines(&what, waiting.message.as_deref().unwrap_or_default(), "");
    }
    let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) else {
        return Vec::new();
    };
    let reason = ended.reason.as_deref().unwrap_or_default();
    let what = format!("{what}terminated: {reason}, exit code {}", ended.exit_code);
    lines(&what, ended.message.as_deref().unwrap_or_default(), "")
}

/// Returns `WHAT: MESSAGE`, a line for each line of the message: a termination message may be the end of a log.
fn lines(what: &str, message: &str, after: &str) -> Vec<String> {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(first) = lines.next() else { return vec![format!("{what}{after}")] };
    let mut all = vec![format!("{what}: {first}{after}")];
    all.extend(lines.map(|line| format!("{what}: {line}")));
    all
}

fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let lists = [&status.init_container_statuses, &status.container_statuses];
    lists.into_iter().flatten().flatten()
}

/// Returns whether the pod has succeeded, or runs with all containers ready.
fn is_well(status: &PodStatus) -> bool {
    match status.phase.as_deref() {
        Some("Succeeded") => true,
        Some("Running") => status.container_statuses.iter().flatten().all(|container| container.ready),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn messages(status: &Value) -> (Vec<String>, bool) {
        let status: PodStatus = serde_json::from_value(status.clone()).unwrap();
        (of_status(&status), is_well(&status))
    }

    #[test]
    fn every_place_of_the_status_with_a_message_is_read() {
        for (status, expected, well) in [
            (
                json!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0, "image": "", "imageID": ""}]}),
                &[][..],
                true,
            ),
            (json!({"phase": "Succeeded"}), &[], true),
            (
                json!({"phase": "Failed", "reason": "OutOfhugepages-1Gi", "message": "Pod was rejected"}),
                &["status OutOfhugepages-1Gi: Pod was rejected"],
                false,
            ),
            (
                json!({"phase": "Pending", "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},
                    {"type": "Ready", "status": "False", "reason": "x"},
                ]}),
                &["condition PodScheduled: Unschedulable: 0/1 nodes"],
                false,
            ),
            (
                json!({"phase": "Running", "containerStatuses": [{
                    "name": "dpdk", "ready": false, "restartCount": 3, "image": "", "imageID": "",
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                    "lastState": {"terminated": {"exitCode": 135, "reason": "Error", "message": "EAL: one\n\n two\n"}},
                }]}),
                &[
                    "container dpdk: waiting: CrashLoopBackOff: back-off 40s",
                    "container dpdk: last terminated: Error, exit code 135: EAL: one",
                    "container dpdk: last terminated: Error, exit code 135: two",
                ],
                false,
            ),
            (
                json!({"phase": "Pending", "initContainerStatuses": [{
                    "name": "i", "ready": true, "restartCount": 0, "image": "", "imageID": "",
                    "state": {"terminated": {"exitCode": 0, "reason": "Completed"}},
                }]}),
                &[],
                false,
            ),
        ] {
            let (seen, is_well) = messages(&status);
            assert_eq!(
                (seen.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), is_well),
                (expected, well)
            );
        }
    }
}
