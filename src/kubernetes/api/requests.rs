//! Builds all requests that hugeprobe sends to the API server. Each is an [`Attempt`] and the HTTP request for it.
//!
//! docs/reference/permissions.md lists the permission that each request needs.

use http::Request;
use kube::api::{
    DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchParams,
};
use kube::core::Request as Builder;
use serde::Serialize;
use serde_json::json;

use super::error::{ApiError, Attempt, Resource, Verb};
use super::watch;

/// A description of what is attempted, and the HTTP request for it.
pub type ApiRequest = (Attempt, Request<Vec<u8>>);

const NODES: &str = "/api/v1/nodes";

/// Gets one Node.
///
/// # Errors
///
/// The name is invalid.
pub fn get_node(name: &str) -> Result<ApiRequest, ApiError> {
    build(Verb::Get, Resource::Nodes, name, Builder::new(NODES).get(name, &GetParams::default()))
}

/// Lists the Node of this name. The list has the resource version from which a watch can continue.
///
/// # Errors
///
/// The name is invalid.
pub fn list_node(name: &str) -> Result<ApiRequest, ApiError> {
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    build(Verb::List, Resource::Nodes, name, Builder::new(NODES).list(&params))
}

/// Lists the Nodes that `selector` matches, `limit` at a time. `token` is the `continue` value of the previous page.
///
/// # Errors
///
/// The selector is invalid.
pub fn list_nodes(selector: Option<&str>, limit: u32, token: Option<&str>) -> Result<ApiRequest, ApiError> {
    let mut params = ListParams::default().limit(limit);
    params.label_selector = selector.map(str::to_owned);
    params.continue_token = token.map(str::to_owned);
    build(Verb::List, Resource::Nodes, "", Builder::new(NODES).list(&params))
}

/// Watches one Node for changes after the resource version `version`.
///
/// # Errors
///
/// The name is invalid.
pub fn watch_node(name: &str, version: &str) -> Result<ApiRequest, ApiError> {
    let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(watch::SECONDS);
    build(Verb::Watch, Resource::Nodes, name, Builder::new(NODES).watch(&params, version))
}

/// Watches the Nodes that `selector` matches for changes after the resource version `version`.
///
/// # Errors
///
/// The selector is invalid.
pub fn watch_nodes(selector: Option<&str>, version: &str) -> Result<ApiRequest, ApiError> {
    let mut params = WatchParams::default().timeout(watch::SECONDS);
    params.label_selector = selector.map(str::to_owned);
    build(Verb::Watch, Resource::Nodes, "", Builder::new(NODES).watch(&params, version))
}

/// Writes one annotation of a Node.
///
/// # Errors
///
/// The name is invalid.
pub fn annotate_node(name: &str, manager: &str, key: &str, value: &str) -> Result<ApiRequest, ApiError> {
    let body = json!({"metadata": {"annotations": {key: value}}});
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    build(Verb::Patch, Resource::Nodes, name, Builder::new(NODES).patch(name, &params, &Patch::Merge(body)))
}

/// Gets the metrics of an agent's pod through the API server, which sends the request to this port of the pod.
///
/// # Errors
///
/// The name is invalid.
pub fn get_metrics(namespace: &str, pod: &str, port: u16) -> Result<ApiRequest, ApiError> {
    let attempt = Attempt::new(Verb::Get, Resource::PodsProxy, pod);
    let path = format!("{}/{pod}:{port}/proxy/metrics", pods(namespace));
    match Request::get(path).body(Vec::new()) {
        Ok(request) => Ok((attempt, request)),
        Err(error) => Err(ApiError::Garbled { attempt, why: error.to_string() }),
    }
}

/// Applies `body` to a Node's status with a forced server-side apply. The status subresource accepts annotations,
/// labels and conditions together.
///
/// # Errors
///
/// The name is invalid.
pub fn apply_node_status(name: &str, manager: &str, body: &impl Serialize) -> Result<ApiRequest, ApiError> {
    let params = PatchParams::apply(manager).force();
    let request = Builder::new(NODES).patch_subresource("status", name, &params, &Patch::Apply(body));
    build(Verb::Patch, Resource::NodesStatus, name, request)
}

