//! `hugeprobe nodes`: the verdict of each node of a cluster, judged by its boot and the clock. Reads, and
//! nothing else.
//!
//! ## Rights
//!
//! `list` on `nodes`.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::api::{Api, ApiError, requests};
use super::names::PREFIX;
use super::slim::{List, SlimNode};
use crate::domain::published::{Fleet, FleetNode, Published};

/// Nodes in one answer: some megabytes.
const PIECE: u32 = 200;
/// Between two looks, at least.
const LOOK: Duration = Duration::from_secs(2);

/// Reads the verdicts of the nodes of `selector`, by name.
///
/// # Errors
///
/// See [`ApiError`]; what was read before is dropped.
pub async fn read(api: &Api, selector: Option<&str>) -> Result<Fleet, ApiError> {
    let mut slim = Vec::new();
    let mut token = None;
    loop {
        let request = requests::list_nodes(selector, PIECE, token.as_deref())?;
        let piece: List<SlimNode> = match api.object(request).await {
            // The rest of the list was forgotten between two pieces: from the start.
            Err(error) if error.is_expired() && token.is_some() => {
                slim.clear();
                token = None;
                continue;
            }
            other => other?,
        };
        slim.extend(piece.items);
        if piece.metadata.r#continue.is_empty() {
            break;
        }
        token = Some(piece.metadata.r#continue);
    }
    let at = Timestamp::now();
    let mut nodes: Vec<_> = slim.into_iter().map(|node| weighed(node, at)).collect();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Fleet { at, nodes })
}

/// As [`read`], again and again until every node has a verdict that tells something, or the time is up. `look` is shown
/// every fleet that is not there yet. What may pass by itself is waited out.
///
/// # Errors
///
/// Those of [`read`] that waiting does not help against, or the last one when the time is up.
pub async fn wait(
    api: &Api,
    selector: Option<&str>,
    timeout: Duration,
    mut look: impl FnMut(&Fleet),
) -> Result<Fleet, ApiError> {
    let end = Instant::now() + timeout;
    loop {
        let began = Instant::now();
        let read = read(api, selector).await;
        let late = Instant::now() >= end;
        match read {
            Ok(fleet) if fleet.is_told() || late => return Ok(fleet),
            Ok(fleet) => look(&fleet),
            Err(error) if late || !error.is_transient() => return Err(error),
            Err(_) => {}
        }
        // A fleet that takes long to read is read less often.
        let pause = LOOK.max(began.elapsed() * 4);
        sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
    }
}

fn weighed(node: SlimNode, now: Timestamp) -> FleetNode {
    let boot_id = node.boot_id().to_owned();
    let metadata = node.0.metadata;
    let (annotations, labels) =
        (metadata.annotations.unwrap_or_default(), metadata.labels.unwrap_or_default());
    let published = Published::read(&annotations, &labels, PREFIX);
    let state = published.state(&boot_id, now);
    FleetNode { name: metadata.name.unwrap_or_default(), boot_id, published, state }
}
