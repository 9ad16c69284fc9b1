//! Sends one request. The answer has a deadline and a maximum length.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Limited};
use kube::client::Body;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::LONGEST;
use super::error::{ApiError, Attempt};
use super::list::{ListMeta, ListReader};
use super::meter::Meter;
use super::refusal::{Status, no_answer, retry_after};
use super::requests::ApiRequest;
use super::watch::Watch;

/// The maximum time to establish a connection.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// The maximum time until an answer is complete. The API server's own limit is 60 s.
pub const ANSWER: Duration = Duration::from_secs(15);
/// The maximum length of an error response, in bytes.
const REFUSAL: usize = 64 << 10;
const AGENT: &str = concat!("hugeprobe/", env!("CARGO_PKG_VERSION"));

/// A client of the API server. Clones share the connection.
#[derive(Clone)]
pub struct Api {
    client: kube::Client,
    meter: Arc<dyn Meter>,
}

// === impl Api ===

impl Api {
    /// Creates an API client that sends requests through `client` and reports each of them to `meter`.
    #[must_use]
    pub fn new(client: kube::Client, meter: Arc<dyn Meter>) -> Self {
        Self { client, meter }
    }

    /// Sends a request and parses the object in the answer.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn object<T: DeserializeOwned>(&self, (attempt, request): ApiRequest) -> Result<T, ApiError> {
        let body = self.answer(&attempt, request).await?.to_bytes();
        self.parsed(attempt, serde_json::from_slice(&body).map_err(|error| error.to_string()))
    }

    /// Sends a request and returns the answer as text.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn text(&self, (attempt, request): ApiRequest) -> Result<String, ApiError> {
        let body = self.answer(&attempt, request).await?.to_bytes();
        self.parsed(attempt, String::from_utf8(body.into()).map_err(|error| error.to_string()))
    }

    /// Sends a request and passes each item of the list in the answer to `each` as soon as it has arrived, even if an
    /// error follows.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn list<T: DeserializeOwned>(
        &self,
        (attempt, request): ApiRequest,
        mut each: impl FnMut(T),
    ) -> Result<ListMeta, ApiError> {
        let answer = self.within(&attempt, async {
            let (head, mut body) = self.send(&attempt, request).await?.into_parts();
            let mut list = ListReader::default();
            let read = loop {
                let Some(frame) = body.frame().await else { break list.end() };
                let frame = frame.map_err(|error| no_answer(&attempt, &error))?;
                if let Some(Err(why)) = frame.data_ref().map(|data| list.read(data, &mut each)) {
                    break Err(why);
                }
            };
            Ok(Response::from_parts(head, read))
        });
        let read = answer.await?.into_body();
        self.parsed(attempt, read)
    }

    /// Reads a list page by page, and adds each item to a state. Returns the state and the list's resource version.
    ///
    /// `request` returns the request for the page after a `continue` token. If the token expires between two pages
    /// (410), the list is read again from the start.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn pages<S: Default, T: DeserializeOwned>(
        &self,
        request: impl Fn(Option<&str>) -> Result<ApiRequest, ApiError>,
        mut add: impl FnMut(&mut S, T),
    ) -> Result<(S, String), ApiError> {
        let (mut state, mut token) = (S::default(), None::<String>);
        loop {
            match self.list(request(token.as_deref())?, |item| add(&mut state, item)).await {
                Err(error) if error.is_expired() && token.is_some() => (state, token) = (S::default(), None),
                page => {
                    let page = page?;
                    if page.r#continue.is_empty() {
                        return Ok((state, page.resource_version));
                    }
                    token = Some(page.r#continue);
                }
            }
        }
    }

    fn parsed<T>(&self, attempt: Attempt, parsed: Result<T, String>) -> Result<T, ApiError> {
        match parsed {
            Ok(parsed) => {
                self.meter.succeeded(attempt.verb, attempt.resource);
                Ok(parsed)
            }
            Err(why) => Err(ApiError::Garbled { attempt, why }),
        }
    }

    /// Sends a request and ignores the body of a successful answer.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn done(&self, (attempt, request): ApiRequest) -> Result<(), ApiError> {
        self.answer(&attempt, request).await?;
        self.meter.succeeded(attempt.verb, attempt.resource);
        Ok(())
    }

    /// Starts a watch.
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
                Limited::new(body, LONGEST).collect().await.map_err(|error| no_answer(attempt, &*error))?;
            Ok(Response::from_parts(head, body))
        });
        whole.await.map(Response::into_body)
    }

    /// Limits `work` to the deadline, and counts the request.
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

    /// Returns the response if its status is a success, and otherwise an error.
    async fn send(&self, attempt: &Attempt, request: Request<Vec<u8>>) -> Result<Response<Body>, ApiError> {
        let mut request = request.map(Body::from);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let response = self.client.send(request).await.map_err(|error| no_answer(attempt, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let wait = retry_after(response.headers());
        // The status is enough to know that the request was refused, so an incomplete body is accepted.
        let text = Limited::new(response.into_body(), REFUSAL).collect().await;
        let text = text.map(Collected::to_bytes).unwrap_or_default();
        // The body should be a `Status`, but it may be the error page of a proxy.
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
