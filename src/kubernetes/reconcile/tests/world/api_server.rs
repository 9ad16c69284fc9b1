//! The API server of the simulated world. It executes the agent's actions, and asserts that what is published is true.

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use super::super::super::refusal::Call;
use super::super::super::*;
use super::{Fate, LARGE, Made, Pool, SMALL, World, parsed, size};
use crate::names;

impl World {
    /// Executes an action, and returns what the agent observes of it.
    pub(super) fn act(&mut self, action: Action) -> Option<Observation> {
        let call = match &action {
            Action::CreatePod(_) => Call::CreatePod,
            Action::DeletePod { .. } => Call::DeletePod,
            Action::ListPods => Call::ListPods,
            Action::Apply(_) => Call::Apply,
            Action::Emit(_) => Call::Emit,
            Action::Round { .. } => return None,
            Action::WakeAt(time) => {
                assert!(*time > self.now(), "it would turn in circles");
                self.wake = *time;
                return None;
            }
        };
        let refusal = self.outage.clone().or_else(|| self.refuses.get(&call).cloned());
        Some(match action {
            Action::CreatePod(pod) => Observation::Done(self.create(*pod, refusal)),
            Action::DeletePod { name, uid } => {
                let result = refusal.map_or(Ok(()), Err);
                if let Some(made) =
                    self.pods.get_mut(&name).filter(|made| result.is_ok() && made.uid() == uid)
                {
                    made.going.get_or_insert(self.time + 1);
                }
                Observation::Done(Done::Deleted { uid, result })
            }
            Action::ListPods => match refusal {
                Some(refusal) => Observation::Done(Done::Listed(refusal)),
                None => Observation::Pods(self.pods.values().map(|made| made.pod.clone()).collect()),
            },
            Action::Apply(body) => {
                self.tries += 1;
                Observation::Done(Done::Applied(self.apply(&body, refusal).map(Box::new)))
            }
            Action::Emit(event) => {
                let name = event.metadata.name.clone().unwrap();
                if refusal.is_none() {
                    // Two agents may record the same change in the same second of this world. The second event then
                    // has a name that exists already, which counts as a success. A single agent must not record a
                    // change twice.
                    let (before, own) = self.events.split_at(self.told_before);
                    assert!(!own.contains(&event), "told twice");
                    if !before.contains(&event) {
                        self.events.push(*event);
                    }
                }
                Observation::Done(Done::Emitted { name, result: refusal.map_or(Ok(()), Err) })
            }
            Action::Round { .. } | Action::WakeAt(_) => return None,
        })
    }

    fn create(&mut self, mut pod: Pod, refusal: Option<Refusal>) -> Done {
        let name = pod.metadata.name.clone().unwrap();
        if let Some(refusal) = refusal {
            return Done::Created { name, result: Err(refusal) };
        }
        if self.pods.contains_key(&name) {
            return Done::Created { name, result: Err(Refusal::Exists) };
        }
        self.made += 1;
        self.created += 1;
        pod.metadata.uid = Some(format!("pod-{}", self.made));
        let made = Made { pod: pod.clone(), at: self.time, fate: self.fate.clone(), seen: 0, going: None };
        self.pods.insert(name.clone(), made);
        if self.fate == Fate::Reports("pass") {
            self.passed.insert(self.truth(&pod.metadata.labels.as_ref().unwrap()[names::POD_SIZE]));
        }
        Done::Created { name, result: Ok(Box::new(pod)) }
    }

    /// Returns what a verdict about a size applies to: boot, size and pages.
    fn truth(&self, text: &str) -> (String, String, u64) {
        let boot = self.last_read.host.boot_id.known().cloned().unwrap_or_default();
        let pages = self.last_read.pool(size(text)).and_then(Pool::persistent).unwrap_or(0);
        (boot, text.to_owned(), pages)
    }

    /// Records that a probe of this size passed on the current state.
    pub(in super::super::super) fn passes(&mut self, text: &str) {
        self.passed.insert(self.truth(text));
    }

    fn apply(&mut self, body: &Value, refusal: Option<Refusal>) -> Result<Node, Refusal> {
        self.hold_to_truth(body);
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let Some(node) = &mut self.node else {
            return Err(Refusal::Gone("nodes \"node-a\" not found".into()));
        };
        if node["metadata"]["uid"] != body["metadata"]["uid"] {
            return Err(Refusal::Conflict("uid".into()));
        }
        // Keys of the previous apply that are missing from this one are removed. Labels of other clients stay.
        for kind in ["annotations", "labels"] {
            let pointer = format!("/metadata/managedFields/0/fieldsV1/f:metadata/f:{kind}");
            let owned: Vec<String> = node
                .pointer(&pointer)
                .and_then(Value::as_object)
                .map_or(vec![], |keys| keys.keys().cloned().collect());
            let mut all = node["metadata"][kind].as_object().cloned().unwrap_or_default();
            owned.iter().filter_map(|key| key.strip_prefix("f:")).for_each(|key| drop(all.remove(key)));
            all.extend(body["metadata"][kind].as_object().unwrap().clone());
            node["metadata"][kind] = Value::Object(all);
        }
        let fields = |kind: &str| -> Value {
            body["metadata"][kind]
                .as_object()
                .unwrap()
                .keys()
                .map(|key| (format!("f:{key}"), json!({})))
                .collect()
        };
        node["metadata"]["managedFields"] = json!([{
            "manager": "hugeprobe", "operation": "Apply", "subresource": "status",
            "fieldsV1": {"f:metadata": {"f:annotations": fields("annotations"), "f:labels": fields("labels")}},
        }]);
        node["status"]["conditions"] = body["status"]["conditions"].clone();
        self.version += 1;
        node["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.applies.push((self.time, body.clone()));
        Ok(parsed(self.node.as_ref().unwrap()))
    }

    /// Asserts that no size passes without a probe that passed on the same boot and number of pages, and that no
    /// annotation is too long.
    fn hold_to_truth(&self, body: &Value) {
        let says = |key: &str| body["metadata"]["labels"][key].as_str() == Some("pass");
        for text in [SMALL, LARGE] {
            if says(&names::size_label(size(text))) {
                assert!(
                    self.passed.contains(&self.truth(text)),
                    "{text} passes without a probe that did: {body}"
                );
            }
        }
        if says(names::VERDICT) {
            assert!([SMALL, LARGE].iter().any(|text| says(&names::size_label(size(text)))), "{body}");
        }
        for (key, value) in body["metadata"]["annotations"].as_object().unwrap() {
            assert!(key.starts_with(names::PREFIX) && value.as_str().unwrap().len() <= 140, "{key}: {value}");
        }
        assert_eq!(body["metadata"]["name"], "node-a");
        assert!(body["metadata"]["uid"].as_str().unwrap().starts_with("uid-"));
    }
}