/// Asks what the API server would answer to [`merge_node_status`]. It is a dry run: nothing is changed.
///
/// An apply would not do: it would also remove what the manager applied before and `body` does not name.
///
/// # Errors
///
/// The name is invalid.
pub fn try_node_status(name: &str, manager: &str, body: &impl Serialize) -> Result<ApiRequest, ApiError> {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() }.dry_run();
    let request = Builder::new(NODES).patch_subresource("status", name, &params, &Patch::Strategic(body));
    build(Verb::Patch, Resource::NodesStatus, name, request)
}

/// Patches a Node's status with `body`, a strategic merge patch.
///
/// # Errors
///
/// The name is invalid.
pub fn merge_node_status(name: &str, manager: &str, body: &impl Serialize) -> Result<ApiRequest, ApiError> {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let request = Builder::new(NODES).patch_subresource("status", name, &params, &Patch::Strategic(body));
    build(Verb::Patch, Resource::NodesStatus, name, request)
}

/// Gets one pod.
///
/// # Errors
///
/// The name is invalid.
pub fn get_pod(namespace: &str, name: &str) -> Result<ApiRequest, ApiError> {
    let request = Builder::new(pods(namespace)).get(name, &GetParams::default());
    build(Verb::Get, Resource::Pods, name, request)
}

/// Lists the pods of a namespace that `selector` matches.
///
/// # Errors
///
/// The selector is invalid.
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

/// Lists the pods of a node in all namespaces, from the watch cache of the API server. This is cheap for the server;
/// the result may be slightly out of date.
///
/// # Errors
///
/// The name is invalid.
pub fn list_pods_of_node(node: &str) -> Result<ApiRequest, ApiError> {
    let params = ListParams::default().fields(&format!("spec.nodeName={node}")).match_any();
    build(Verb::List, Resource::Pods, "", Builder::new("/api/v1/pods").list(&params))
}

/// Lists the pods of all namespaces that are bound to a node and have not ended, `limit` at a time. `token` is the
/// `continue` value of the previous page.
///
/// # Errors
///
/// The request cannot be built.
pub fn list_bound_pods(limit: u32, token: Option<&str>) -> Result<ApiRequest, ApiError> {
    let fields = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed";
    let mut params = ListParams::default().fields(fields).limit(limit);
    params.continue_token = token.map(str::to_owned);
    build(Verb::List, Resource::Pods, "", Builder::new("/api/v1/pods").list(&params))
}

/// Watches the pods that `selector` matches for changes after the resource version `version`.
///
/// # Errors
///
/// The selector is invalid.
pub fn watch_pods(namespace: &str, selector: &str, version: &str) -> Result<ApiRequest, ApiError> {
    let params = WatchParams::default().labels(selector).timeout(watch::SECONDS);
    build(Verb::Watch, Resource::Pods, "", Builder::new(pods(namespace)).watch(&params, version))
}

/// Creates a pod.
///
/// # Errors
///
/// The object cannot be serialized as JSON.
pub fn create_pod(namespace: &str, name: &str, pod: &impl Serialize) -> Result<ApiRequest, ApiError> {
    create(Resource::Pods, pods(namespace), name, pod)
}

/// Deletes a pod. With a `uid`, the API server refuses to delete a different pod of the same name.
///
/// # Errors
///
/// The name is invalid.
pub fn delete_pod(namespace: &str, name: &str, uid: Option<&str>) -> Result<ApiRequest, ApiError> {
    let preconditions = uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::default() };
    build(Verb::Delete, Resource::Pods, name, Builder::new(pods(namespace)).delete(name, &params))
}

/// Creates an event of events.k8s.io.
///
/// # Errors
///
/// The object cannot be serialized as JSON.
pub fn create_event(namespace: &str, name: &str, event: &impl Serialize) -> Result<ApiRequest, ApiError> {
    create(Resource::Events, format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"), name, event)
}

/// Lists the events about an object. With a `uid`, those about an earlier object of the same name are left out.
///
/// The older API of events is used, as by `kubectl describe`, because its field selectors are documented.
///
/// # Errors
///
/// The request cannot be built.
pub fn list_events_of(
    namespace: &str,
    kind: &str,
    name: &str,
    uid: Option<&str>,
) -> Result<ApiRequest, ApiError> {
    let uid = uid.map(|uid| format!(",involvedObject.uid={uid}")).unwrap_or_default();
    let params =
        ListParams::default().fields(&format!("involvedObject.kind={kind},involvedObject.name={name}{uid}"));
    let path = format!("/api/v1/namespaces/{namespace}/events");
    build(Verb::List, Resource::Events, "", Builder::new(path).list(&params))
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
