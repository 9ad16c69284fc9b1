//! What can become of a request, in words and as answers to the questions that callers have.

use std::fmt;
use std::time::Duration;

/// What was attempted on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The verb, as a Role has it.
    pub verb: Verb,
    /// The resource, as a Role has it.
    pub resource: Resource,
    /// The object's name; empty for a list.
    pub name: String,
}

/// RBAC's verbs, those in use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// One object.
    Get,
    /// Several, or one by a selector.
    List,
    /// Changes as they happen.
    Watch,
    /// A new object.
    Create,
    /// Server-side apply and its like.
    Patch,
    /// The end of an object.
    Delete,
}

/// RBAC's resources, those in use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// `nodes`.
    Nodes,
    /// `nodes/status`.
    NodesStatus,
    /// `pods`.
    Pods,
    /// `events` of events.k8s.io.
    Events,
}

/// Why a request came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// The API server said no.
    #[error("cannot {attempt}: {code} {reason}{}{}", if .message.is_empty() { "" } else { ": " }, shown(.message))]
    Refused {
        /// What was attempted.
        attempt: Attempt,
        /// The HTTP status.
        code: u16,
        /// The reason in the answer's Status: `Forbidden`, `AlreadyExists`.
        reason: String,
        /// The sentence in it, at most 1 KiB.
        message: String,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer, or half of one.
    #[error("cannot {attempt}: {}", shown(.why))]
    NoAnswer {
        /// What was attempted.
        attempt: Attempt,
        /// What came instead, the whole chain of causes.
        why: String,
    },
    /// The answer took too long.
    #[error("cannot {attempt}: no answer within {} s", after.as_secs())]
    TooSlow {
        /// What was attempted.
        attempt: Attempt,
        /// How long was waited.
        after: Duration,
    },
    /// An answer that is none.
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
    /// An attempt on one object, or on a list if `name` is empty.
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
            Self::Events => "events",
        })
    }
}

// === impl ApiError ===

impl ApiError {
    /// What was attempted.
    #[must_use]
    pub const fn attempt(&self) -> &Attempt {
        match self {
            Self::Refused { attempt, .. }
            | Self::NoAnswer { attempt, .. }
            | Self::TooSlow { attempt, .. }
            | Self::Garbled { attempt, .. } => attempt,
        }
    }

    /// The HTTP status, if there was an answer.
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::NoAnswer { .. } | Self::TooSlow { .. } | Self::Garbled { .. } => None,
        }
    }

    /// What the server said, for a caller that has to tell one 403 from another; empty without an answer.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Refused { message, .. } => message,
            Self::NoAnswer { .. } | Self::TooSlow { .. } | Self::Garbled { .. } => "",
        }
    }

    /// How long the server asks to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::NoAnswer { .. } | Self::TooSlow { .. } | Self::Garbled { .. } => None,
        }
    }

    /// The object is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// The object is there already, or is not what it was.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// The version from which the watch should continue is no longer stored: it starts again.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410)
    }

    /// A right is missing, or admission says no. Quotas and a Node that is gone answer 403 too: see the message.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self.code(), Some(401 | 403))
    }

    /// Nothing is wrong with the request: the same one may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.code() {
            None => true,
            Some(code) => code == 408 || code == 429 || code >= 500,
        }
    }
}

/// Text from outside as it may stand in a log: one line.
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
