//! Requests of the bench itself, as an administrator.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::{CONTENT_TYPE, USER_AGENT};
use hugeprobe::kubernetes::api::{Api, Attempt, Event, Resource, Unmetered, Verb};
use serde_json::{Value, json};
use tokio::time::sleep;

/// A client with this token. Its time limits are those of the agent's own (src/kubernetes/api).
pub(crate) fn client(token: &str) -> kube::Client {
    let mut config = kube::Config::new("https://127.0.0.1:6443".parse().unwrap());
    config.accept_invalid_certs = true;
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(305));
    config.write_timeout = Some(Duration::from_secs(15));
    config.auth_info = serde_json::from_value(json!({"token": token})).unwrap();
    kube::Client::try_from(config).unwrap()
}

/// A client with all rights. The audit log knows it by its name.
#[derive(Clone)]
pub(crate) struct Admin {
    client: kube::Client,
    name: &'static str,
}

impl Admin {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { client: client("admin"), name }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).await
    }

    /// Sends a request until it succeeds. Returns null if the object exists already, is gone or is another.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let kind =
            if method == "PATCH" { "application/strategic-merge-patch+json" } else { "application/json" };
        loop {
            let text = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
            let request = Request::builder().method(method).uri(path).header(USER_AGENT, self.name);
            match self.client.request(request.header(CONTENT_TYPE, kind).body(text).unwrap()).await {
                Ok(answer) => return answer,
                Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => {
                    return Value::Null;
                }
                Err(kube::Error::Api(status)) if status.code != 429 && status.code < 500 => {
                    panic!("{method} {path}: {status}")
                }
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// Passes every object of a list to `see`, and then every change; `true`: it was deleted. Lists again after an outage.
    pub(crate) async fn follow(self, path: &str, see: impl Fn(Value, bool)) -> Infallible {
        let api = Api::new(self.client, Arc::new(Unmetered));
        let request = |verb, query: String| {
            let request = Request::get(format!("{path}{query}")).header(USER_AGENT, self.name);
            (Attempt::new(verb, Resource::Pods, ""), request.body(Vec::new()).unwrap())
        };
        loop {
            let listed = api.list(request(Verb::List, String::new()), |object| see(object, false)).await;
            if let Ok(list) = listed {
                let query = format!("?watch=true&resourceVersion={}", list.resource_version);
                if let Ok(mut watch) = api.watch(request(Verb::Watch, query)).await {
                    while let Ok(Some(event)) = watch.next().await {
                        match event {
                            Event::Applied(object) => see(object, false),
                            Event::Deleted(object) => see(object, true),
                        }
                    }
                }
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}
