//! An API server that is none: one Node, some pods, events, and whatever can go wrong with them. It stands at the HTTP
//! level, behind kube's client, so that what is asserted are requests.
//!
//! Server-side apply is done as far as one manager goes: what stands under hugeprobe's prefix is replaced.

mod asked;
mod store;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use self::asked::Asked;

pub(crate) const NODE: &str = "node-a";

pub(crate) const NAMESPACE: &str = "hugeprobe";

const PREFIX: &str = "hugeprobe.io/";

/// A request, as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    /// RBAC's verb and resource: `patch nodes/status`.
    pub(crate) what: String,
    /// Path and query.
    pub(crate) uri: String,
    pub(crate) body: Value,
    /// The status that was answered; 0: none.
    pub(crate) code: u16,
}

/// What is wrong with requests of one kind.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Nobody listens.
    Away,
    /// No answer, ever.
    Silent,
    /// An answer after this long.
    Slow(Duration),
    /// This status, reason and message.
    Status(u16, &'static str, String),
    /// 429 with Retry-After, in seconds.
    Throttled(u64),
    /// The connection breaks after half an answer.
    Broken,
    /// A watch begins, and its first line is 410.
    Expired,
}

/// Shared by the client, the test and whoever plays the kubelet.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    version: u64,
    /// By name; [`NODE`] is the agent's.
    pub(crate) nodes: BTreeMap<String, Value>,
    pub(crate) pods: BTreeMap<String, Value>,
    pub(crate) events: BTreeMap<String, Value>,
    pub(crate) seen: Vec<Seen>,
    /// What the agents' pods answer at /metrics.
    pub(crate) metrics: String,
    /// By kind of request (`patch nodes/status`), `*` for all; how often it strikes, `None`: until it is taken away.
    faults: BTreeMap<String, (Fault, Option<u32>)>,
    watchers: Vec<(&'static str, UnboundedSender<Result<Bytes, String>>)>,
    /// Called with each pod that is created: the scheduler and the kubelet.
    pub(crate) kubelet: Option<Kubelet>,
}

/// Told of each pod that is created, by its name.
type Kubelet = Box<dyn Fn(&World, &str) + Send>;

type Answer = Response<UnsyncBoxBody<Bytes, String>>;

/// A body that goes on.
struct Feed(UnboundedReceiver<Result<Bytes, String>>);

impl Body for Feed {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        self.0.poll_recv(context).map(|item| item.map(|item| item.map(Frame::data)))
    }
}

impl World {
    /// One Node with `pages` of 2Mi, in the boot `boot`.
    pub(crate) fn new(boot: &str, pages: u64) -> Self {
        let world = Self::default();
        world.register("uid-1", boot, pages);
        world
    }

