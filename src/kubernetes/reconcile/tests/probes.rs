//! Tests each way in which a probe pod can end, and the resulting verdict.

use super::super::*;
use super::texts::resized;
use super::world::*;
use crate::names;
use crate::reconcile::refusal::Call;
use hugeprobe_domain::inventory::NumaPool;
use hugeprobe_domain::limit_conflict::LimitConflicts;
use hugeprobe_domain::reading::Reading;

#[test]
fn every_fate_ends_in_its_outcome_with_its_reason() {
    for (fate, seconds, verdict, probe, reason) in [
        (Fate::Reports("pass"), 15, "pass", None, "HugepagesVerified"),
        (Fate::Reports("fail"), 15, "fail", None, "BytesNotShared"),
        (Fate::Reports("nonsense"), 15, "unknown", Some("inconclusive"), ""),
        (Fate::Forges, 15, "unknown", Some("inconclusive"), ""),
        (Fate::NoCpu, 60, "unknown", Some("busy"), "ProbePending"),
        (Fate::Unseen, 3700, "unknown", Some("waiting"), "ProbePending"),
        (Fate::Pending, 60, "unknown", Some("busy"), "ProbePending"),
        (Fate::Preempted, 15, "unknown", Some("busy"), "ProbePending"),
        (Fate::Refused("OutOfhugepages-1Gi"), 15, "unknown", Some("busy"), "ProbePending"),
        (Fate::Refused("TopologyAffinityError"), 15, "unknown", Some("busy"), "ProbePending"),
        (Fate::Refused("Evicted"), 15, "unknown", Some("busy"), "ProbePending"),
        (Fate::Refused("UnexpectedAdmissionError"), 400, "unknown", Some("prevented"), "ProbePodNotAdmitted"),
        (Fate::NoImage, 400, "unknown", Some("prevented"), "ProbePodNotAdmitted"),
        (Fate::Hangs, 400, "unknown", Some("prevented"), "ProbePodNotAdmitted"),
    ] {
        let mut world = World::new(&[(LARGE, 16)], config(""));
        world.fate = fate.clone();
        world.run(seconds);
        assert_eq!(world.verdict(), verdict, "{fate:?}");
        let shown = world.annotation(names::PROBE);
        assert_eq!(shown.map(|text| text.split(' ').next().unwrap()), probe, "{fate:?}: {shown:?}");
        if !reason.is_empty() {
            assert_eq!(world.condition().unwrap()["reason"], reason, "{fate:?}");
        }
    }
}

/// The scheduler counts the pages of the whole machine. The kubelet, with a topology manager that may refuse, does not.
#[test]
fn a_refusal_for_want_of_a_numa_node_says_what_the_nodes_have() {
    let node = |node, free, total| NumaPool {
        node,
        total: Reading::Known(total),
        free: Reading::Known(free),
        surplus: Reading::Known(0),
    };
    for (free, need, shown) in [
        (
            [3, 5],
            "",
            "busy since 2027-01-15T08:00:01Z: 2Mi TopologyAffinityError: 4+4 pages asked of one NUMA node, most free on numa1: 5 of 32",
        ),
        (
            [32, 32],
            "",
            "busy since 2027-01-15T08:00:01Z: 2Mi TopologyAffinityError: numa1 has 32 free pages for 4+4, but too little CPU or memory",
        ),
        (
            [32, 32],
            r#", "expectations": [{"nodeSelector": {}, "need": ["2Mi=48"]}]"#,
            "prevented since 2027-01-15T08:00:01Z: 2Mi TopologyAffinityError: 48+4 pages asked of one NUMA node, most free on numa1: 32 of 32",
        ),
    ] {
        let mut world = World::new(&[(SMALL, 64)], config(need));
        world.pool(SMALL).numa = vec![node(0, free[0], 32), node(1, free[1], 32)];
        world.fate = Fate::Refused("TopologyAffinityError");
        world.run(400);
        assert_eq!(world.annotation(names::PROBE), Some(shown));
        assert_eq!(world.verdict(), "unknown");
    }
}

#[test]
fn busy_replaces_no_conclusive_verdict() {
    for verdict in ["pass", "fail"] {
        for busy in [Fate::Pending, Fate::Preempted, Fate::Refused("OutOfhugepages-1Gi")] {
            let mut world = World::new(&[(LARGE, 16)], config(""));
            world.fate = Fate::Reports(verdict);
            world.run(30);
            world.fate = busy.clone();
            world.run(5400);
            assert_eq!(world.verdict(), verdict, "{busy:?}");
            assert!(world.annotation(names::PROBE).unwrap().starts_with("busy since"), "{busy:?}");
            let until: Timestamp = world.annotation(names::VALID_UNTIL).unwrap().parse().unwrap();
            assert!(until > world.now(), "it stands, and says so");
            world.fate = Fate::Reports(verdict);
            world.run(3600);
            assert_eq!((world.verdict(), world.annotation(names::PROBE)), (verdict, None));
            assert_eq!(world.reasons().len(), 1, "the verdict never turned");
        }
    }
}

