//! The errors of requests to the API server.

use std::fmt;
use std::time::Duration;

/// A description of a request: the verb and the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The verb, as in an RBAC rule.
    pub verb: Verb,
    /// The resource, as in an RBAC rule.
    pub resource: Resource,
    /// The object's name; empty for a list.
    pub name: String,
}

/// The RBAC verbs that hugeprobe uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Gets one object.
    Get,
    /// Lists objects, or one object by a selector.
    List,
    /// Watches objects for changes.
    Watch,
    /// Creates an object.
    Create,
    /// Patches an object, for example with a server-side apply.
    Patch,
    /// Deletes an object.
    Delete,
}

/// The RBAC resources that hugeprobe uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// `nodes`.
    Nodes,
    /// `nodes/status`.
    NodesStatus,
    /// `pods`.
    Pods,
    /// `pods/proxy`.
    PodsProxy,
    /// `events`, of events.k8s.io to create them.
    Events,
}

/// The reason why a request failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// The API server refused the request.
    #[error("cannot {attempt}: {code} {reason}{}{}", if .message.is_empty() { "" } else { ": " }, shown(.message))]
    Refused {
        /// What was attempted.
        attempt: Attempt,
        /// The HTTP status.
        code: u16,
        /// The reason in the `Status`, for example `Forbidden` or `AlreadyExists`.
        reason: String,
        /// The message in the `Status`, at most 1024 characters.
        message: String,
        /// How long the server asks the client to wait before it retries.
        retry_after: Option<Duration>,
    },
    /// There was no answer, or an incomplete one.
    #[error("cannot {attempt}: {}", shown(.why))]
    NoAnswer {
        /// What was attempted.
        attempt: Attempt,
        /// The whole chain of causes.
        why: String,
    },
    /// The answer took too long.
    #[error("cannot {attempt}: no answer within {} s", after.as_secs())]
    TooSlow {
        /// What was attempted.
        attempt: Attempt,
        /// How long the client waited.
        after: Duration,
    },
    /// The answer cannot be parsed, or the request cannot be built.
    #[error("cannot {attempt}: the answer cannot be parsed: {}", shown(.why))]
    Garbled {
        /// What was attempted.
        attempt: Attempt,
        /// What is wrong with it.
        why: String,
    },
}

// === impl Attempt ===

impl Attempt {
    /// Creates an attempt on one object, or on a list if `name` is empty.
    pub fn new(verb: Verb, resource: Resource, name: impl Into<String>) -> Self {
        Self { verb, resource, name: name.into() }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, " {}", self.name) }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Delete => "delete",
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nodes => "nodes",
            Self::NodesStatus => "nodes/status",
            Self::Pods => "pods",
            Self::PodsProxy => "pods/proxy",
            Self::Events => "events",
        })
    }
}

// === impl ApiError ===

impl ApiError {
    /// Returns what was attempted.
    #[must_use]
    pub const fn attempt(&self) -> &Attempt {
        match self {
            Self::Refused { attempt, .. }
            | Self::NoAnswer { attempt, .. }
            | Self::TooSlow { attempt, .. }
            | Self::Garbled { attempt, .. } => attempt,
        }
    }

    /// Returns the HTTP status of a refusal; `None` for other errors.
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::NoAnswer { .. } | Self::TooSlow { .. } | Self::Garbled { .. } => None,
        }
    }

    /// Returns the server's message, which distinguishes one 403 from another; empty if the server did not refuse the
    /// request.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Refused { message, .. } => message,
            Self::NoAnswer { .. } | Self::TooSlow { .. } | Self::Garbled { .. } => "",
        }
    }

    /// Returns how long the server asks the client to wait before it retries.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::NoAnswer { .. } | Self::TooSlow { .. } | Self::Garbled { .. } => None,
        }
    }

    /// Returns whether the object does not exist (404).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Returns whether the object exists already, or has changed (409).
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Returns whether the resource version or the `continue` token is no longer stored (410). The caller has to list
    /// again.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410)
    }

    /// Returns whether a permission is missing or admission denied the request (401, 403).
    ///
    /// Quotas and a Node that is gone also cause a 403; the message distinguishes them.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self.code(), Some(401 | 403))
    }

    /// Returns whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.code() {
            None => true,
            Some(code) => code == 408 || code == 429 || code >= 500,
        }
    }
}

/// Escapes text from outside so that it stays on one line of a log.
fn shown(text: &str) -> String {
    text.trim()
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_attempted_on_what_and_what_came_back() {
        let attempt = Attempt::new(Verb::Patch, Resource::NodesStatus, "node-a");
        let refused = ApiError::Refused {
            attempt: attempt.clone(),
            code: 403,
            reason: "Forbidden".into(),
            message: "no\nright".into(),
            retry_after: None,
        };
        assert_eq!(refused.to_string(), "cannot patch nodes/status node-a: 403 Forbidden: no\\nright");
        let slow = ApiError::TooSlow { attempt, after: Duration::from_secs(10) };
        assert_eq!(slow.to_string(), "cannot patch nodes/status node-a: no answer within 10 s");
        let list = Attempt::new(Verb::List, Resource::Pods, "");
        assert_eq!(list.to_string(), "list pods");
    }

    #[test]
    fn only_what_may_pass_by_itself_is_transient() {
        let with = |code| ApiError::Refused {
            attempt: Attempt::new(Verb::Get, Resource::Nodes, "n"),
            code,
            reason: String::new(),
            message: String::new(),
            retry_after: None,
        };
        for (code, transient) in [
            (400, false),
            (403, false),
            (404, false),
            (408, true),
            (409, false),
            (422, false),
            (429, true),
            (500, true),
            (503, true),
        ] {
            assert_eq!(with(code).is_transient(), transient, "{code}");
        }
    }
}
