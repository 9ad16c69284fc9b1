//! Builds the errors of requests that the API server refused or did not answer.

use std::error::Error;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde::Deserialize;

use super::error::{ApiError, Attempt};

/// The maximum length of the reason and of the message that are kept, in characters.
const MESSAGE: usize = 1024;
/// The maximum `Retry-After` that is accepted from a server.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The fields of a `Status` that are used.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) details: Details,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Details {
    retry_after_seconds: u64,
}

// === impl Status ===

impl Status {
    /// Converts the status to an error. `code` and `wait`, from the HTTP response, take precedence over the fields of
    /// the status.
    pub(super) fn refusal(self, attempt: Attempt, code: Option<u16>, wait: Option<Duration>) -> ApiError {
        let details = Duration::from_secs(self.details.retry_after_seconds);
        ApiError::Refused {
            attempt,
            code: code.unwrap_or(self.code),
            reason: self.reason.chars().take(MESSAGE).collect(),
            message: self.message.chars().take(MESSAGE).collect(),
            retry_after: wait.or((!details.is_zero()).then_some(details)).map(|wait| wait.min(LONGEST_WAIT)),
        }
    }
}

/// Returns the value of `Retry-After` if it is a number of seconds. The API server sends no dates.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Returns an [`ApiError::NoAnswer`] with the whole chain of causes. The first message of hyper alone is never more
/// specific than "error trying to connect".
pub(super) fn no_answer(attempt: &Attempt, error: &(dyn Error + 'static)) -> ApiError {
    const DEEPEST: usize = 8;
    let mut why = String::new();
    let mut cause = Some(error);
    for _ in 0..DEEPEST {
        let Some(error) = cause else { break };
        let text = error.to_string();
        if !why.contains(&text) {
            if !why.is_empty() {
                why.push_str(": ");
            }
            why.push_str(&text);
        }
        cause = error.source();
    }
    ApiError::NoAnswer { attempt: attempt.clone(), why }
}
