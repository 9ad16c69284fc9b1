//! What the API server's answer means, whatever it is called: the reconciler decides by this, and the log shows it.

/// A call that may be refused.
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

/// Why a call was not done. The texts are the API server's sentences, cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 409 on POST: an object of that name is there.
    #[error("an object with this name already exists")]
    Exists,
    /// 409: the object is not the one that was meant.
    #[error("conflict: {0}")]
    Conflict(String),
    /// 403 by a ResourceQuota: wait for one's turn.
    #[error("{0}")]
    Quota(String),
    /// 403 by RBAC or admission; names verb and resource.
    #[error("{0}")]
    Forbidden(String),
    /// 404; or 403 on the creation of a Node that an apply to a missing one amounts to.
    #[error("gone: {0}")]
    Gone(String),
    /// 429.
    #[error("the API server throttles requests")]
    Throttled {
        /// `Retry-After`, if it was sent.
        after_seconds: Option<u64>,
    },
    /// 400, 413, 415, 422: it will not be accepted in this form.
    #[error("refused as invalid: {0}")]
    Invalid(String),
    /// 5xx, a connection that failed, an answer that did not come.
    #[error("{0}")]
    Unavailable(String),
}

/// What is kept of a sentence.
const KEPT: usize = 300;

// === impl ===

impl Refusal {
    /// What a `Status` with this code, reason and message means for `call`.
    ///
    /// Source: the API server's `StatusReason`; "exceeded quota" is the text of its ResourceQuota admission, and an apply to a
    /// Node that is not there is answered with 403 on `create`, which agents may not.
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
    /// How long the API server asks to wait, milliseconds; 0 if it does not ask.
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
