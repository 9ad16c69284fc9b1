//! With `podAccounting`: reads how many pages the pods of this node have requested, to detect use beyond the requests, and
//! the names of these pods, of which a cgroup shows the uid only.
//!
//! ## Rights
//!
//! `list` on `pods` in all namespaces. The field selector for the agent's own node is always sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::health::Health;
use crate::api::{Api, ApiError, requests};
use crate::pod_requests::{Pod, PodRequests};
use crate::reconcile::PodUse;
use hugeprobe_domain::inspect::conflicts::PodNames;
use hugeprobe_domain::inventory::Pool;

/// The minimum time between two lists.
const SOONEST: Duration = Duration::from_secs(60);
/// The maximum time between two lists. Requests may change while the number of free pages stays the same.
const LATEST: Duration = Duration::from_secs(600);

/// Lists the pods of the node when their requests may have changed.
#[derive(Debug)]
pub struct UsageReader {
    api: Api,
    node: String,
    health: Arc<Health>,
    /// The time of the last list, and the free pages of each pool at that time.
    last: Option<(Instant, Vec<Option<u64>>)>,
    /// The uids of pods that were to be named by the last list.
    named: Vec<String>,
}

/// What a list of the pods of this node shows.
#[derive(Debug)]
pub struct Usage {
    /// The pages that the pods request.
    pub pages: PodUse,
    /// The names of the pods that request pages; `None` if they could not be listed.
    pub names: Option<PodNames>,
}

// === impl UsageReader ===

impl UsageReader {
    /// Creates a reader for one node.
    #[must_use]
    pub const fn new(api: Api, node: String, health: Arc<Health>) -> Self {
        Self { api, node, health, last: None, named: Vec::new() }
    }

    /// Returns a future that lists the pods and adds up their requests; `None` if it is not time to list. `uids` are
    /// pods of which the name is wanted.
    ///
    /// The future returns `None` if the request fails for another reason than a missing permission.
    pub fn due(
        &mut self,
        pools: &[Pool],
        uids: Vec<String>,
    ) -> Option<impl Future<Output = Option<Usage>> + Send + use<>> {
        let free: Vec<_> = pools.iter().map(|pool| pool.free.get()).collect();
        let same = |before: &Vec<_>| *before == free && uids == self.named;
        let due = self
            .last
            .as_ref()
            .is_none_or(|(at, before)| at.elapsed() >= if same(before) { LATEST } else { SOONEST });
        if !due {
            return None;
        }
        self.last = Some((Instant::now(), free));
        self.named = uids;
        let (api, node, health) = (self.api.clone(), self.node.clone(), Arc::clone(&self.health));
        Some(async move {
            match requested(&api, &node).await {
                Ok(usage) => Some(usage),
                Err(error) => {
                    health.failed(&error);
                    error
                        .is_forbidden()
                        .then(|| Usage { pages: PodUse::NotSeen(error.to_string()), names: None })
                }
            }
        })
    }
}

async fn requested(api: &Api, node: &str) -> Result<Usage, ApiError> {
    let mut requests = PodRequests::default();
    let mut names = PodNames::new();
    let add = |pod: Pod| {
        requests.add(&pod);
        // The names of all other pods of the node would only take memory.
        names.extend(pod.named().filter(|_| !pod.requests().is_empty()));
    };
    api.list(requests::list_pods_of_node(node)?, add).await?;
    Ok(Usage { pages: PodUse::Requested(requests.pages.into_iter().collect()), names: Some(names) })
}
