//! One request: sent, answered within a deadline and a length, or an error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Limited};
use kube::client::Body;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::{ApiError, Attempt};
use super::meter::Meter;
use super::refusal::{Status, no_answer, retry_after};
use super::requests::ApiRequest;
use super::watch::Watch;

/// How long a connection may take to stand.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take in full; the API server's own limit is 60 s.
pub const ANSWER: Duration = Duration::from_secs(15);
/// The longest answer: etcd keeps no object over 1.5 MiB, and lists are asked for in pieces.
const LENGTH: usize = 32 << 20;
/// The longest answer that says no.
const REFUSAL: usize = 64 << 10;
const AGENT: &str = concat!("hugeprobe/", env!("CARGO_PKG_VERSION"));

/// The API server. Clones share the connection.
#[derive(Clone)]
pub struct Api {
    client: kube::Client,
    meter: Arc<dyn Meter>,
}

// === impl Api ===

impl Api {
    /// Sends through `client`, and tells `meter` of every request.
    #[must_use]
    pub fn new(client: kube::Client, meter: Arc<dyn Meter>) -> Self {
        Self { client, meter }
    }

    /// The object, or list, that the answer holds.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn object<T: DeserializeOwned>(&self, (attempt, request): ApiRequest) -> Result<T, ApiError> {
        let body = self.answer(&attempt, request).await?.to_bytes();
        self.parsed(attempt, serde_json::from_slice(&body))
    }

    /// As [`Self::object`], for an answer of many megabytes: it is parsed from the pieces that arrived and never copied into
    /// one. For few types, because each is compiled once more.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn large_object<T: DeserializeOwned>(
        &self,
        (attempt, request): ApiRequest,
    ) -> Result<T, ApiError> {
        let body = self.answer(&attempt, request).await?.aggregate();
        self.parsed(attempt, serde_json::from_reader(body.reader()))
    }

    fn parsed<T>(&self, attempt: Attempt, parsed: serde_json::Result<T>) -> Result<T, ApiError> {
        match parsed {
            Ok(object) => {
                self.meter.succeeded(attempt.verb, attempt.resource);
                Ok(object)
            }
            Err(error) => Err(ApiError::Garbled { attempt, why: error.to_string() }),
        }
    }

    /// Sends a request whose answer matters by its status alone.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn done(&self, (attempt, request): ApiRequest) -> Result<(), ApiError> {
        self.answer(&attempt, request).await?;
        self.meter.succeeded(attempt.verb, attempt.resource);
        Ok(())
    }

    /// Begins a watch.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn watch(&self, (attempt, request): ApiRequest) -> Result<Watch, ApiError> {
        let response = self.within(&attempt, self.send(&attempt, request)).await?;
        self.meter.succeeded(attempt.verb, attempt.resource);
        Ok(Watch::new(attempt, response.into_body()))
    }

    async fn answer(
        &self,
        attempt: &Attempt,
        request: Request<Vec<u8>>,
    ) -> Result<Collected<Bytes>, ApiError> {
        let whole = self.within(attempt, async {
            let (head, body) = self.send(attempt, request).await?.into_parts();
            let body =
                Limited::new(body, LENGTH).collect().await.map_err(|error| no_answer(attempt, &*error))?;
            Ok(Response::from_parts(head, body))
        });
        whole.await.map(Response::into_body)
    }

    /// Ends `work` at the deadline, and counts it.
    async fn within<T>(
        &self,
        attempt: &Attempt,
        work: impl Future<Output = Result<Response<T>, ApiError>>,
    ) -> Result<Response<T>, ApiError> {
        let ended = timeout(ANSWER, work)
            .await
            .unwrap_or_else(|_| Err(ApiError::TooSlow { attempt: attempt.clone(), after: ANSWER }));
        let code = match &ended {
            Ok(response) => Some(response.status().as_u16()),
            Err(error) => error.code(),
        };
        self.meter.request(attempt.verb, attempt.resource, code);
        ended
    }

    /// The response, if it is a success.
    async fn send(&self, attempt: &Attempt, request: Request<Vec<u8>>) -> Result<Response<Body>, ApiError> {
        let mut request = request.map(Body::from);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let response = self.client.send(request).await.map_err(|error| no_answer(attempt, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let wait = retry_after(response.headers());
        // A refusal whose text breaks off is a refusal all the same.
        let text = Limited::new(response.into_body(), REFUSAL).collect().await;
        let text = text.map(Collected::to_bytes).unwrap_or_default();
        // It should be a `Status`, and may be a proxy's page.
        let status = serde_json::from_slice::<Status>(&text).unwrap_or_else(|_| Status {
            message: String::from_utf8_lossy(&text).into_owned(),
            ..Status::default()
        });
        Err(status.refusal(attempt.clone(), Some(code), wait))
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}
