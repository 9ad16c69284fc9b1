//! Changes as they happen: a body that lasts for minutes, one JSON object per line.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::{ApiError, Attempt};
use super::refusal::{Status, no_answer};

/// How long a watch should last, in seconds; the API server then ends it, and another continues from its last version.
pub(super) const SECONDS: u32 = 290;
/// A watch without an event for longer than it should last is dead: the connection was lost silently.
pub(super) const SILENCE: Duration = Duration::from_secs(305);
/// The longest line: etcd keeps no object over 1.5 MiB, and JSON may spell it longer.
const LONGEST: usize = 8 << 20;

/// One watch, until it ends.
#[derive(Debug)]
pub struct Watch {
    attempt: Attempt,
    body: Body,
    read: BytesMut,
    version: Option<String>,
}

/// An event of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<T> {
    /// The object is new or has changed.
    Applied(T),
    /// The object was deleted; its last state.
    Deleted(T),
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

#[derive(Deserialize)]
struct Holds<T> {
    object: T,
}

#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(attempt: Attempt, body: Body) -> Self {
        Self { attempt, body, read: BytesMut::new(), version: None }
    }

    /// The next event; `None` once the server ended the watch in good order. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// The connection broke, was silent for too long, or the server said no: 410 is [`ApiError::is_expired`].
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Event<T>>, ApiError> {
        loop {
            let Some(line) = self.line().await? else { return Ok(None) };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if let Some(event) = self.event(&line)? {
                return Ok(Some(event));
            }
        }
    }

    async fn line(&mut self) -> Result<Option<Bytes>, ApiError> {
        let mut looked_at = 0;
        loop {
            let unseen = self.read.get(looked_at..).unwrap_or_default();
            if let Some(end) = unseen.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.read.split_to(looked_at + end + 1).freeze()));
            }
            looked_at = self.read.len();
            if looked_at > LONGEST {
                return Err(self.garbled(format!("a line of more than {LONGEST} bytes")));
            }
            let frame = timeout(SILENCE, self.body.frame())
                .await
                .map_err(|_| ApiError::TooSlow { attempt: self.attempt.clone(), after: SILENCE })?;
            match frame {
                // A line without its end is half an object.
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(no_answer(&self.attempt, &error)),
            }
        }
    }

    /// The resource version of the last event, from which another watch continues.
    #[must_use]
    pub fn into_version(self) -> Option<String> {
        self.version
    }

    /// The event in a line; `None` for a bookmark.
    // Parsed several times, because the type says what the object is: a watch is quiet, and nothing is kept in between.
    fn event<T: DeserializeOwned>(&mut self, line: &[u8]) -> Result<Option<Event<T>>, ApiError> {
        let kind = self.read_as::<Kind>(line)?.r#type;
        if kind == "ERROR" {
            let status = self.read_as::<Holds<Status>>(line)?.object;
            return Err(status.refusal(self.attempt.clone(), None, None));
        }
        let event = match kind.as_str() {
            "ADDED" | "MODIFIED" => Some(Event::Applied(self.read_as::<Holds<T>>(line)?.object)),
            "DELETED" => Some(Event::Deleted(self.read_as::<Holds<T>>(line)?.object)),
            "BOOKMARK" => None,
            other => return Err(self.garbled(format!("an event of type {other:?}"))),
        };
        self.version = Some(self.read_as::<Holds<Versioned>>(line)?.object.metadata.resource_version);
        Ok(event)
    }

    fn read_as<T: DeserializeOwned>(&self, line: &[u8]) -> Result<T, ApiError> {
        serde_json::from_slice(line).map_err(|error| self.garbled(error.to_string()))
    }

    fn garbled(&self, why: String) -> ApiError {
        ApiError::Garbled { attempt: self.attempt.clone(), why }
    }
}