    pub(crate) fn client(&self) -> kube::Client {
        let world = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let world = world.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                world.serve(Request::from_parts(head, body)).await
            }
        });
        kube::Client::new(service, NAMESPACE)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Puts a Node there, as a kubelet that registers does.
    pub(crate) fn register(&self, uid: &str, boot: &str, pages: u64) {
        let capacity = format!("{}Mi", 2 * pages);
        let mut state = self.state();
        state.version += 1;
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": NODE, "uid": uid, "resourceVersion": state.version.to_string(), "labels": {"pool": "nfv"}, "annotations": {}},
            "status": {
                "capacity": {"cpu": "2", "hugepages-2Mi": capacity}, "allocatable": {"cpu": "2", "hugepages-2Mi": capacity},
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"bootID": boot},
            },
        });
        state.nodes.insert(NODE.to_owned(), node.clone());
        state.tell("nodes", "ADDED", &node);
    }

    pub(crate) fn unregister(&self) {
        let mut state = self.state();
        state.version += 1;
        let node = state.nodes.remove(NODE).unwrap();
        state.tell("nodes", "DELETED", &node);
    }

    /// Changes the Node as somebody else does, the kubelet with its heartbeats for one.
    pub(crate) fn change_node(&self, change: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version.to_string();
        let Some(mut node) = state.nodes.remove(NODE) else { return };
        change(&mut node);
        node["metadata"]["resourceVersion"] = version.into();
        state.tell("nodes", "MODIFIED", &node);
        state.nodes.insert(NODE.to_owned(), node);
    }

    /// Changes a pod's status.
    pub(crate) fn change_pod(&self, name: &str, status: Value) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version.to_string();
        let Some(mut pod) = state.pods.remove(name) else { return };
        pod["status"] = status;
        pod["metadata"]["resourceVersion"] = version.into();
        state.tell("pods", "MODIFIED", &pod);
        state.pods.insert(name.to_owned(), pod);
    }

    /// Requests of `kind` meet `fault` until it is taken away.
    pub(crate) fn fault(&self, kind: &str, fault: Fault) {
        self.state().faults.insert(kind.to_owned(), (fault, None));
    }

    /// The next `times` requests of `kind` meet `fault`.
    pub(crate) fn fault_times(&self, kind: &str, fault: Fault, times: u32) {
        self.state().faults.insert(kind.to_owned(), (fault, Some(times)));
    }

    pub(crate) fn mend(&self, kind: &str) {
        self.state().faults.remove(kind);
    }

    /// The API server goes away: every watch breaks, and nobody listens.
    pub(crate) fn stop(&self) {
        self.break_watches();
        self.fault("*", Fault::Away);
    }

    pub(crate) fn start(&self) {
        self.mend("*");
    }

    /// Tells the watchers of Nodes about one.
    pub(crate) fn send_node(&self, kind: &str, node: &Value) {
        self.state().tell("nodes", kind, node);
    }

    /// Every watch breaks.
    pub(crate) fn break_watches(&self) {
        for (_, watcher) in self.state().watchers.drain(..) {
            let _ = watcher.send(Err("connection reset by peer".to_owned()));
        }
    }

    /// Ends every watch in good order, as the API server does after some minutes.
    pub(crate) fn end_watches(&self) {
        self.state().watchers.clear();
    }

    /// The requests of `kind` that were answered with a success.
    pub(crate) fn done(&self, kind: &str) -> Vec<Seen> {
        self.tried(kind).into_iter().filter(|seen| (200..300).contains(&seen.code)).collect()
    }

    /// All requests of `kind`.
    pub(crate) fn tried(&self, kind: &str) -> Vec<Seen> {
        self.state().seen.iter().filter(|seen| seen.what == kind).cloned().collect()
    }

    /// What hugeprobe says on the Node under this key.
    pub(crate) fn annotation(&self, key: &str) -> Option<String> {
        let state = self.state();
        let annotations = &state.nodes.get(NODE)?["metadata"]["annotations"];
        annotations[format!("{PREFIX}{key}")].as_str().map(str::to_owned)
    }

    /// Answers a request.
    pub(crate) async fn serve(&self, request: Request<Bytes>) -> Result<Answer, String> {
        let asked = Asked::new(&request);
        let fault = self.state().strike(&asked.what());
        let noted = |code| {
            let seen = Seen {
                at: Instant::now(),
                what: asked.what(),
                uri: request.uri().to_string(),
                body: serde_json::from_slice(request.body()).unwrap_or(Value::Null),
                code,
            };
            self.state().seen.push(seen);
        };
        match fault {
            None => {}
            Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
            Some(Fault::Away) => {
                noted(0);
                return Err("connection refused".to_owned());
            }
            Some(Fault::Silent) => {
                noted(0);
                std::future::pending::<Infallible>().await;
            }
            Some(Fault::Broken) => {
                noted(0);
                let (feed, body) = unbounded_channel();
                let _ = feed.send(Ok(Bytes::from_static(b"{\"kind\":")));
                let _ = feed.send(Err("connection reset by peer".to_owned()));
                return Ok(Response::new(Feed(body).boxed_unsync()));
            }
            Some(Fault::Status(code, reason, message)) => {
                noted(code);
                return Ok(refusal(code, reason, &message));
            }
            Some(Fault::Throttled(seconds)) => {
                noted(429);
                let mut answer = refusal(429, "TooManyRequests", "too many requests");
                answer.headers_mut().insert("retry-after", seconds.into());
                return Ok(answer);
            }
            Some(Fault::Expired) => {
                noted(200);
                let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}});
                let line = Full::new(Bytes::from(format!("{gone}\n")));
                return Ok(Response::new(line.map_err(|never: Infallible| match never {}).boxed_unsync()));
            }
        }
        let body = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let answer = self.answer(&asked, &body);
        noted(answer.status().as_u16());
        if asked.verb == "create" && asked.resource == "pods" && answer.status().is_success() {
            let kubelet = self.state().kubelet.take();
            if let Some(kubelet) = kubelet {
                kubelet(self, body["metadata"]["name"].as_str().unwrap());
                self.state().kubelet = Some(kubelet);
            }
        }
        Ok(answer)
    }

    fn answer(&self, asked: &Asked, body: &Value) -> Answer {
        let mut state = self.state();
        match (asked.verb, asked.resource) {
            ("watch", resource) => {
                let (feed, body) = unbounded_channel();
                state.watchers.push((resource, feed));
                Response::new(Feed(body).boxed_unsync())
            }
            ("list", "nodes") => {
                let items: Vec<_> =
                    state.nodes.values().filter(|node| asked.selects(node)).cloned().collect();
                state.list(&items)
            }
            ("list", "pods") => {
                let items: Vec<_> = state.pods.values().cloned().collect();
                state.list(&items)
            }
            ("list", "all pods") => {
                let items: Vec<_> = state.pods.values().filter(|pod| asked.binds(pod)).cloned().collect();
                state.list(&items)
            }
            ("list", "events") => {
                let items: Vec<_> = state.events.values().cloned().collect();
                state.list(&items)
            }
            ("get", "pods") => match state.pods.get(&asked.name) {
                Some(pod) => Response::new(full(pod)),
                None => refusal(404, "NotFound", "pods not found"),
            },
            ("get", "nodes") => match state.nodes.get(&asked.name) {
                Some(node) => Response::new(full(node)),
                None => refusal(404, "NotFound", "nodes \"node-a\" not found"),
            },
            ("patch", "nodes/status") if asked.query.contains("dryRun=All") => {
                let before = state.nodes.clone();
                let answer = state.apply(&asked.name, body);
                state.nodes = before;
                answer
            }
            ("patch", "nodes/status") => state.apply(&asked.name, body),
            ("patch", "nodes") => state.annotate(&asked.name, body),
            ("get", "pods/proxy") => {
                let text = Full::new(Bytes::from(state.metrics.clone()));
                Response::new(text.map_err(|never: Infallible| match never {}).boxed_unsync())
            }
            ("create", "pods") => state.create(body, |state| &mut state.pods, "pods"),
            ("create", "events") => state.create(body, |state| &mut state.events, "events"),
            ("delete", "pods") => state.delete(&asked.name, body),
            _ => refusal(405, "MethodNotAllowed", &asked.what()),
        }
    }
}

fn refusal(code: u16, reason: &str, message: &str) -> Answer {
    let status =
        json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message});
    let mut answer = Response::new(full(&status));
    *answer.status_mut() = http::StatusCode::from_u16(code).unwrap();
    answer
}

fn full(value: &Value) -> UnsyncBoxBody<Bytes, String> {
    Full::new(Bytes::from(value.to_string())).map_err(|never: Infallible| match never {}).boxed_unsync()
}
