//! The pods of the simulated world: what becomes of each, and what its containers report.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{config, size};
use crate::names;
use crate::probe_pod::Asked;
use hugeprobe_domain::catalogue::{self, HP501, HP603};
use hugeprobe_domain::check::{Because, CheckId, Finding, Outcome};
use hugeprobe_domain::compact::{Container, Message};
use hugeprobe_domain::merge::{Ending, WorkerReport};
use hugeprobe_domain::part::Part;
use hugeprobe_domain::plan::Role;
use hugeprobe_domain::sharing::AGREED;

/// What happens to probe pods.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super::super) enum Fate {
    /// Both containers end with a report with this result.
    Reports(&'static str),
    /// As [`Fate::Reports`], but the messages are forged and not valid reports.
    Forges,
    /// It stays Pending because it lacks pages.
    Pending,
    /// It stays Pending because it lacks CPU.
    NoCpu,
    /// No scheduler processes it.
    Unseen,
    /// It is scheduled, but an image is missing.
    NoImage,
    /// The kubelet rejects it with this reason.
    Refused(&'static str),
    /// It runs and is then preempted.
    Preempted,
    /// It runs forever.
    Hangs,
}

/// A pod and the time of its creation.
#[derive(Debug, Clone)]
pub(in super::super::super) struct Made {
    pub(in super::super::super) pod: Pod,
    pub(super) at: i64,
    pub(super) fate: Fate,
    pub(super) seen: u8,
    pub(super) going: Option<i64>,
}

impl Made {
    pub(super) fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap()
    }

    /// Changes the pod's fate from now on.
    pub(in super::super::super) fn turn(&mut self, fate: Fate) {
        self.fate = fate;
        self.seen = 0;
    }

    /// Gives the pod the status of this stage of its life: 0 is its creation, 2 its end.
    pub(super) fn go_on(&mut self, stage: u8) {
        let status = match (&self.fate, stage) {
            (Fate::Pending, _) => {
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient hugepages-1Gi."}]})
            }
            (Fate::NoCpu, _) => {
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}]})
            }
            (Fate::Unseen, _) => json!({"phase": "Pending"}),
            (Fate::Refused(reason), _) => json!({"phase": "Failed", "reason": reason, "message": "no"}),
            (Fate::NoImage, _) => containers(&json!({"waiting": {"reason": "ImagePullBackOff"}}), "Pending"),
            (Fate::Reports(word), 2) => {
                let size = self.pod.metadata.labels.as_ref().unwrap()[names::POD_SIZE].clone();
                ended(["frontend", "backend"].map(|side| message(side, &size, self.uid(), word)))
            }
            (Fate::Forges, 2) => {
                ended([r#"{"v":2,"verdict":"pass","checks":{},"workers":{}}"#.into(), "pass".into()])
            }
            _ => containers(&json!({"running": {}}), "Running"),
        };
        self.pod.status = Some(serde_json::from_value(status).unwrap());
    }
}

/// Returns the message of a container in a run with this result. Any other word is returned as it is and is not a
/// valid message.
pub(in super::super::super) fn message(side: &str, text: &str, run: &str, word: &str) -> String {
    if !matches!(word, "pass" | "fail" | "unknown") {
        return word.to_owned();
    }
    let container = if side == "frontend" { Container::Frontend } else { Container::Backend };
    let size = size(text);
    let asked = Asked {
        size,
        pages: 2,
        limit: crate::probe_pod::PageLimit::Containers,
        need: Vec::new(),
        memory_pays: false,
    };
    let plan = asked.probe(&config("")).plan();
    let said = |id: CheckId, role: Option<Role>| {
        let size = catalogue::find(id).filter(|check| check.per_size).map(|_| size);
        if word == "fail" && id == HP603 && matches!(role, Some(Role::Backend(_))) {
            let text = "not seen on the other side";
            return Finding::not_pass(id, size, Outcome::Fail, text, Because::new(text, text));
        }
        if word == "unknown" && id == HP501 && role == Some(Role::Hugetlbfs) {
            let text = "no page to be had";
            return Finding::not_pass(id, size, Outcome::Unknown, text, Because::new(text, text));
        }
        Finding::pass(id, size, "fine").with(AGREED, json!({"id": id}))
    };
    let runs = |role: &Role| {
        plan.items
            .iter()
            .flat_map(|item| &item.roles)
            .any(|duty| duty.role == *role && duty.not_run.is_none())
    };
    let worker = |role: Role| WorkerReport {
        role,
        size: Some(size),
        part: Ok(Part {
            findings: (plan.items.iter())
                .filter(|item| item.roles.iter().any(|duty| duty.role == role && duty.not_run.is_none()))
                .map(|item| said(item.id, Some(role)))
                .collect(),
            last_step: None,
            ended: true,
        }),
        ending: Ending::Exited(0),
        log: String::new(),
    };
    let message = Message {
        container,
        size,
        run: run.parse().unwrap(),
        findings: container.inspections().iter().map(|id| said(*id, None)).collect(),
        workers: container.roles().filter(runs).map(worker).collect(),
    };
    message.write()
}

fn containers(state: &Value, phase: &str) -> Value {
    let scheduled = json!([{"type": "PodScheduled", "status": "True"}]);
    json!({"phase": phase, "conditions": scheduled, "containerStatuses": [
        status("frontend", state), status("backend", state),
    ]})
}

fn status(name: &str, state: &Value) -> Value {
    json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state})
}

fn ended(messages: [String; 2]) -> Value {
    let [frontend, backend] = messages
        .map(|message| json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": message}}));
    json!({"phase": "Succeeded", "containerStatuses": [status("frontend", &frontend), status("backend", &backend)]})
}
