//! Which pages the pods of this node have requested, so that what is used beyond them is seen: with `podAccounting`.
//!
//! ## Rights
//!
//! `list` on `pods` of all namespaces; the selector for the own node is always sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::health::Health;
use crate::domain::inventory::Pool;
use crate::kubernetes::api::{Api, ApiError, requests};
use crate::kubernetes::pod_requests::PodRequests;
use crate::kubernetes::reconcile::PodUse;

/// Between two lists, however often pages come and go.
const SOONEST: Duration = Duration::from_secs(60);
/// Between two lists, though nothing moves: requests may change without use.
const LATEST: Duration = Duration::from_secs(600);
/// More pods than a kubelet takes by far.
const MOST: u32 = 500;

/// Lists the pods of the node when their requests may have changed.
#[derive(Debug)]
pub struct UsageReader {
    api: Api,
    node: String,
    health: Arc<Health>,
    /// When they were last listed, and which pages were free then.
    last: Option<(Instant, Vec<Option<u64>>)>,
}

// === impl UsageReader ===

impl UsageReader {
    /// A reader for one node.
    #[must_use]
    pub const fn new(api: Api, node: String, health: Arc<Health>) -> Self {
        Self { api, node, health, last: None }
    }

    /// The requests, if it is time to list; the future gives `None` if the API server is away.
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
    let request = requests::list_pods_of_node(node, MOST)?;
    let PodRequests { pages } = api.large_object(request).await?;
    Ok(PodUse::Requested(pages.into_iter().collect()))
}
