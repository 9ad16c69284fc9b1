//! Tests what a Node shows of each verdict, and that the texts stay within the limits of their readers.

use proptest::prelude::*;

use super::*;
use hugeprobe_domain::catalogue::{CHECKS, HP103, HP105, HP202, HP403, HP413, HP603};
use hugeprobe_domain::check::{Because, CheckId};
use hugeprobe_domain::inventory::NumaPool;
use hugeprobe_domain::reading::Reading;

const SMALL: PageSize = match PageSize::from_bytes(2 << 20) {
    Some(size) => size,
    None => panic!(),
};
const LARGE: PageSize = match PageSize::from_bytes(1 << 30) {
    Some(size) => size,
    None => panic!(),
};

fn inventory() -> Inventory {
    let node =
        |node, pages| NumaPool { node, total: pages, free: Reading::Known(1), surplus: Reading::Known(0) };
    let pool = |size, numa| Pool {
        size,
        total: Reading::Known(512),
        free: Reading::Known(17),
        reserved: Reading::Known(0),
        surplus: Reading::Known(0),
        overcommit: Reading::Known(0),
        mempolicy: Reading::Absent,
        numa,
    };
    let numa = vec![node(0, Reading::Known(256)), node(1, Reading::Unreadable("x".into()))];
    Inventory {
        pools: Reading::Known(vec![pool(SMALL, numa), pool(LARGE, Vec::new())]),
        ..Inventory::default()
    }
}

fn finding(id: CheckId, size: Option<PageSize>, outcome: Outcome, text: &str) -> Finding {
    match outcome {
        Outcome::Pass => Finding::pass(id, size, text),
        Outcome::Skip => Finding::skip(id, size, text),
        outcome => Finding::not_pass(id, size, outcome, text, Because::new("a", text)),
    }
}

fn content(verdict: Verdict, sizes: &[(PageSize, Verdict)], findings: &[Finding]) -> Content {
    let sizes: Vec<_> = sizes.iter().map(|&(size, verdict)| SizeVerdict { size, verdict }).collect();
    Content::of(&Facts {
        verdict,
        sizes: &sizes,
        findings,
        inventory: &inventory(),
        boot_id: "b-1",
        profile: "restricted",
        shares: [(SMALL, "pass: 11 of 11".to_owned())].into(),
        probes: [(SMALL, "pass 2026-11-23T05:38:15Z 9f3c0a1b22334455".to_owned())].into(),
        blocked: None,
        rechecked: None,
        waits: false,
    })
}

#[test]
fn each_verdict_has_its_label_and_condition() {
    use Verdict::{Fail, None as Nothing, Pass, Unknown, Warn};
    for (verdict, label, condition, reason) in [
        (Nothing, None, None, ""),
        (Pass, Some("pass"), Some("True"), "HugepagesVerified"),
        (Warn, Some("pass"), Some("True"), "HugepagesVerifiedWithWarnings"),
        (Unknown, Some("unknown"), Some("Unknown"), "HugepagesNotVerified"),
        (Fail, Some("fail"), Some("False"), "HugepagesNotVerified"),
    ] {
        let content = content(verdict, &[(LARGE, verdict)], &[]);
        assert_eq!(content.annotations[names::VERDICT], verdict.to_string());
        for key in [names::VERDICT, "hugeprobe.io/hugepages-1Gi"] {
            assert_eq!(content.labels.get(key).map(String::as_str), label);
        }
        assert_eq!(content.condition.as_ref().map(|one| one.status.as_str()), condition);
        assert_eq!(content.condition.map_or(String::new(), |one| one.reason), reason);
    }
}

