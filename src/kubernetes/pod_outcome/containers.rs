//! Reads the statuses of the two containers of a probe pod.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, PodStatus};

use super::KEPT;
use hugeprobe_domain::compact::Container;
use hugeprobe_domain::text::line;
use hugeprobe_probe::container::Terminated;

/// Returns how both containers ended, frontend first, or `None` unless both have ended.
pub(super) fn terminated(status: Option<&PodStatus>) -> Option<[Terminated; 2]> {
    let one = |side| state(status, side)?.terminated.as_ref().map(of);
    Some([one(Container::Frontend)?, one(Container::Backend)?])
}

/// Returns whether either container is running or has run.
pub(super) fn any_started(status: Option<&PodStatus>) -> bool {
    let started = |state: &ContainerState| state.running.is_some() || state.terminated.is_some();
    Container::ALL.iter().any(|side| state(status, *side).is_some_and(started))
}

/// Returns whether the kubelet has reported the state of either container.
pub(super) fn any_known(status: Option<&PodStatus>) -> bool {
    Container::ALL.iter().any(|side| state(status, *side).is_some())
}

/// Returns why a container does not start, if the kubelet gives a reason other than a step of a normal start.
pub(super) fn stuck(status: Option<&PodStatus>) -> Option<String> {
    let waiting =
        Container::ALL.iter().filter_map(|side| state(status, *side)?.waiting.as_ref()?.reason.as_deref());
    let stuck = waiting.filter(|reason| !matches!(*reason, "ContainerCreating" | "PodInitializing" | ""));
    stuck.map(|reason| line(reason, KEPT)).next()
}

fn state(status: Option<&PodStatus>, side: Container) -> Option<&ContainerState> {
    let statuses = status?.container_statuses.as_ref()?;
    statuses.iter().find(|one| one.name == side.to_string())?.state.as_ref()
}

fn of(terminated: &ContainerStateTerminated) -> Terminated {
    let reason = terminated.reason.as_deref().filter(|reason| !reason.is_empty());
    let how = match terminated.signal {
        Some(signal) if signal != 0 => format!("signal {signal}"),
        _ => format!("exit code {}", terminated.exit_code),
    };
    let ended = reason.map_or_else(|| how.clone(), |reason| format!("{reason}, {how}"));
    Terminated {
        message: terminated.message.clone().filter(|message| !message.is_empty()),
        reason: line(&ended, KEPT),
    }
}
