//! `hugeprobe policies`: asks the API server whether the admission policies restrict an agent to its own Node.
//!
//! The pod of `helm test` runs it with the agents' account, so that the token names the Node that the pod runs on. Every
//! request is a dry run and changes nothing.
//!
//! ## Rights
//!
//! `list` on `nodes`, `patch` on `nodes/status`: those of an agent.

use std::fmt;

use serde_json::{Value, json};

use super::api::{Api, ApiError, requests};
use super::names::{MANAGER, SUMMARY};
use super::slim::SlimNode;

/// The words with which the API server names an admission policy that denied a request. A refusal by RBAC does not have
/// them, and shows nothing about the policies.
const BY_POLICY: &str = "ValidatingAdmissionPolicy";

/// A write that was tried, and the API server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// What was to be written.
    pub what: String,
    /// Whether an agent may write it.
    pub allowed: bool,
    /// `None` if the API server accepted it, otherwise its message.
    pub refusal: Option<String>,
}

// === impl Tried ===

impl Tried {
    /// Returns whether an allowed write was accepted, or another was refused by an admission policy.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        match &self.refusal {
            None => self.allowed,
            Some(message) => !self.allowed && message.contains(BY_POLICY),
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_as_expected() { "pass" } else { "fail" };
        match &self.refusal {
            None => write!(f, "{word}: accepted: {}", self.what),
            Some(message) => write!(f, "{word}: refused: {}: {message}", self.what),
        }
    }
}

/// Tries to write the agent's annotation on `own`, a label that is not hugeprobe's on `own`, and the annotation on another
/// Node if there is one.
///
/// # Errors
///
/// The Nodes cannot be listed, or the API server gave no answer about a write.
pub async fn try_all(api: &Api, own: &str) -> Result<Vec<Tried>, ApiError> {
    // Two are enough to find one that is not `own`.
    let mut names = Vec::new();
    let each = |SlimNode(node)| names.extend(node.metadata.name);
    api.list(requests::list_nodes(None, 2, None)?, each).await?;
    let annotation = json!({"annotations": {SUMMARY: "helm test"}});
    let label = json!({"labels": {"example.com/hugeprobe-test": "pass"}});
    let mut tried = vec![
        try_one(api, own, &annotation, true, "an annotation on the node of this pod").await?,
        try_one(api, own, &label, false, "a label of another owner on the node of this pod").await?,
    ];
    if let Some(other) = names.into_iter().find(|name| name != own) {
        tried.push(try_one(api, &other, &annotation, false, "an annotation on another node").await?);
    }
    Ok(tried)
}

async fn try_one(
    api: &Api,
    node: &str,
    metadata: &Value,
    allowed: bool,
    what: &str,
) -> Result<Tried, ApiError> {
    let body = json!({"metadata": metadata});
    let refusal = match api.done(requests::try_node_status(node, MANAGER, &body)?).await {
        Ok(()) => None,
        // Policies deny with 422 by default, and with 403 where they say so.
        Err(ApiError::Refused { code: 403 | 422, message, .. }) => Some(message),
        Err(error) => return Err(error),
    };
    Ok(Tried { what: format!("{what} ({node})"), allowed, refusal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_by_a_policy_shows_that_policies_refuse() {
        let policy = r#"nodes "b" is forbidden: ValidatingAdmissionPolicy 'hugeprobe-own-node' with binding 'x' denied request: hugeprobe: no"#;
        let rbac = r#"nodes "b" is forbidden: User "x" cannot patch resource "nodes/status""#;
        for (allowed, refusal, expected) in [
            (true, None, true),
            (true, Some(policy), false),
            (true, Some(rbac), false),
            (false, None, false),
            (false, Some(policy), true),
            (false, Some(rbac), false),
        ] {
            let tried = Tried { what: "x".into(), allowed, refusal: refusal.map(str::to_owned) };
            assert_eq!(tried.is_as_expected(), expected, "{tried}");
        }
    }
}