#[test]
fn a_probe_that_found_every_page_taken_is_busy_and_one_that_found_pages_could_not_tell() {
    for (free, said, probe) in
        [(0, "unknown", "busy"), (16, "unknown", "inconclusive"), (0, "nonsense", "inconclusive")]
    {
        let mut world = World::new(&[(LARGE, 16)], config(""));
        world.run(30);
        world.pool(LARGE).free = Reading::Known(free);
        world.fate = Fate::Reports(said);
        world.run(3600);
        let shown = world.annotation(names::PROBE).unwrap_or_default();
        assert!(shown.starts_with(probe), "{free} free, {said}: {shown}");
        assert_eq!(world.verdict() == "pass", probe == "busy", "{free} free, {said}");
    }
}

#[test]
fn a_verdict_whose_probe_can_no_longer_run_lapses() {
    let mut world = World::new(&[(LARGE, 16)], config(""));
    world.run(30);
    world.fate = Fate::NoImage;
    world.run(45 * 60);
    assert_eq!(world.verdict(), "warn");
    assert_eq!(world.label(names::VERDICT), Some("pass"));
    world.run(45 * 60);
    assert_eq!(world.verdict(), "unknown");
    assert!(world.annotation(names::SUMMARY).unwrap().contains("ImagePullBackOff"));
}

#[test]
fn tries_become_rarer_while_the_node_is_busy() {
    let mut world = World::new(&[(LARGE, 16)], config(""));
    world.fate = Fate::Pending;
    world.run(1200);
    let first = world.created;
    assert!((3..=12).contains(&first), "{first}");
    world.run(2 * 3600);
    assert!(world.created - first <= 8, "{}", world.created);
    assert!(world.applies.len() <= 24, "{}", world.applies.len());
}

#[test]
fn a_right_that_is_missing_is_named_and_the_rest_goes_on() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    let sentence = "pods is forbidden: User \"x\" cannot create resource \"pods\"";
    world.refuses.insert(Call::CreatePod, Refusal::Forbidden(sentence.into()));
    world.refuses.insert(Call::Emit, Refusal::Forbidden("events".into()));
    world.run(400);
    assert_eq!(world.verdict(), "unknown");
    assert!(world.annotation(names::SUMMARY).unwrap().contains("forbids"));
    world.refuses.clear();
    world.run(600);
    assert_eq!(world.verdict(), "pass");
}

#[test]
fn what_is_left_over_is_removed_before_another_is_made() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.fate = Fate::Hangs;
    world.run(5);
    assert_eq!(world.pods.len(), 1);
    world.fate = Fate::Reports("pass");
    world.restart_agent();
    world.run(20);
    assert_eq!((world.verdict(), world.created, world.pods.len()), ("pass", 2, 0));
}

#[test]
fn one_that_is_left_over_and_may_not_be_listed_is_met_by_its_name() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.fate = Fate::Hangs;
    world.run(5);
    world.fate = Fate::Reports("pass");
    world.restart_agent();
    // This list does not contain the leftover pod yet. The agent notices the pod because its name is in use.
    world.tell(Observation::Pods(Vec::new()));
    world.run(40);
    assert_eq!(world.verdict(), "pass");
}

