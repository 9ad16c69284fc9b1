//! Tests that another agent takes over after a restart, an upgrade or a crash.

use super::world::*;
use crate::config::ResourceClaim;
use crate::names;
use hugeprobe_domain::reading::Reading;

/// Returns a world whose agent has published a verdict and was replaced. From then on no probe can run.
fn replaced(verdict: &'static str, prepare: impl FnOnce(&mut World)) -> World {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.fate = Fate::Reports(verdict);
    world.run(30);
    assert_eq!(world.verdict(), verdict);
    world.fate = Fate::Pending;
    prepare(&mut world);
    world.restart_agent();
    world
}

#[test]
fn a_restart_keeps_the_verdict_until_a_new_one_is_concluded() {
    for verdict in ["pass", "fail"] {
        let mut world = replaced(verdict, |_| {});
        world.run(20);
        assert_eq!((world.applies.len(), world.verdict()), (1, verdict), "nothing is written meanwhile");
        assert!(world.reconciler.view().first_published, "and it is ready");
        world.run(300);
        assert_eq!(world.verdict(), verdict);
        assert!(world.annotation(names::PROBE).unwrap().starts_with("busy"));
        world.fate = Fate::Reports("pass");
        world.run(1200);
        assert_eq!(world.verdict(), "pass");
        assert_eq!(world.events.len(), if verdict == "pass" { 1 } else { 2 });
    }
}

#[test]
fn a_restart_that_finds_all_the_same_writes_nothing() {
    let mut world = World::new(&[(SMALL, 512), (LARGE, 4)], config(""));
    world.run(30);
    world.restart_agent();
    world.run(300);
    assert_eq!((world.applies.len(), world.events.len(), world.created), (1, 1, 4));
}

#[test]
fn an_upgrade_keeps_the_verdict_and_shows_the_new_version() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(30);
    let old = |node: &mut serde_json::Value| node["metadata"]["annotations"][names::VERSION] = "0.0.1".into();
    world.change_node(old);
    world.config.probe.image = "hugeprobe:next".into();
    world.restart_agent();
    world.run(1);
    assert_eq!((world.verdict(), world.annotation(names::VERSION)), ("pass", Some("0.0.1")));
    world.run(60);
    assert_eq!(
        (world.verdict(), world.annotation(names::VERSION)),
        ("pass", Some(env!("CARGO_PKG_VERSION")))
    );
    assert_eq!((world.applies.len(), world.events.len()), (2, 1));
}

#[test]
fn what_is_forged_stale_or_about_something_else_is_not_kept() {
    type Change = fn(&mut World);
    let cases: [(&str, Change); 11] = [
        ("the boot is another, or so it says", |world| world.forge(names::BOOT_ID, "another")),
        ("the probe is somebody else's word", |world| {
            let probe = world.annotation("hugeprobe.io/probe.2Mi").unwrap().to_owned();
            world.forge("hugeprobe.io/probe.2Mi", &probe);
        }),
        ("nobody owns anything", |world| {
            world.change_node(|node| node["metadata"]["managedFields"] = serde_json::json!([]));
        }),
        ("it is no such thing", |world| {
            world.change_node(|node| {
                node["metadata"]["annotations"]["hugeprobe.io/probe.2Mi"] = "pass".into();
            });
        }),
        ("it has a word too many", |world| {
            world.change_node(|node| {
                let probe =
                    node["metadata"]["annotations"]["hugeprobe.io/probe.2Mi"].as_str().unwrap().to_owned();
                node["metadata"]["annotations"]["hugeprobe.io/probe.2Mi"] = format!("{probe} x").into();
            });
        }),
        ("the pool is another", |world| world.set_pool(SMALL, 256)),
        ("it is of another boot", |world| world.machine.host.boot_id = Reading::Known("boot-2".into())),
        ("it is no longer valid", |world| world.skew = 2 * 3600),
        ("another is needed now", |world| {
            world.config = config(r#", "expectations": [{"need": ["2Mi=8"]}]"#);
        }),
        ("its users were those of the host", |world| world.config.probe.host_users = false),
        ("it had no claim", |world| {
            world.config.probe.resource_claims = vec![ResourceClaim {
                name: "vhost".to_owned(),
                resource_claim_template_name: "port".to_owned(),
            }];
        }),
    ];
    for (name, change) in cases {
        let mut world = replaced("pass", change);
        world.run(60);
        assert!(["unknown", "fail"].contains(&world.verdict()), "{name}: {}", world.verdict());
    }
}

#[test]
fn what_is_not_believed_is_not_left_to_stand_either() {
    let mut world = replaced("pass", |world| world.forge(names::VERDICT, "warn"));
    world.run(1);
    // The probe's own annotation is trusted, so the verdict is the same. The agent owns the forged annotation again.
    assert_eq!(world.applies.len(), 2);
    let mut world = replaced("pass", |world| world.machine.host.boot_id = Reading::Known("boot-2".into()));
    world.run(1);
    assert_eq!(world.verdict(), "unknown", "at once");
}

#[test]
fn a_foreign_pass_on_a_new_node_is_taken_away_at_once() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.change_node(|node| {
        node["metadata"]["annotations"] =
            serde_json::json!({names::VERDICT: "pass", names::BOOT_ID: "boot-1"});
        node["metadata"]["labels"][names::VERDICT] = "pass".into();
    });
    world.fate = Fate::Hangs;
    world.run(1);
    assert_eq!((world.verdict(), world.label(names::VERDICT)), ("unknown", Some("unknown")));
}

#[test]
fn findings_of_the_probe_are_kept_and_those_of_facts_made_anew() {
    let mut world = replaced("fail", |_| {});
    world.run(60);
    assert_eq!(
        world.annotation("hugeprobe.io/check.HP603.2Mi"),
        Some("fail: backend:frontend-first: not seen on the other side")
    );
    assert_eq!(world.condition().unwrap()["reason"], "BytesNotShared");
}
