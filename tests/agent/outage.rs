//! The API server is away, slow, or confused; the latest state is published in the end, once.

use std::time::Duration;

use hugeprobe::kubernetes::agent::executor::{BURST, PACE};
use hugeprobe::kubernetes::agent::node::WATCHING;
use hugeprobe::kubernetes::api::ANSWER;
use hugeprobe::kubernetes::reconcile::{HOLD_MS, OUTAGE};
use serde_json::json;

use super::bounds::{longest, shortest, tries};
use super::stage::{BOOT, Machine, OTHER_BOOT, Stage, TICK};
use super::world::{Fault, World};

const MINUTE: Duration = Duration::from_secs(60);

/// What the agent writes in this time at most, whatever happens: all that it may at once, and then at its pace.
fn most_writes(time: Duration) -> usize {
    BURST as usize + tries(std::iter::repeat(PACE), time)
}

/// A node without pages has a verdict without a probe: `none`.
async fn settled() -> Stage {
    let stage = Stage::begin(World::new(BOOT, 0), Machine::new(0), &json!({}));
    stage.until_verdict("none").await;
    stage
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_nothing_changes() {
    let stage = settled().await;
    let (applies, events) =
        (stage.world.done("patch nodes/status").len(), stage.world.done("create events").len());
    assert_eq!(applies, 1);
    assert!(events <= 1);
    for minute in 0..60 {
        // The kubelet's heartbeats.
        let time = format!("2026-01-31T12:{minute:02}:00Z");
        stage.world.change_node(|node| node["status"]["conditions"][0]["lastHeartbeatTime"] = time.into());
        stage.pass(MINUTE).await;
    }
    assert_eq!(stage.world.tried("patch nodes/status").len(), applies);
    assert_eq!(stage.world.tried("create events").len(), events);
    assert_eq!(stage.world.tried("create pods").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_minutes_ends_with_the_latest_state_published_once() {
    let stage = settled().await;
    let before = stage.world.done("patch nodes/status").len();
    let seen = stage.world.state().seen.len();
    stage.world.stop();
    stage.machine.write("proc/cmdline", "quiet");
    for pages in [4, 2, 0, 8, 0] {
        stage.machine.set_pages(pages);
        stage.pass(MINUTE).await;
    }
    let tried = stage.world.state().seen.len() - seen;
    stage.world.start();
    stage.pass(5 * MINUTE).await;
    assert_eq!(stage.world.annotation("verdict").as_deref(), Some("none"));
    let after = stage.world.done("patch nodes/status").len();
    assert!(after - before <= 1, "{} applies after the outage", after - before);
    let most = most_writes(5 * MINUTE) + tries(shortest(WATCHING, Duration::ZERO), 5 * MINUTE);
    assert!(tried <= most, "{tried} requests in five minutes of outage, more than {most}");
    assert!(stage.page("/healthz").0);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_from_the_start_is_waited_for() {
    let world = World::new(BOOT, 0);
    world.stop();
    let stage = Stage::begin(world, Machine::new(0), &json!({}));
    stage.pass(10 * MINUTE).await;
    let (ready, text) = stage.page("/readyz");
    assert!(!ready && text.contains("failing, list nodes (for"), "{text}");
    assert!(!text.contains("refused"), "what the API server said is for the log: {text}");
    assert!(stage.page("/healthz").0);
    stage.world.start();
    stage.until_verdict("none").await;
    assert_eq!(stage.world.done("patch nodes/status").len(), 1);
    stage.until("readiness", |stage| stage.page("/readyz").0).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_keeps_no_tick_from_coming() {
    let stage = settled().await;
    stage.world.fault("patch nodes/status", Fault::Silent);
    stage.machine.set_pages(4);
    stage.pass(3 * MINUTE).await;
    assert!(stage.page("/healthz").0);
    assert!(stage.page("/readyz").1.contains("failing, patch nodes/status"), "{}", stage.page("/readyz").1);
    // One was answered; the next comes when the pages have been seen and what the Node shows has been held for long enough.
    let tried = stage.world.tried("patch nodes/status").len() - 1;
    let most = tries(shortest(OUTAGE, ANSWER), 3 * MINUTE);
    let held = TICK + Duration::from_millis(HOLD_MS);
    let least = tries(longest(OUTAGE, ANSWER), 3 * MINUTE - held);
    assert!((least..=most).contains(&tried), "{tried} applies in three minutes, not {least} to {most}");
}

#[tokio::test(start_paused = true)]
async fn slow_answers_and_half_ones_are_lived_with() {
    let world = World::new(BOOT, 0);
    world.fault("*", Fault::Slow(Duration::from_secs(10)));
    world.fault_times("patch nodes/status", Fault::Broken, 2);
    let stage = Stage::begin(world, Machine::new(0), &json!({}));
    stage.until_verdict("none").await;
    assert_eq!(stage.world.tried("patch nodes/status").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_has_expired_begins_anew_and_one_that_ended_goes_on() {
    let stage = settled().await;
    let (lists, watches) = (stage.world.tried("list nodes").len(), stage.world.tried("watch nodes").len());
    stage.world.end_watches();
    stage.pass(MINUTE / 10).await;
    assert_eq!(stage.world.tried("list nodes").len(), lists);
    assert_eq!(stage.world.tried("watch nodes").len(), watches + 1);
    stage.world.fault_times("watch nodes", Fault::Expired, 1);
    stage.world.end_watches();
    stage.pass(MINUTE / 10).await;
    assert_eq!(stage.world.tried("list nodes").len(), lists + 1);
    // And what happens then is seen.
    stage.world.change_node(|node| node["metadata"]["annotations"] = json!({}));
    stage.until_verdict("none").await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_patience_gets_it() {
    let world = World::new(BOOT, 0);
    world.fault_times("patch nodes/status", Fault::Throttled(120), 1);
    world.fault_times("list nodes", Fault::Throttled(30), 1);
    let stage = Stage::begin(world, Machine::new(0), &json!({}));
    stage.until_verdict("none").await;
    for (kind, least) in [("patch nodes/status", 120), ("list nodes", 30)] {
        let tried = stage.world.tried(kind);
        let waited = tried[1].at - tried[0].at;
        assert!(waited >= Duration::from_secs(least), "{kind} again after {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_server_are_tried_again_at_growing_distances() {
    let world = World::new(BOOT, 0);
    world.fault("patch nodes/status", Fault::Status(500, "InternalError", "etcd".into()));
    let stage = Stage::begin(world, Machine::new(0), &json!({}));
    stage.pass(30 * MINUTE).await;
    let tried = stage.world.tried("patch nodes/status").len();
    let most = tries(shortest(OUTAGE, Duration::ZERO), 30 * MINUTE);
    let held = TICK + Duration::from_millis(HOLD_MS);
    let least = tries(longest(OUTAGE, Duration::ZERO), 30 * MINUTE - held);
    assert!((least..=most).contains(&tried), "{tried} applies in half an hour, not {least} to {most}");
    stage.world.mend("patch nodes/status");
    stage.until_verdict("none").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_deleted_and_registered_again_gets_its_own_verdict() {
    let stage = settled().await;
    stage.world.unregister();
    stage.pass(5 * MINUTE).await;
    let meanwhile = stage.world.tried("patch nodes/status").len();
    assert_eq!(meanwhile, 1, "nothing is written to a Node that is not there");
    stage.world.register("uid-2", BOOT, 0);
    stage.until_verdict("none").await;
    let last = stage.world.done("patch nodes/status").pop().unwrap();
    assert_eq!(last.body["metadata"]["uid"], "uid-2");
}

#[tokio::test(start_paused = true)]
async fn every_apply_names_the_node_it_means_and_one_manager() {
    let stage = settled().await;
    let apply = &stage.world.done("patch nodes/status")[0];
    assert_eq!(apply.body["metadata"]["uid"], "uid-1");
    assert!(
        apply.uri.contains("fieldManager=hugeprobe") && apply.uri.contains("force=true"),
        "{}",
        apply.uri
    );
    assert_eq!(stage.world.annotation("boot-id").as_deref(), Some(BOOT));
    assert_ne!(BOOT, OTHER_BOOT);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_moves_no_wait() {
    let stage = settled().await;
    stage.world.fault("patch nodes/status", Fault::Status(500, "InternalError", "etcd".into()));
    stage.world.change_node(|node| node["metadata"]["annotations"] = json!({}));
    stage.pass(MINUTE).await;
    stage.clock_off.store(-86_400, std::sync::atomic::Ordering::Relaxed);
    stage.world.mend("patch nodes/status");
    stage.pass(5 * MINUTE).await;
    assert_eq!(stage.world.annotation("verdict").as_deref(), Some("none"));
    assert!(stage.page("/healthz").0);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_undoes_every_write_makes_no_storm() {
    let stage = settled().await;
    for _ in 0..6000 {
        stage.world.change_node(|node| node["metadata"]["annotations"] = json!({}));
        stage.pass(Duration::from_millis(100)).await;
    }
    let (applies, most) = (stage.world.tried("patch nodes/status").len(), 1 + most_writes(10 * MINUTE));
    assert!(applies <= most, "{applies} applies in ten minutes, more than {most}");
}
