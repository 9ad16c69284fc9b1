//! What the pods of a node request of huge pages, all together.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::PodUse;
use super::node::in_pages;
use crate::domain::size::PageSize;

/// Pages that `pods` request, those that have ended left out. As the scheduler counts: the sum of the containers, or what an init
/// container takes before them, if that is more.
#[must_use]
pub fn usage(pods: &[Pod]) -> PodUse {
    let mut pages: BTreeMap<PageSize, u64> = BTreeMap::new();
    for pod in pods {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let Some(spec) = pod.spec.as_ref().filter(|_| !matches!(phase, Some("Succeeded" | "Failed"))) else {
            continue;
        };
        let mut of_pod: BTreeMap<PageSize, u64> = BTreeMap::new();
        for (size, count) in spec.containers.iter().flat_map(requests) {
            let sum = of_pod.entry(size).or_default();
            *sum = sum.saturating_add(count);
        }
        for (size, count) in spec.init_containers.iter().flatten().flat_map(requests) {
            let sum = of_pod.entry(size).or_default();
            *sum = (*sum).max(count);
        }
        for (size, count) in of_pod {
            let sum = pages.entry(size).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    PodUse::Requested(pages.into_iter().collect())
}

/// A limit of huge pages stands for the request, which must be the same.
fn requests(container: &Container) -> impl Iterator<Item = (PageSize, u64)> {
    let resources = container.resources.as_ref();
    let amounts = resources.and_then(|resources| resources.requests.as_ref().or(resources.limits.as_ref()));
    amounts.into_iter().flatten().filter_map(|(name, amount)| {
        let (size, pages) = in_pages(name, amount)?;
        Some((size, pages.get()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: &str, containers: &[&str], init: &[&str]) -> Pod {
        let list = |amounts: &[&str]| -> Vec<_> {
            amounts
                .iter()
                .map(|amount| serde_json::json!({"name": "c", "resources": {"requests": {"hugepages-2Mi": amount, "cpu": "1"}}}))
                .collect()
        };
        serde_json::from_value(serde_json::json!({
            "spec": {"containers": list(containers), "initContainers": list(init)}, "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn requests_of_pods_that_live_are_added_up() {
        let size: PageSize = "2Mi".parse().unwrap();
        let pods = [
            pod("Running", &["4Mi", "2Mi"], &["2Mi"]),
            pod("Pending", &["2Mi"], &["8Mi"]),
            pod("Succeeded", &["64Mi"], &[]),
            pod("Failed", &["64Mi"], &[]),
            Pod::default(),
        ];
        assert_eq!(usage(&pods), PodUse::Requested(vec![(size, 7)]));
        assert_eq!(usage(&[]), PodUse::Requested(vec![]));
    }
}
