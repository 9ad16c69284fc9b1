//! Adds up the huge pages that the pods of a node request, in the way the scheduler does.
//!
//! A pod is dropped as soon as it has been added, because a node may have hundreds of pods of tens of kilobytes each.
//!
//! Source of the rules: `PodRequests` of k8s.io/component-helpers/resource; KEP-753 for sidecars; KEP-2837 for
//! pod-level resources.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::quantity::in_pages;
use hugeprobe_domain::size::PageSize;

/// Numbers of pages by page size.
type Pages = BTreeMap<PageSize, u64>;

/// The sum of the requests of pods, without the pods that have ended.
#[derive(Debug, Default)]
pub struct PodRequests {
    /// The requested pages of each size.
    pub pages: Pages,
}

/// A pod with only the fields that name it and that determine its requests.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    metadata: Option<Box<Metadata>>,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    uid: String,
    name: String,
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    resources: Option<Resources>,
    node_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    resources: Option<Resources>,
    restart_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    requests: Option<BTreeMap<String, String>>,
    limits: Option<BTreeMap<String, String>>,
}

// === impl PodRequests ===

impl PodRequests {
    /// Adds the requests of a pod.
    pub fn add(&mut self, pod: &Pod) {
        add(&mut self.pages, &pod.requests());
    }
}

// === impl Pod ===

impl Pod {
    /// Returns `.status.phase`.
    #[must_use]
    pub fn phase(&self) -> &str {
        &self.status.phase
    }

    /// Returns the uid of the pod, and its namespace and name such as `default/vnf`.
    #[must_use]
    pub fn named(&self) -> Option<(String, String)> {
        let Metadata { uid, name, namespace } = self.metadata.as_deref()?;
        Some((uid.clone(), format!("{namespace}/{name}")))
    }

    /// Returns the name of the node that the pod is bound to; empty if it is bound to none.
    #[must_use]
    pub fn node(&self) -> &str {
        self.spec.node_name.as_deref().unwrap_or_default()
    }

    /// Returns the requested pages of each size; nothing if the pod has ended.
    #[must_use]
    pub fn requests(&self) -> Pages {
        if matches!(self.status.phase.as_str(), "Succeeded" | "Failed") {
            return Pages::new();
        }
        let mut running = Pages::new();
        for container in self.spec.containers.iter().flatten() {
            add(&mut running, &container.requests());
        }
        // While an init container runs, the sidecars that are listed before it run as well.
        let (mut sidecars, mut starting) = (Pages::new(), Pages::new());
        for container in self.spec.init_containers.iter().flatten() {
            let mut requests = container.requests();
            if container.is_sidecar() {
                add(&mut running, &requests);
                add(&mut sidecars, &requests);
                requests.clone_from(&sidecars);
            } else {
                add(&mut requests, &sidecars);
            }
            raise(&mut starting, &requests);
        }
        raise(&mut running, &starting);
        // For the sizes that they name, pod-level requests replace the sum of the containers.
        running.extend(self.spec.resources.iter().flat_map(Resources::requests));
        running
    }
}

// === impl Container ===

impl Container {
    fn requests(&self) -> Pages {
        self.resources.as_ref().map(Resources::requests).unwrap_or_default()
    }

    fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

// === impl Resources ===

impl Resources {
    /// Returns the requests. A limit without a request counts as a request, because the API server defaults the request
    /// to the limit.
    fn requests(&self) -> Pages {
        let amounts = self.limits.iter().chain(&self.requests).flatten();
        amounts
            .filter_map(|(name, amount)| {
                let (size, pages) = in_pages(name, amount)?;
                Some((size, pages.get()?))
            })
            .collect()
    }
}

fn add(sum: &mut Pages, pages: &Pages) {
    for (size, count) in pages {
        let sum = sum.entry(*size).or_default();
        *sum = sum.saturating_add(*count);
    }
}

fn raise(most: &mut Pages, pages: &Pages) {
    for (size, count) in pages {
        let most = most.entry(*size).or_default();
        *most = (*most).max(*count);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn requests(pods: &[Value]) -> Vec<(String, u64)> {
        let mut sum = PodRequests::default();
        pods.iter().for_each(|pod| sum.add(&serde_json::from_value(pod.clone()).unwrap()));
        sum.pages.into_iter().map(|(size, pages)| (size.to_string(), pages)).collect()
    }

    fn of(pages: u64) -> Value {
        json!({"requests": {"hugepages-2Mi": format!("{}Mi", pages * 2), "cpu": "1"}})
    }

    fn app(pages: u64) -> Value {
        json!({"name": "c", "resources": of(pages)})
    }

    fn sidecar(pages: u64) -> Value {
        json!({"name": "s", "restartPolicy": "Always", "resources": of(pages)})
    }

    #[test]
    fn a_pod_requests_what_the_scheduler_counts() {
        let init = app;
        let limits = json!({"limits": {"hugepages-2Mi": "8Mi"}, "requests": {"cpu": "1"}});
        for (case, spec, pages) in [
            ("containers add up", json!({"containers": [app(1), app(2)]}), 3),
            (
                "an init container runs before",
                json!({"containers": [app(1)], "initContainers": [init(4)]}),
                4,
            ),
            ("a sidecar runs beside", json!({"containers": [app(2)], "initContainers": [sidecar(3)]}), 5),
            (
                "an init container runs beside the sidecars before it",
                json!({"containers": [app(1)], "initContainers": [sidecar(3), init(4)]}),
                7,
            ),
            (
                "an init container runs without the sidecars after it",
                json!({"containers": [app(1)], "initContainers": [init(4), sidecar(2)]}),
                4,
            ),
            (
                "requests of the pod replace the sum",
                json!({"containers": [app(1)], "initContainers": [sidecar(1)], "resources": of(6)}),
                6,
            ),
            (
                "requests of the pod that do not name the size replace nothing",
                json!({"containers": [app(1)], "resources": {"requests": {"cpu": "1"}}}),
                1,
            ),
            (
                "a limit of the pod counts as its request",
                json!({"containers": [app(1)], "resources": limits}),
                4,
            ),
            (
                "a limit of a container counts as its request",
                json!({"containers": [{"name": "c", "resources": limits}]}),
                4,
            ),
        ] {
            assert_eq!(requests(&[json!({"spec": spec})]), [("2Mi".to_owned(), pages)], "{case}");
        }
    }

    #[test]
    fn requests_of_pods_that_live_are_added_up() {
        let pod = |phase: &str, pages: u64| json!({"metadata": {"name": "p", "managedFields": [{}]}, "spec": {"containers": [app(pages)]}, "status": {"phase": phase}});
        let pods = [
            pod("Running", 3),
            pod("Pending", 4),
            pod("Succeeded", 32),
            pod("Failed", 32),
            json!({}),
            json!({"spec": {"containers": [{"resources": {}}], "initContainers": null}}),
        ];
        assert_eq!(requests(&pods), [("2Mi".to_owned(), 7)]);
        assert_eq!(requests(&[]), []);
    }

    #[test]
    fn a_pod_is_named_with_its_namespace() {
        let named = |pod: Value| serde_json::from_value::<Pod>(pod).unwrap().named();
        let pod = json!({"metadata": {"uid": "u", "namespace": "default", "name": "vnf", "labels": null}});
        assert_eq!(named(pod), Some(("u".to_owned(), "default/vnf".to_owned())));
        assert_eq!(named(json!({"metadata": null})), None);
    }

    /// The agent's memory limit is 32Mi. Parsing 500 complete pods took 54 MB.
    #[test]
    fn what_is_kept_of_a_pod_is_small() {
        assert!(size_of::<Pod>() <= 200, "{} bytes", size_of::<Pod>());
        assert!(size_of::<Container>() <= 100, "{} bytes", size_of::<Container>());
    }
}
