//! What the API server does with its objects, and tells its watchers.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::{Answer, Fault, State, full, refusal};

impl State {
    pub(super) fn strike(&mut self, what: &str) -> Option<Fault> {
        for kind in [what, "*"] {
            let Some((fault, times)) = self.faults.get_mut(kind) else { continue };
            match times {
                None => return Some(fault.clone()),
                Some(0) => {}
                Some(times) => {
                    *times -= 1;
                    return Some(fault.clone());
                }
            }
        }
        None
    }

    pub(super) fn tell(&mut self, resource: &str, kind: &str, object: &Value) {
        let line = Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
        self.watchers.retain(|(its, watcher)| *its != resource || watcher.send(Ok(line.clone())).is_ok());
    }

    pub(super) fn list(&self, items: &[Value]) -> Answer {
        Response::new(full(
            &json!({"metadata": {"resourceVersion": self.version.to_string()}, "items": items}),
        ))
    }

    pub(super) fn create(
        &mut self,
        body: &Value,
        of: fn(&mut Self) -> &mut BTreeMap<String, Value>,
        resource: &str,
    ) -> Answer {
        let name = body["metadata"]["name"].as_str().unwrap().to_owned();
        if of(self).contains_key(&name) {
            return refusal(409, "AlreadyExists", &format!("{resource} {name:?} already exists"));
        }
        self.version += 1;
        let version = self.version;
        let mut object = body.clone();
        object["metadata"]["uid"] = format!("uid-of-{resource}-{version}").into();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        object["metadata"]["creationTimestamp"] = "2026-11-23T05:00:00Z".into();
        if resource == "pods" {
            object["status"] = json!({"phase": "Pending"});
        }
        of(self).insert(name, object.clone());
        self.tell(resource, "ADDED", &object);
        let mut answer = Response::new(full(&object));
        *answer.status_mut() = http::StatusCode::CREATED;
        answer
    }

    pub(super) fn delete(&mut self, name: &str, options: &Value) -> Answer {
        let Some(pod) = self.pods.get(name) else {
            return refusal(404, "NotFound", &format!("pods {name:?} not found"));
        };
        let wanted = &options["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != pod["metadata"]["uid"] {
            return refusal(409, "Conflict", "the UID in the precondition does not match");
        }
        self.version += 1;
        let mut pod = self.pods.remove(name).unwrap();
        pod["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.tell("pods", "DELETED", &pod);
        Response::new(full(&pod))
    }

    /// Merges annotations, as `kubectl annotate` does.
    pub(super) fn annotate(&mut self, name: &str, body: &Value) -> Answer {
        let Some(mut node) = self.nodes.remove(name) else {
            return refusal(404, "NotFound", &format!("nodes {name:?} not found"));
        };
        self.version += 1;
        node["metadata"]["resourceVersion"] = self.version.to_string().into();
        for (key, text) in body["metadata"]["annotations"].as_object().into_iter().flatten() {
            node["metadata"]["annotations"][key] = text.clone();
        }
        self.tell("nodes", "MODIFIED", &node);
        self.nodes.insert(name.to_owned(), node.clone());
        Response::new(full(&node))
    }

    pub(super) fn apply(&mut self, name: &str, body: &Value) -> Answer {
        let Some(mut node) = self.nodes.get(name).cloned() else {
            let message = r#"nodes "node-a" is forbidden: User "system:serviceaccount:h:h" cannot create resource "nodes" in API group "" at the cluster scope"#;
            return refusal(403, "Forbidden", message);
        };
        let wanted = &body["metadata"]["uid"];
        if !wanted.is_null() && *wanted != node["metadata"]["uid"] {
            return refusal(409, "Conflict", "Precondition failed: UID in precondition");
        }
        let others: Vec<_> = managed(&node).filter(|entry| !is_ours(entry)).cloned().collect();
        let owned = managed(&node)
            .find(|entry| is_ours(entry))
            .map_or(Value::Null, |entry| entry["fieldsV1"].clone());
        let mut fields =
            json!({"f:metadata": {"f:annotations": {}, "f:labels": {}}, "f:status": {"f:conditions": {}}});
        for kind in ["annotations", "labels"] {
            let texts = node["metadata"][kind].as_object_mut().unwrap();
            let is_owned =
                |key: &str| owned["f:metadata"][format!("f:{kind}")].get(format!("f:{key}")).is_some();
            texts.retain(|key, _| !is_owned(key));
            for (key, text) in body["metadata"][kind].as_object().into_iter().flatten() {
                texts.insert(key.clone(), text.clone());
                fields["f:metadata"][format!("f:{kind}")][format!("f:{key}")] = json!({});
            }
        }
        let conditions = node["status"]["conditions"].as_array_mut().unwrap();
        let key = |one: &Value| format!("k:{}", json!({"type": one["type"]}));
        conditions.retain(|one| owned["f:status"]["f:conditions"].get(key(one)).is_none());
        for one in body["status"]["conditions"].as_array().into_iter().flatten() {
            conditions.retain(|other| other["type"] != one["type"]);
            conditions.push(one.clone());
            fields["f:status"]["f:conditions"][key(one)] = json!({});
        }
        let ours = json!({"manager": "hugeprobe", "operation": "Apply", "subresource": "status", "fieldsV1": fields});
        let empty = body["metadata"]["annotations"].is_null();
        node["metadata"]["managedFields"] = others.into_iter().chain((!empty).then_some(ours)).collect();
        // What changes nothing makes no new version.
        if node != self.nodes[name] {
            self.version += 1;
            node["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.nodes.insert(name.to_owned(), node.clone());
            self.tell("nodes", "MODIFIED", &node);
        }
        Response::new(full(&node))
    }
}

fn managed(node: &Value) -> impl Iterator<Item = &Value> {
    node["metadata"]["managedFields"].as_array().into_iter().flatten()
}

fn is_ours(entry: &Value) -> bool {
    entry["manager"] == "hugeprobe" && entry["operation"] == "Apply"
}