#[test]
fn the_worst_finding_leads_and_only_what_is_no_pass_is_shown() {
    let findings = [
        finding(HP103, Some(SMALL), Outcome::Pass, "as expected"),
        finding(HP105, Some(SMALL), Outcome::Skip, "not seen"),
        finding(HP202, Some(SMALL), Outcome::Skip, "not seen"),
        finding(HP403, None, Outcome::Warn, "tight"),
        finding(HP413, Some(SMALL), Outcome::Skip, "not seen"),
        finding(HP603, Some(LARGE), Outcome::Fail, "not shared\u{1b}[2J"),
    ];
    let content = content(Verdict::Fail, &[(SMALL, Verdict::Warn), (LARGE, Verdict::Fail)], &findings);
    let shown = |key: &str| content.annotations.get(key).map(String::as_str);
    assert_eq!(shown("hugeprobe.io/check.HP603.1Gi"), Some("fail: not shared?[2J"));
    assert_eq!(shown("hugeprobe.io/check.HP403"), Some("warn: tight"));
    assert_eq!((shown("hugeprobe.io/check.HP103.2Mi"), shown("hugeprobe.io/check.HP105.2Mi")), (None, None));
    assert_eq!(shown(names::SUMMARY), Some("2Mi warn, 1Gi fail: HP603 not shared?[2J"));
    let unseen = "owners of pages (HP105), use outside pods (HP202), limits of other cgroups (HP413)";
    assert_eq!(shown(names::UNSEEN), Some(unseen));
    assert_eq!(shown("hugeprobe.io/pool.2Mi"), Some("512 (numa0 256, numa1 ?)"));
    assert_eq!(shown("hugeprobe.io/pool.1Gi"), Some("512"));
    assert_eq!(shown("hugeprobe.io/share.2Mi"), Some("pass: 11 of 11"));
    let condition = content.condition.clone().unwrap();
    assert_eq!(condition.reason, "BytesNotShared");
    assert_eq!(condition.message, "2Mi warn, 1Gi fail: HP603 not shared?[2J", "one fact and the id");
    assert_eq!(shown(names::PROFILE), Some("restricted"));
}

#[test]
fn of_two_words_about_the_machine_the_worse_is_shown() {
    let twice =
        [finding(HP403, None, Outcome::Fail, "far too tight"), finding(HP403, None, Outcome::Warn, "tight")];
    let content = content(Verdict::Fail, &[(SMALL, Verdict::Fail)], &twice);
    assert_eq!(content.annotations["hugeprobe.io/check.HP403"], "fail: far too tight");
}

#[test]
fn the_apply_names_the_node_and_its_uid_and_carries_all_at_once() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let (now, since) = (at("2026-11-23T06:00:00.123456Z"), at("2026-11-23T05:00:00Z"));
    let times = Times { checked_at: at("2026-11-23T05:59:00.9Z"), valid_until: at("2026-11-23T07:00:00Z") };
    let target = Target { name: "node-a", uid: "u-1", now, same_status_since: Some(since) };
    let body = content(Verdict::Pass, &[(SMALL, Verdict::Pass)], &[]).body(times, target);
    assert_eq!((&body["apiVersion"], &body["kind"]), (&json!("v1"), &json!("Node")));
    assert_eq!((&body["metadata"]["name"], &body["metadata"]["uid"]), (&json!("node-a"), &json!("u-1")));
    assert_eq!(body["metadata"]["annotations"][names::CHECKED_AT], "2026-11-23T05:59:00Z");
    assert_eq!(body["metadata"]["annotations"][names::VALID_UNTIL], "2026-11-23T07:00:00Z");
    assert_eq!(
        body["metadata"]["labels"],
        json!({"hugeprobe.io/verdict": "pass", "hugeprobe.io/hugepages-2Mi": "pass"})
    );
    let condition = &body["status"]["conditions"][0];
    assert_eq!(condition["type"], "hugeprobe.io/HugepagesReady");
    assert_eq!(
        (&condition["lastTransitionTime"], &condition["lastHeartbeatTime"]),
        (&json!("2026-11-23T05:00:00Z"), &json!("2026-11-23T06:00:00Z"))
    );
    let turned = content(Verdict::Pass, &[], &[]).body(times, Target { same_status_since: None, ..target });
    assert_eq!(turned["status"]["conditions"][0]["lastTransitionTime"], "2026-11-23T06:00:00Z");
    let nothing = content(Verdict::None, &[], &[]).body(times, target);
    assert_eq!(nothing.get("status"), None, "what is left out is taken away");
}

proptest! {
    #[test]
    fn whatever_is_found_fits(text in "\\PC{0,400}|[\\x00-\\x7f]{0,400}", picks in proptest::collection::vec((0..CHECKS.len(), 0_u8..4), 0..80)) {
        let outcomes = [Outcome::Warn, Outcome::Unknown, Outcome::Fail, Outcome::Skip];
        let findings: Vec<_> = picks.iter()
            .map(|(check, outcome)| finding(CHECKS[*check].id, Some(SMALL), outcomes[usize::from(*outcome)], &text))
            .collect();
        let content = content(Verdict::Fail, &[(SMALL, Verdict::Fail)], &findings);
        for (key, value) in &content.annotations {
            prop_assert!(key.starts_with(names::PREFIX) && key.len() <= 63 + names::PREFIX.len());
            prop_assert!(value.len() <= ANNOTATION_CHARS && value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{}", value);
        }
        prop_assert!(content.condition.unwrap().message.len() <= MESSAGE_BYTES);
    }
}
