//! With `podAccounting`: reads how many pages the pods of this node have requested, to detect use beyond the requests.
//!
//! ## Rights
//!
//! `list` on `pods` in all namespaces. The field selector for the agent's own node is always sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::health::Health;
use crate::api::{Api, ApiError, requests};
use crate::pod_requests::PodRequests;
use crate::reconcile::PodUse;
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
}

// === impl UsageReader ===

impl UsageReader {
    /// Creates a reader for one node.
    #[must_use]
    pub const fn new(api: Api, node: String, health: Arc<Health>) -> Self {
        Self { api, node, health, last: None }
    }

    /// Returns a future that lists the pods and adds up their requests; `None` if it is not time to list.
    ///
    /// The future returns `None` if the request fails for another reason than a missing permission.
    pub fn due(&mut self, pools: &[Pool]) -> Option<impl Future<Output = Option<PodUse>> + Send + use<>> {
        let free: Vec<_> = pools.iter().map(|pool| pool.free.get()).collect();
        let due = self
            .last
            .as_ref()
            .is_none_or(|(at, before)| at.elapsed() >= if *before == free { LATEST } else { SOONEST });
        if !due {
            return None;
        }
        self.last = Some((Instant::now(), free));
        let (api, node, health) = (self.api.clone(), self.node.clone(), Arc::clone(&self.health));
        Some(async move {
            match requested(&api, &node).await {
                Ok(usage) => Some(usage),
                Err(error) => {
                    health.failed(&error);
                    error.is_forbidden().then(|| PodUse::NotSeen(error.to_string()))
                }
            }
        })
    }
}

async fn requested(api: &Api, node: &str) -> Result<PodUse, ApiError> {
    let mut requests = PodRequests::default();
    api.list(requests::list_pods_of_node(node)?, |pod| requests.add(&pod)).await?;
    Ok(PodUse::Requested(requests.pages.into_iter().collect()))
}
