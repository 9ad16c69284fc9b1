//! HP6xx: the values on which the frontend and the backend of a session must agree.

use serde_json::Value;

use super::check::{Because, Finding, Outcome};
use super::plan::Role;
pub use super::session::Session;

/// The evidence key under which both roles report the values that must be the same on both sides.
pub const AGREED: &str = "agreed";

/// Returns what is wrong if both roles of a session report a pass but do not show that they saw the same values.
///
/// `None` if the values are the same, or if one of the roles reports something other than a pass.
#[must_use]
pub fn disagreement(words: &[(Role, Finding)]) -> Option<(Outcome, String, Because)> {
    words.iter().find_map(|(role, frontend)| {
        let Role::Frontend(session) = role else { return None };
        let (_, backend) = words.iter().find(|(other, _)| *other == Role::Backend(*session))?;
        if frontend.outcome != Outcome::Pass || backend.outcome != Outcome::Pass {
            return None;
        }
        let expected = "frontend and backend see the same values";
        match (frontend.evidence.get(AGREED), backend.evidence.get(AGREED)) {
            (Some(frontend), Some(backend)) if frontend == backend => None,
            (Some(frontend), Some(backend)) => {
                let seen = first_difference(frontend, backend);
                let summary = "frontend and backend see different values".to_owned();
                Some((Outcome::Fail, summary, Because::new(expected, seen)))
            }
            (frontend, _) => {
                let silent = if frontend.is_none() { "frontend" } else { "backend" };
                let seen = format!("the {silent} reports a pass without evidence");
                Some((Outcome::Unknown, seen.clone(), Because::new(expected, seen)))
            }
        }
    })
}

/// Returns the first difference: `device: 17 at the frontend, 18 at the backend`.
fn first_difference(frontend: &Value, backend: &Value) -> String {
    let (Some(ours), Some(theirs)) = (frontend.as_object(), backend.as_object()) else {
        return format!("{frontend} at the frontend, {backend} at the backend");
    };
    let keys = ours.keys().chain(theirs.keys());
    let differs = |key: &&String| ours.get(*key) != theirs.get(*key);
    let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    keys.into_iter().find(differs).map_or_else(String::new, |key| {
        format!("{key}: {} at the frontend, {} at the backend", shown(ours.get(key)), shown(theirs.get(key)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::catalogue::HP601;
    use super::*;

    fn words(frontend: Value, backend: Value) -> Vec<(Role, Finding)> {
        let finding = |agreed: Value| {
            let finding = Finding::pass(HP601, None, "the same file");
            if agreed.is_null() { finding } else { finding.with(AGREED, agreed) }
        };
        let session = Session::FrontendFirst;
        vec![(Role::Frontend(session), finding(frontend)), (Role::Backend(session), finding(backend))]
    }

    #[test]
    fn two_passes_are_one_only_if_they_are_about_the_same() {
        let one = json!({"device": 17, "inode": 5});
        assert!(disagreement(&words(one.clone(), one.clone())).is_none());
        for (other, outcome, why) in [
            (json!({"device": 17, "inode": 6}), Outcome::Fail, "inode: 5 at the frontend, 6 at the backend"),
            (json!({"device": 17}), Outcome::Fail, "inode: 5 at the frontend, nothing at the backend"),
            (json!({"device": 17, "inode": 5, "more": 1}), Outcome::Fail, "more: nothing at the frontend"),
            (json!([]), Outcome::Fail, "at the backend"),
            (Value::Null, Outcome::Unknown, "the backend reports a pass without evidence"),
        ] {
            let (found, _, because) = disagreement(&words(one.clone(), other)).unwrap();
            assert_eq!(found, outcome);
            assert!(because.seen.contains(why), "{}", because.seen);
        }
        assert_eq!(disagreement(&words(Value::Null, one)).unwrap().0, Outcome::Unknown);
    }

    #[test]
    fn sessions_are_compared_each_for_itself() {
        let mut mixed = words(json!({"inode": 1}), json!({"inode": 1}));
        mixed.extend(words(json!({"inode": 2}), json!({"inode": 2})).into_iter().map(|(role, finding)| {
            let role = if matches!(role, Role::Frontend(_)) {
                Role::Frontend(Session::Private)
            } else {
                Role::Backend(Session::Private)
            };
            (role, finding)
        }));
        assert!(disagreement(&mixed).is_none());
        mixed[3].1 = Finding::pass(HP601, None, "other").with(AGREED, json!({"inode": 3}));
        assert!(disagreement(&mixed).is_some());
    }
}
