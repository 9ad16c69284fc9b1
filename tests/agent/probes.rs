//! Probe pods: made when they are due, watched while they are out, removed when they are done, whatever happens to the
//! agent meanwhile.

use std::time::Duration;

use hugeprobe::kubernetes::agent::pods::POLL;
use hugeprobe::kubernetes::backoff::JITTER;
use hugeprobe::kubernetes::reconcile::HOLD_MS;
use serde_json::json;

use super::bounds::{jittered, tries};
use super::kubelet::{Fate, play};
use super::stage::{BOOT, Machine, Stage, TICK};
use super::world::{Fault, World};

const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(800);

fn world(fate: Fate) -> World {
    let world = World::new(BOOT, 8);
    play(&world, fate, SOON);
    world
}

#[tokio::test(start_paused = true)]
async fn a_first_verdict_costs_one_apply_one_event_and_one_pod_and_then_it_is_quiet() {
    let stage = Stage::begin(world(Fate::Pass), Machine::new(8), &json!({}));
    let began = tokio::time::Instant::now();
    stage.until_verdict("pass").await;
    assert!(began.elapsed() < TICK, "it waits for no tick: after {:?}", began.elapsed());
    for minute in 0..60 {
        stage.machine.pool("free", 8 - minute % 3);
        stage.pass(MINUTE).await;
    }
    let count = |kind: &str| stage.world.tried(kind).len();
    assert_eq!((count("patch nodes/status"), count("create events")), (1, 1), "{}", stage.seen());
    assert_eq!((count("create pods"), count("delete pods")), (1, 1), "{}", stage.seen());
    assert!(count("watch pods") <= 1, "{}", stage.seen());
    assert!(stage.world.state().pods.is_empty());
    assert!(stage.page("/readyz").0);
    let (_, metrics) = stage.page("/metrics");
    for line in [
        r#"hugeprobe_verdict{size="2Mi",verdict="pass"} 1"#,
        r#"hugeprobe_node_verdict{verdict="pass"} 1"#,
        r#"hugeprobe_check_outcome{id="HP601",size="2Mi",outcome="pass"} 1"#,
        r#"hugeprobe_api_requests_total{verb="patch",resource="nodes/status",code="200"} 1"#,
        r#"hugeprobe_probes_total{size="2Mi",ending="pass"} 1"#,
        r#"hugeprobe_probe_duration_seconds{size="2Mi"} "#,
        r#"hugeprobe_last_probe_timestamp_seconds{size="2Mi"} 1"#,
        r#"hugeprobe_pool_pages{size="2Mi",numa_node="0",state="free"} 6"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_in_mid_probe_is_followed_by_one_that_cleans_up_and_probes() {
    let stage = Stage::begin(world(Fate::Endless), Machine::new(8), &json!({}));
    stage.until("a probe", |stage| stage.world.state().pods.len() == 1).await;
    stage.pass(Duration::from_secs(3)).await;
    let (world, machine) = stage.kill().await;
    assert_eq!(world.state().pods.len(), 1);
    play(&world, Fate::Pass, SOON);
    let next = Stage::begin_as(world, machine, &json!({}), "agent-2");
    next.until_verdict("pass").await;
    next.pass(MINUTE).await;
    assert_eq!(next.world.done("delete pods").len(), 2, "{}", next.seen());
    assert!(next.world.state().pods.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_told_to_end_takes_its_probe_along() {
    let stage = Stage::begin(world(Fate::Endless), Machine::new(8), &json!({}));
    stage.until("a probe", |stage| stage.world.state().pods.len() == 1).await;
    stage.pass(Duration::from_secs(3)).await;
    let (world, _, took) = stage.stop().await;
    assert!(world.state().pods.is_empty());
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_told_to_end_does_not_wait_for_a_silent_api_server() {
    let stage = Stage::begin(world(Fate::Endless), Machine::new(8), &json!({}));
    stage.until("a probe", |stage| stage.world.state().pods.len() == 1).await;
    stage.pass(Duration::from_secs(3)).await;
    stage.world.fault("*", Fault::Silent);
    let (_, _, took) = stage.stop().await;
    assert!(took <= Duration::from_secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_in_mid_probe_loses_nothing() {
    let stage = Stage::begin(world(Fate::Endless), Machine::new(8), &json!({}));
    stage.until("a probe", |stage| stage.world.state().pods.len() == 1).await;
    stage.pass(Duration::from_secs(2)).await;
    stage.world.stop();
    play(&stage.world, Fate::Pass, SOON);
    // It ends while nobody looks.
    let name = stage.world.state().pods.keys().next().unwrap().clone();
    let kubelet = stage.world.state().kubelet.take().unwrap();
    kubelet(&stage.world, &name);
    stage.pass(Duration::from_secs(20)).await;
    stage.world.start();
    stage.until_verdict("pass").await;
    assert_eq!(stage.world.done("create pods").len(), 1, "{}", stage.seen());
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_watch_pods_they_are_listed() {
    let world = world(Fate::Pass);
    world.fault("watch pods", Fault::Status(403, "Forbidden", "cannot watch resource \"pods\"".into()));
    let began = tokio::time::Instant::now();
    let stage = Stage::begin(world, Machine::new(8), &json!({}));
    stage.until_verdict("pass").await;
    assert!(
        stage.page("/readyz").1.contains("missing permission, watch pods"),
        "{}",
        stage.page("/readyz").1
    );
    // At the start, and then at that pace.
    let [shortest, _] = jittered(POLL);
    let most = 1 + tries(std::iter::repeat(shortest), began.elapsed());
    assert!(stage.world.tried("list pods").len() <= most, "more than {most}: {}", stage.seen());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_made_though_the_answer_was_lost_is_found_again() {
    let world = world(Fate::Pass);
    let stage = Stage::begin(world.clone(), Machine::new(8), &json!({}));
    // The pod is there; its creator never heard of it.
    world.fault_times("create pods", Fault::Broken, 1);
    stage.until_verdict("pass").await;
    stage.pass(10 * MINUTE).await;
    assert!(world.state().pods.is_empty(), "{}", stage.seen());
}

#[tokio::test(start_paused = true)]
async fn a_busy_node_keeps_its_verdict_and_is_not_written_to_again_and_again() {
    let stage = Stage::begin(world(Fate::Pass), Machine::new(8), &json!({"renewMinutes": 10}));
    stage.until_verdict("pass").await;
    play(&stage.world, Fate::Pending, SOON);
    stage.machine.pool("free", 0);
    stage.pass(120 * MINUTE).await;
    assert_eq!(stage.world.annotation("verdict").as_deref(), Some("pass"), "{}", stage.seen());
    assert!(stage.world.annotation("probe").is_some_and(|text| text.starts_with("busy since")));
    assert!(stage.page("/metrics").1.contains("hugeprobe_probe_busy_since_timestamp_seconds{size=\"2Mi\"} "));
    let applies = stage.world.done("patch nodes/status").len();
    // The first verdict, that the node is busy, and renewals.
    let most = 2 + renewals(10, 120)[1];
    assert!(
        applies <= most,
        "{applies} applies in two hours of renewals every ten minutes, more than {most}"
    );
    assert!(stage.world.state().pods.len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_install_under_a_quota_is_one_apply_and_one_event() {
    let world = world(Fate::Pass);
    let quota = "pods \"x\" is forbidden: exceeded quota: hugeprobe-probes, requested: pods=1, used: pods=40";
    world.fault("create pods", Fault::Status(403, "Forbidden", quota.into()));
    let stage = Stage::begin(world, Machine::new(8), &json!({}));
    stage.pass(10 * MINUTE).await;
    assert_eq!(stage.world.tried("patch nodes/status").len(), 0, "{}", stage.seen());
    assert_eq!(stage.page("/readyz"), (true, "ready: the first probe waits for its turn\n".to_owned()));
    let metrics = stage.page("/metrics").1;
    assert!(
        metrics
            .contains(r#"probe_blocked_since_timestamp_seconds{size="2Mi",kind="waiting",reason="quota"} 1"#),
        "{metrics}"
    );
    assert!(!metrics.contains("hugeprobe_verdict{"), "{metrics}");
    stage.world.mend("create pods");
    stage.until_verdict("pass").await;
    stage.pass(MINUTE).await;
    let events = stage.world.tried("create events");
    assert_eq!((stage.world.tried("patch nodes/status").len(), events.len()), (1, 1), "{}", stage.seen());
    assert_eq!(events[0].body["type"], "Normal");
}

#[tokio::test(start_paused = true)]
async fn pages_that_count_against_memory_are_in_the_limit_of_the_probe() {
    let machine = Machine::new(8);
    let mounts = "1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /sys/fs/cgroup ro - cgroup2 cgroup rw,memory_hugetlb_accounting\n";
    machine.write("proc/self/mountinfo", mounts);
    let stage = Stage::begin(world(Fate::Pass), machine, &json!({}));
    stage.until_verdict("pass").await;
    let created = stage.world.done("create pods");
    assert_eq!(created[0].body["spec"]["containers"][0]["resources"]["limits"]["memory"], "40Mi");
}

#[tokio::test(start_paused = true)]
async fn containers_that_end_without_a_word_are_no_pass() {
    let stage = Stage::begin(world(Fate::Silent), Machine::new(8), &json!({}));
    stage.until_verdict("unknown").await;
}

/// How many renewals are due at least and at most, if one is about every `renew` of `minutes`: what is valid for twice that
/// from a probe on is renewed after half of what is left when it is written, and a probe takes a moment of its own.
fn renewals(renew: u32, minutes: u32) -> [usize; 2] {
    let (renew, spread) = (renew * MINUTE, f64::from(u32::try_from(JITTER).unwrap()) / 1000.0);
    let shortest = (renew - Duration::from_millis(HOLD_MS) / 2).mul_f64(1.0 - spread);
    let longest = renew.mul_f64(1.0 + spread) + TICK + SOON;
    [longest, shortest].map(|wait| tries(std::iter::repeat(wait), minutes * MINUTE) - 1)
}

#[tokio::test(start_paused = true)]
async fn the_pools_are_renewed_in_their_time_and_each_renewal_is_one_apply() {
    let stage = Stage::begin(world(Fate::Pass), Machine::new(8), &json!({"renewMinutes": 30}));
    stage.until_verdict("pass").await;
    stage.pass(600 * MINUTE).await;
    let applies = stage.world.tried("patch nodes/status").len();
    let [least, most] = renewals(30, 600);
    assert!((least..=most + 1).contains(&applies), "{applies} applies in ten hours, not {least} to {most}");
    assert_eq!(stage.world.tried("create events").len(), 1);
}
