//! The scheduler, the kubelet and the two containers of a probe pod, as far as the API server shows them.

use std::time::Duration;

use hugeprobe::domain::check::{CheckId, Finding};
use hugeprobe::domain::compact::{Container, Message};
use hugeprobe::domain::merge::{Ending, WorkerReport};
use hugeprobe::domain::part::Part;
use hugeprobe::domain::plan::Role;
use hugeprobe::domain::request::Workload;
use hugeprobe::domain::sharing::AGREED;
use hugeprobe::domain::size::PageSize;
use hugeprobe::probe::container::Probe;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::World;

/// What becomes of probe pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They run, and all is well.
    Pass,
    /// They run for ever.
    Endless,
    /// The containers end without a word.
    Silent,
    /// There are no pages to be had.
    Pending,
}

/// From now on, this becomes of every pod that is created, so long after.
pub(crate) fn play(world: &World, fate: Fate, after: Duration) {
    world.state().kubelet = Some(Box::new(move |world, name| {
        let (world, name) = (world.clone(), name.to_owned());
        tokio::spawn(async move {
            sleep(after).await;
            let Some(pod) = world.state().pods.get(&name).cloned() else { return };
            world.change_pod(&name, status(fate, &pod));
        });
    }));
}

/// The status of a probe pod for which this is what became of it.
pub(crate) fn status(fate: Fate, pod: &Value) -> Value {
    let scheduled = json!({"type": "PodScheduled", "status": "True"});
    let sides = [Container::Frontend, Container::Backend];
    match fate {
        Fate::Pending => json!({"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient hugepages-2Mi.",
        }]}),
        Fate::Endless => {
            let running = json!({"running": {"startedAt": "2026-11-23T05:00:01Z"}});
            let statuses = sides.map(|side| container(side, &running));
            json!({"phase": "Running", "conditions": [scheduled], "containerStatuses": statuses})
        }
        Fate::Pass | Fate::Silent => {
            let statuses = sides.map(|side| {
                let message = if fate == Fate::Pass { sound(side, pod).write() } else { String::new() };
                container(
                    side,
                    &json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": message}}),
                )
            });
            json!({"phase": "Succeeded", "conditions": [scheduled], "containerStatuses": statuses})
        }
    }
}

fn container(side: Container, state: &Value) -> Value {
    json!({"name": side.to_string(), "image": "x", "imageID": "x", "ready": false, "restartCount": 0, "state": state})
}

/// What a container says when all is well.
fn sound(container: Container, pod: &Value) -> Message {
    let arguments: Vec<&str> = pod["spec"]["containers"][0]["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    let option = |name: &str| arguments[arguments.iter().position(|word| *word == name).unwrap() + 1];
    let probe = Probe {
        size: option("--size").parse().unwrap(),
        pages: option("--pages").parse().unwrap(),
        frontend_pays: arguments.contains(&"--frontend-pays"),
        need: Vec::new(),
        workload: Workload::Dpdk,
        judge_syscalls: false,
        directory: "/hugepages".to_owned(),
        peer: None,
    };
    let pass =
        |id: CheckId, size: Option<PageSize>| Finding::pass(id, size, "fine").with(AGREED, json!({"id": id}));
    let plan = probe.plan();
    let mut roles: Vec<Role> = plan.items.iter().flat_map(|item| &item.roles).map(|duty| duty.role).collect();
    roles.dedup();
    let worker = |role: Role| WorkerReport {
        role,
        size: Some(probe.size).filter(|_| !role.is_about_machine()),
        part: Ok(Part {
            findings: (plan.items.iter())
                .filter(|item| item.roles.iter().any(|duty| duty.role == role))
                .map(|item| pass(item.id, item.size))
                .collect(),
            last_step: None,
            ended: true,
        }),
        ending: Ending::Exited(0),
        log: String::new(),
    };
    Message {
        container,
        size: probe.size,
        run: pod["metadata"]["uid"].as_str().unwrap().parse().unwrap(),
        findings: container
            .inspections()
            .iter()
            .map(|id| pass(*id, of_size(*id).then_some(probe.size)))
            .collect(),
        workers: container.roles().filter(|role| roles.contains(role)).map(worker).collect(),
    }
}

fn of_size(id: CheckId) -> bool {
    hugeprobe::domain::catalogue::find(id).is_some_and(|check| check.per_size)
}
