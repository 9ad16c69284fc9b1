//! Classifies the API server's error responses. The reconciler bases its decisions on the class, and the log shows it.

/// A call that the API server may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// POST of a probe pod.
    CreatePod,
    /// DELETE of a probe pod.
    DeletePod,
    /// LIST of the probe pods.
    ListPods,
    /// Server-side apply on `nodes/status`.
    Apply,
    /// POST of an event.
    Emit,
}

/// Why a call failed. The texts are the API server's messages, truncated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 409 on POST: an object with this name exists.
    #[error("an object with this name already exists")]
    Exists,
    /// 409: the object is not the expected one.
    #[error("conflict: {0}")]
    Conflict(String),
    /// 403 by a ResourceQuota: the probe has to wait for its turn.
    #[error("{0}")]
    Quota(String),
    /// 403 by RBAC or admission, whose text names the verb and the resource; or 401.
    #[error("{0}")]
    Forbidden(String),
    /// 404 or 410. Also 403 on `create nodes`, because an apply to a Node that does not exist is a creation.
    #[error("gone: {0}")]
    Gone(String),
    /// 429.
    #[error("the API server throttles requests")]
    Throttled {
        /// The value of `Retry-After`, if the response has one.
        after_seconds: Option<u64>,
    },
    /// Another 4xx, such as 400, 413, 415 or 422: the request will not be accepted in this form.
    #[error("refused as invalid: {0}")]
    Invalid(String),
    /// 5xx, a failed connection, or no response.
    #[error("{0}")]
    Unavailable(String),
}

/// The most characters that are kept of a message.
const KEPT: usize = 300;

// === impl ===

impl Refusal {
    /// Returns the class of a `Status` with this code, reason and message in response to `call`.
    ///
    /// Source: the API server's `StatusReason`. "exceeded quota" is the text of its ResourceQuota admission. An apply
    /// to a Node that does not exist is answered with 403 for the verb `create`, which agents do not have.
    #[must_use]
    pub fn of(call: Call, code: u16, reason: &str, message: &str, retry_after: Option<u64>) -> Self {
        let text: String = message.chars().filter(|c| !c.is_control()).take(KEPT).collect();
        match code {
            404 | 410 => Self::Gone(text),
            409 if reason == "AlreadyExists" => Self::Exists,
            409 => Self::Conflict(text),
            403 if call == Call::CreatePod && message.contains("exceeded quota") => Self::Quota(text),
            403 if call == Call::Apply && message.contains("cannot create resource \"nodes") => {
                Self::Gone(text)
            }
            401 | 403 => Self::Forbidden(text),
            429 => Self::Throttled { after_seconds: retry_after },
            400..=499 => Self::Invalid(text),
            _ => Self::Unavailable(text),
        }
    }
}

impl Refusal {
    /// Returns how long the API server asks to wait, in milliseconds; 0 if it does not ask.
    #[must_use]
    pub const fn retry_after_ms(&self) -> u64 {
        match self {
            Self::Throttled { after_seconds: Some(seconds) } => seconds.saturating_mul(1000),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_meaning() {
        let quota = r#"pods "hugeprobe-2mi-1" is forbidden: exceeded quota: hugeprobe, requested: pods=1, used: pods=40, limited: pods=40"#;
        let no_node = r#"nodes "a" is forbidden: User "system:serviceaccount:h:h" cannot create resource "nodes" in API group "" at the cluster scope"#;
        let rbac = r#"pods is forbidden: User "system:serviceaccount:h:h" cannot create resource "pods" in API group "" in the namespace "h""#;
        for (call, code, reason, message, expected) in [
            (Call::CreatePod, 403, "Forbidden", quota, Refusal::Quota(quota.into())),
            (Call::Emit, 403, "Forbidden", quota, Refusal::Forbidden(quota.into())),
            (Call::Apply, 403, "Forbidden", no_node, Refusal::Gone(no_node.into())),
            (Call::CreatePod, 403, "Forbidden", rbac, Refusal::Forbidden(rbac.into())),
            (Call::Apply, 404, "NotFound", "x", Refusal::Gone("x".into())),
            (Call::ListPods, 410, "Expired", "x", Refusal::Gone("x".into())),
            (Call::CreatePod, 409, "AlreadyExists", "x", Refusal::Exists),
            (Call::DeletePod, 409, "Conflict", "x", Refusal::Conflict("x".into())),
            (Call::Apply, 401, "Unauthorized", "x", Refusal::Forbidden("x".into())),
            (Call::Apply, 429, "TooManyRequests", "x", Refusal::Throttled { after_seconds: Some(3) }),
            (Call::Apply, 422, "Invalid", "x", Refusal::Invalid("x".into())),
            (Call::Apply, 500, "InternalError", "x", Refusal::Unavailable("x".into())),
            (Call::Apply, 0, "", "connection refused", Refusal::Unavailable("connection refused".into())),
        ] {
            assert_eq!(Refusal::of(call, code, reason, message, Some(3)), expected, "{call:?} {code}");
        }
    }
}
