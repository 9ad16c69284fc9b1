//! What a request asks for.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;

use super::NAMESPACE;

/// What a request asks for, in RBAC's words.
pub(super) struct Asked {
    pub(super) verb: &'static str,
    pub(super) resource: &'static str,
    pub(super) name: String,
    pub(super) query: String,
}

impl Asked {
    pub(super) fn new(request: &Request<Bytes>) -> Self {
        let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
        let query = request.uri().query().unwrap_or_default();
        let (resource, name) = match path[..] {
            ["api", "v1", "nodes"] => ("nodes", ""),
            ["api", "v1", "nodes", name] => ("nodes", name),
            ["api", "v1", "nodes", name, "status"] => ("nodes/status", name),
            ["api", "v1", "pods"] => ("all pods", ""),
            ["api", "v1", "namespaces", NAMESPACE, "pods"] => ("pods", ""),
            ["api", "v1", "namespaces", NAMESPACE, "pods", name] => ("pods", name),
            ["api", "v1", "namespaces", NAMESPACE, "pods", name, "proxy", "metrics"] => ("pods/proxy", name),
            ["api", "v1", "namespaces", NAMESPACE | "default", "events"] => ("events", ""),
            ["apis", "events.k8s.io", "v1", "namespaces", "default", "events"] => ("events", ""),
            _ => ("nothing", ""),
        };
        let verb = match (request.method(), name) {
            (&Method::GET, "") if query.contains("watch=true") => "watch",
            (&Method::GET, "") => "list",
            (&Method::GET, _) => "get",
            (&Method::POST, _) => "create",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, _) => "delete",
            _ => "nothing",
        };
        Self { verb, resource, name: name.to_owned(), query: query.to_owned() }
    }

    pub(super) fn what(&self) -> String {
        format!("{} {}", self.verb, self.resource)
    }

    /// Whether the pod is bound to the node that the field selector names, or to any node if it names none.
    pub(super) fn binds(&self, pod: &Value) -> bool {
        let name = self.query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector=spec.nodeName%3D"));
        name.map_or(pod["spec"]["nodeName"].is_string(), |name| pod["spec"]["nodeName"] == name)
    }

    /// Whether the field selector, if there is one, names this object.
    pub(super) fn selects(&self, object: &Value) -> bool {
        let name = self.query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector=metadata.name%3D"));
        name.is_none_or(|name| object["metadata"]["name"] == name)
    }
}
