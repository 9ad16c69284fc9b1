//! A right is missing: the log and `/readyz` name it, and the agent goes on with what it may do.

use std::time::Duration;

use hugeprobe::kubernetes::agent::node::{FORBIDDEN, POLL, POLLING};
use hugeprobe::kubernetes::backoff::Backoff;
use hugeprobe::kubernetes::reconcile::{AFTER_BLOCKED_MS, BEFORE_FIRST_MS};
use serde_json::json;

use super::bounds::{jittered, shortest, tries};
use super::kubelet::{Fate, play};
use super::stage::{BOOT, Machine, Stage};
use super::world::{Fault, NODE, World};

const MINUTE: Duration = Duration::from_secs(60);

fn forbidden(what: &str) -> Fault {
    let (verb, resource) = what.split_once(' ').unwrap();
    let message = format!(
        r#"{resource} is forbidden: User "system:serviceaccount:h:h" cannot {verb} resource "{resource}" in API group """#
    );
    Fault::Status(403, "Forbidden", message)
}

async fn without(rights: &[&str], pages: u64) -> Stage {
    without_in(World::new(BOOT, pages), rights, pages).await
}

async fn without_in(world: World, rights: &[&str], pages: u64) -> Stage {
    for right in rights {
        world.fault(right, forbidden(right));
    }
    let stage = Stage::begin(world, Machine::new(pages), &json!({}));
    stage.pass(5 * MINUTE).await;
    for right in rights {
        let (_, text) = stage.page("/readyz");
        assert!(text.contains(&format!("missing permission, {right}")), "{right}: {text}");
    }
    stage
}

#[tokio::test(start_paused = true)]
async fn without_watch_the_node_is_asked_for_now_and_then() {
    let stage = without(&["watch nodes"], 0).await;
    assert_eq!(stage.world.annotation("verdict").as_deref(), Some("none"));
    stage.pass(25 * MINUTE).await;
    let gets = stage.world.done("get nodes").len();
    let [most, least] = jittered(POLL).map(|wait| tries(std::iter::repeat(wait), 30 * MINUTE));
    assert!((least..=most).contains(&gets), "{gets} GETs in half an hour, not {least} to {most}");
    // It is asked for GETs as long as the watch is not tried again.
    let (watches, most) =
        (stage.world.tried("watch nodes").len(), tries(std::iter::repeat(FORBIDDEN), 30 * MINUTE));
    assert!(watches <= most, "{watches} watches in half an hour, more than {most}");
}

#[tokio::test(start_paused = true)]
async fn without_list_the_node_is_asked_for_too() {
    let stage = without(["list nodes", "watch nodes"][..1].as_ref(), 0).await;
    assert_eq!(stage.world.annotation("verdict").as_deref(), Some("none"));
}

#[tokio::test(start_paused = true)]
async fn without_any_right_to_see_the_node_nothing_is_written_and_little_is_asked() {
    let stage = without(&["list nodes", "get nodes"], 0).await;
    stage.pass(55 * MINUTE).await;
    assert_eq!(stage.world.tried("patch nodes/status").len(), 0);
    assert!(!stage.page("/readyz").0);
    // Nothing but: pods, once; the list, each time that it is tried again; and in between GETs that wait ever longer.
    let lists = tries(std::iter::repeat(FORBIDDEN), 60 * MINUTE);
    let most = 1 + lists + lists * tries(shortest(POLLING, Duration::ZERO), FORBIDDEN);
    let asked = stage.world.state().seen.len();
    assert!(asked <= most, "{asked} requests in an hour, more than {most}: {}", stage.seen());
    stage.world.mend("list nodes");
    stage.until_verdict("none").await;
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_write_it_is_not_ready_and_says_why() {
    let stage = without(&["patch nodes/status"], 0).await;
    assert!(!stage.page("/readyz").0);
    assert!(stage.page("/healthz").0);
    stage.world.mend("patch nodes/status");
    stage.until_verdict("none").await;
    stage.until("readiness", |stage| stage.page("/readyz").0).await;
    assert!(!stage.page("/readyz").1.contains("missing"), "{}", stage.page("/readyz").1);
}

#[tokio::test(start_paused = true)]
async fn without_events_the_verdict_is_there_all_the_same() {
    let world = World::new(BOOT, 4);
    play(&world, Fate::Pass, Duration::from_secs(1));
    let stage = without_in(world, &["create events"], 4).await;
    assert!(stage.world.annotation("verdict").is_some());
}

#[tokio::test(start_paused = true)]
async fn without_pods_the_verdict_is_unknown_and_says_so() {
    let stage = without(&["create pods"], 4).await;
    assert_eq!(stage.world.annotation("verdict"), None, "a right may be granted after the agent has started");
    stage.pass(MINUTE).await;
    assert_eq!(stage.world.annotation("verdict").as_deref(), Some("unknown"));
    let backoff = Backoff { first: AFTER_BLOCKED_MS, most: BEFORE_FIRST_MS };
    let most = tries(shortest(backoff, Duration::ZERO), 6 * MINUTE);
    let tried = stage.world.tried("create pods").len();
    assert!(tried <= most, "{tried} pods in six minutes, more than {most}");
}

#[tokio::test(start_paused = true)]
async fn without_the_list_of_pods_probes_are_made_all_the_same() {
    let stage = without(&["list pods"], 4).await;
    assert!(!stage.world.done("create pods").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_there_already_is_as_good() {
    let world = World::new(BOOT, 4);
    world.fault("create events", Fault::Status(409, "AlreadyExists", "events already exists".into()));
    world.fault("create pods", forbidden("create pods"));
    let stage = Stage::begin(world, Machine::new(4), &json!({}));
    stage.pass(10 * MINUTE).await;
    assert_eq!(stage.world.tried("create events").len(), 1);
    assert!(!stage.page("/readyz").1.contains("events"), "{}", stage.page("/readyz").1);
}

#[tokio::test(start_paused = true)]
async fn an_apply_to_a_node_that_is_gone_is_waited_out() {
    let stage = Stage::begin(World::new(BOOT, 0), Machine::new(0), &json!({}));
    stage.until_verdict("none").await;
    for fault in [
        Fault::Status(404, "NotFound", format!("nodes {NODE:?} not found")),
        Fault::Status(
            403,
            "Forbidden",
            format!(
                r#"nodes "{NODE}" is forbidden: User "x" cannot create resource "nodes" in API group """#
            ),
        ),
    ] {
        stage.world.fault("patch nodes/status", fault);
        stage.world.change_node(|node| node["metadata"]["annotations"] = json!({}));
        stage.pass(10 * MINUTE).await;
        assert!(!stage.page("/readyz").1.contains("missing permission"), "{}", stage.page("/readyz").1);
        stage.world.mend("patch nodes/status");
        stage.until_verdict("none").await;
    }
}