#[test]
fn pages_are_the_least_that_proves_the_point() {
    let asked = |capacity: u64, free: u64, more: &str| {
        let mut world = World::new(&[(SMALL, capacity)], config(more));
        world.pool(SMALL).free = Reading::Known(free);
        world.fate = Fate::Hangs;
        world.run(2);
        let pod = world.pods.values().next().map(|made| made.pod.clone()).unwrap();
        let containers = pod.spec.unwrap().containers;
        let pages = |index: usize| {
            let limits = containers[index].resources.as_ref().unwrap().limits.clone().unwrap();
            limits
                .get("hugepages-2Mi")
                .map_or(0, |amount| amount.0.trim_end_matches("Mi").parse::<u64>().unwrap() / 2)
        };
        (pages(0), pages(1))
    };
    assert_eq!(asked(512, 512, ""), (4, 4));
    assert_eq!(asked(512, 5, ""), (2, 2));
    assert_eq!(asked(512, 1, ""), (1, 1));
    assert_eq!(asked(512, 0, ""), (1, 1), "busy is seen by asking");
    assert_eq!(asked(3, 3, ""), (1, 1));
    assert_eq!(asked(512, 512, r#", "expectations": [{"need": ["2Mi=64"]}]"#), (64, 4));
}

#[test]
fn a_single_page_is_the_frontends_limit_alone() {
    let mut world = World::new(&[(LARGE, 1)], config(""));
    world.fate = Fate::Hangs;
    world.run(2);
    let pod = world.pods.values().next().map(|made| made.pod.clone()).unwrap();
    let containers = &pod.spec.as_ref().unwrap().containers;
    let limits = |index: usize| containers[index].resources.as_ref().unwrap().limits.clone().unwrap();
    assert_eq!(limits(0).get("hugepages-1Gi").map(|amount| amount.0.as_str()), Some("1Gi"));
    assert_eq!(limits(1).get("hugepages-1Gi"), None);
    for container in containers {
        assert!(container.args.as_ref().unwrap().contains(&"--frontend-pays".to_owned()));
    }
}

/// Since Kubernetes 1.34, both containers share a page in the limit of the pod.
#[test]
fn a_single_page_is_the_limit_of_the_pod_where_the_kubelet_knows_it() {
    for (kubelet, setting, is_of_pod) in
        [("v1.34.0", "", true), ("v1.33.4", "", false), ("v1.34.0", r#", "podLevelResources": false"#, false)]
    {
        let config = format!(r#"{{"probe": {{"image": "x"{setting}}}}}"#);
        let mut world = World::new(&[(LARGE, 1)], Config::parse(&config).unwrap());
        world.change_node(|node| node["status"]["nodeInfo"]["kubeletVersion"] = kubelet.into());
        world.fate = Fate::Hangs;
        world.run(2);
        let pod = world.pods.values().next().map(|made| made.pod.clone()).unwrap();
        let spec = serde_json::to_value(pod.spec.unwrap()).unwrap();
        let limits =
            |at: &serde_json::Value| at["resources"]["limits"]["hugepages-1Gi"].as_str().map(str::to_owned);
        let [of_pod, frontend, backend] = [&spec, &spec["containers"][0], &spec["containers"][1]].map(limits);
        let page = || Some("1Gi".to_owned());
        let expected = if is_of_pod { [page(), None, None] } else { [None, page(), None] };
        assert_eq!([of_pod, frontend, backend], expected, "{kubelet} {setting}");
        let pays = spec["containers"][1]["args"].to_string().contains("--frontend-pays");
        assert_eq!(pays, !is_of_pod);
    }
}

#[test]
fn a_kubelet_that_has_counted_no_page_is_asked_for_none() {
    let mut world = World::new(&[(SMALL, 0)], config(""));
    world.set_pool(SMALL, 512);
    world.run(30);
    assert_eq!((world.verdict(), world.created), ("fail", 0));
    assert_eq!(world.reasons(), ["CapacityStale"]);
}

#[test]
fn resident_mode_asks_for_rounds_and_makes_no_pod() {
    let mut world = World::new(&[(SMALL, 512)], config(r#", "mode": "resident""#));
    world.run(1);
    let Some(run) = world.reconciler.round() else { panic!("no round was asked for") };
    let part = |run: &str| Some(message("frontend", SMALL, run, "pass"));
    let other = |run: &str| Some(message("backend", SMALL, run, "pass"));
    world.tell(Observation::Round {
        size: size(SMALL),
        run: "other".into(),
        frontend: part("other"),
        backend: other("other"),
    });
    assert_eq!(world.applies.len(), 0);
    world.passes(SMALL);
    world.tell(Observation::Round {
        size: size(SMALL),
        run: run.clone(),
        frontend: part(&run),
        backend: other(&run),
    });
    assert_eq!((world.verdict(), world.created), ("pass", 0));
}

#[test]
fn pages_in_use_outside_pods_are_a_warning_once_it_lasts() {
    let mut world = World::new(&[(SMALL, 512)], config(r#", "podAccounting": true"#));
    world.usage = Some(PodUse::Requested(vec![]));
    world.run(30);
    let unseen = "owners of pages (HP105), limits of other cgroups (HP413)";
    assert_eq!((world.verdict(), world.annotation(names::UNSEEN)), ("pass", Some(unseen)));
    world.pool(SMALL).free = Reading::Known(500);
    world.run(40);
    assert_eq!(world.verdict(), "pass", "a pod that ends gives its pages back a little later");
    world.run(60);
    assert_eq!(world.verdict(), "warn");
    world.pool(SMALL).free = Reading::Known(400);
    world.run(60);
    assert_eq!(world.applies.len(), 2, "more of the same is no change");
    world.pool(SMALL).free = Reading::Known(0);
    world.run(80);
    assert_eq!(
        (world.verdict(), &world.condition().unwrap()["reason"]),
        ("fail", &serde_json::json!("PagesUsedOutsidePods"))
    );
}

#[test]
fn a_resized_pod_is_a_warning_with_its_name_until_it_is_gone() {
    let mut world = resized();
    let key = "hugeprobe.io/check.HP413.2Mi";
    let shown = world.annotation(key).unwrap_or_default();
    assert!(shown.starts_with("warn: pod 4fb5ca06-9dd5-496f-ba80-53309ce5fc88 (container"), "{shown}");
    assert!(shown.ends_with("is 0"), "it fits into an annotation: {shown}");
    assert_eq!((world.verdict(), world.label(names::VERDICT)), ("warn", Some("pass")));
    let names = [("4fb5ca06-9dd5-496f-ba80-53309ce5fc88", "default/vnf")];
    let names = names.map(|(uid, name)| (uid.to_owned(), name.to_owned())).into();
    world.tell(Observation::PodNames(names));
    world.run(10);
    let shown = world.annotation(key).unwrap_or_default();
    assert!(shown.starts_with("warn: pod default/vnf (container 0123456789abc) may use no page"), "{shown}");
    world.machine.limit_conflicts = Reading::Known(LimitConflicts::default());
    world.run(30);
    assert_eq!((world.verdict(), world.annotation(key)), ("pass", None));
}
