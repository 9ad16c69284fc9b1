//! A watch: a response that lasts for minutes, with one JSON object per line.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::LONGEST;
use super::error::{ApiError, Attempt};
use super::refusal::{Status, no_answer};

/// How long a watch should last, in seconds. The API server then ends it, and the next watch continues from its last
/// version.
pub(super) const SECONDS: u32 = 290;
/// The maximum time without data. A watch should end before that, so the connection must have been lost silently.
pub(super) const SILENCE: Duration = Duration::from_secs(305);

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

    /// Returns the next event; `None` after the server has ended the watch normally. No event is lost if the future is
    /// dropped.
    ///
    /// # Errors
    ///
    /// The connection broke, was silent for too long, or the server reported an error. [`ApiError::is_expired`] is true
    /// for 410.
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
                // An incomplete last line is an incomplete object.
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

    /// Returns the resource version of the last event, from which another watch can continue.
    #[must_use]
    pub fn into_version(self) -> Option<String> {
        self.version
    }

    /// Parses the event in a line; `None` for a bookmark.
    // The line is parsed several times, because the type of the event determines the type of the object. Watches have
    // few events, and this way no intermediate representation is kept.
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
