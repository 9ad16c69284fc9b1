//! The requests that hugeprobe makes, and no others: each as what it attempts and the HTTP request for it.
//!
//! docs/reference/permissions.md lists the right that each of them takes.

use http::Request;
use kube::api::{
    DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchParams,
};
use kube::core::Request as Builder;
use serde::Serialize;

use super::error::{ApiError, Attempt, Resource, Verb};
use super::watch;

/// What is attempted and the request for it.
pub type ApiRequest = (Attempt, Request<Vec<u8>>);

const NODES: &str = "/api/v1/nodes";

/// One Node.
///
/// # Errors
///
/// A name that is none.
pub fn get_node(name: &str) -> Result<ApiRequest, ApiError> {
    build(Verb::Get, Resource::Nodes, name, Builder::new(NODES).get(name, &GetParams::default()))
}

/// The one Node of this name as a list, so that a watch can go on from there.
///
/// # Errors
///
/// A name that is none.
pub fn list_node(name: &str) -> Result<ApiRequest, ApiError> {
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    build(Verb::List, Resource::Nodes, name, Builder::new(NODES).list(&params))
}

/// Nodes by label selector, `limit` at a time; `token` is the `continue` of the last piece.
///
/// # Errors
///
/// A selector that is none.
pub fn list_nodes(selector: Option<&str>, limit: u32, token: Option<&str>) -> Result<ApiRequest, ApiError> {
    let mut params = ListParams::default().limit(limit);
    params.label_selector = selector.map(str::to_owned);
    params.continue_token = token.map(str::to_owned);
    build(Verb::List, Resource::Nodes, "", Builder::new(NODES).list(&params))
}

/// Changes of one Node from `version` on.
///
/// # Errors
///
/// A name that is none.
pub fn watch_node(name: &str, version: &str) -> Result<ApiRequest, ApiError> {
    let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(watch::SECONDS);
    build(Verb::Watch, Resource::Nodes, name, Builder::new(NODES).watch(&params, version))
}

/// Server-side apply of `body` to a Node's status, which carries annotations, labels and conditions together.
///
/// # Errors
///
/// A name that is none.
pub fn apply_node_status(name: &str, manager: &str, body: &impl Serialize) -> Result<ApiRequest, ApiError> {
    let params = PatchParams::apply(manager).force();
    let request = Builder::new(NODES).patch_subresource("status", name, &params, &Patch::Apply(body));
    build(Verb::Patch, Resource::NodesStatus, name, request)
}

/// A strategic merge of `body` into a Node's status.
///
/// # Errors
///
/// A name that is none.
pub fn merge_node_status(name: &str, manager: &str, body: &impl Serialize) -> Result<ApiRequest, ApiError> {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let request = Builder::new(NODES).patch_subresource("status", name, &params, &Patch::Strategic(body));
    build(Verb::Patch, Resource::NodesStatus, name, request)
}

/// Pods of a namespace by label selector.
///
/// # Errors
///
/// A selector that is none.
pub fn list_pods(
    namespace: &str,
    selector: &str,
    limit: u32,
    token: Option<&str>,
) -> Result<ApiRequest, ApiError> {
    let mut params = ListParams::default().labels(selector).limit(limit);
    params.continue_token = token.map(str::to_owned);
    build(Verb::List, Resource::Pods, "", Builder::new(pods(namespace)).list(&params))
}

/// The pods of a node, in every namespace, as the API server remembers them: that costs it next to nothing, and may be a
/// moment old.
///
/// # Errors
///
/// A name that is none.
pub fn list_pods_of_node(node: &str, limit: u32) -> Result<ApiRequest, ApiError> {
    let params = ListParams::default().fields(&format!("spec.nodeName={node}")).limit(limit).match_any();
    build(Verb::List, Resource::Pods, "", Builder::new("/api/v1/pods").list(&params))
}

/// Changes of the pods of a selector from `version` on.
///
/// # Errors
///
/// A selector that is none.
pub fn watch_pods(namespace: &str, selector: &str, version: &str) -> Result<ApiRequest, ApiError> {
    let params = WatchParams::default().labels(selector).timeout(watch::SECONDS);
    build(Verb::Watch, Resource::Pods, "", Builder::new(pods(namespace)).watch(&params, version))
}

/// A new pod.
///
/// # Errors
///
/// An object that cannot be written as JSON.
pub fn create_pod(namespace: &str, name: &str, pod: &impl Serialize) -> Result<ApiRequest, ApiError> {
    create(Resource::Pods, pods(namespace), name, pod)
}

/// The end of a pod, of that one and not of another of its name.
///
/// # Errors
///
/// A name that is none.
pub fn delete_pod(namespace: &str, name: &str, uid: Option<&str>) -> Result<ApiRequest, ApiError> {
    let preconditions = uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::default() };
    build(Verb::Delete, Resource::Pods, name, Builder::new(pods(namespace)).delete(name, &params))
}

/// A new event of events.k8s.io.
///
/// # Errors
///
/// An object that cannot be written as JSON.
pub fn create_event(namespace: &str, name: &str, event: &impl Serialize) -> Result<ApiRequest, ApiError> {
    create(Resource::Events, format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"), name, event)
}

fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

fn create(
    resource: Resource,
    path: String,
    name: &str,
    object: &impl Serialize,
) -> Result<ApiRequest, ApiError> {
    let attempt = Attempt::new(Verb::Create, resource, name);
    let body = match serde_json::to_vec(object) {
        Ok(body) => body,
        Err(error) => return Err(ApiError::Garbled { attempt, why: error.to_string() }),
    };
    build(Verb::Create, resource, name, Builder::new(path).create(&PostParams::default(), body))
}

fn build(
    verb: Verb,
    resource: Resource,
    name: &str,
    request: Result<Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<ApiRequest, ApiError> {
    let attempt = Attempt::new(verb, resource, name);
    match request {
        Ok(request) => Ok((attempt, request)),
        Err(error) => Err(ApiError::Garbled { attempt, why: error.to_string() }),
    }
}
