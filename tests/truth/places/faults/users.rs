//! The user that runs the workload: user, groups, capabilities and user namespace.

use hugeprobe::domain::catalogue::HP302;

use super::super::fault::{ALL, DIR, MEMFD, Spec, applied, planned};
use super::super::plan::Plan;
use crate::context::Missing;
use crate::place::NOBODY;
use crate::scene::Scene;

/// A group that has no member on this machine.
const GROUP: u32 = 4242;

pub(super) const SPECS: &[Spec] = &[
    applied("capabilities", "without", |scene, capability| {
        scene.place.add(format!("without={capability}"));
        Ok(())
    })
    .harmless(&[
        "all",
        "ipc_lock",
        "sys_admin",
        "sys_nice",
        "dac_override",
        "sys_resource",
        "sys_ptrace",
    ]),
    applied("user", "user", become_user).kinds(MEMFD).harmless(&["no-rights", "with-group", "gid-alone"]),
    planned("user", "user-dir", owned)
        .kinds(DIR)
        .harmless(&["owner", "group-member", "gid-alone"])
        .harmful(&["no-rights", "with-group"])
        .causes(&[HP302])
        .apply(become_user),
    applied("user namespace", "user-namespace", |scene, mapping| {
        scene.place.add(format!("userns={mapping}"));
        Ok(())
    })
    .kinds(ALL)
    .harmless(&["root", "same", "unmapped"]),
];

/// Changes the owner of the mount where the workload works only with that owner.
fn owned(plan: &mut Plan, user: &str) {
    match user {
        "owner" => plan.options.push(format!("uid={NOBODY},gid={NOBODY}")),
        "group-member" => plan.options.push(format!("gid={GROUP},mode=0770")),
        _ => {}
    }
}

fn become_user(scene: &mut Scene, user: &str) -> Result<(), Missing> {
    scene.place.add(match user {
        "no-rights" | "owner" => format!("user={NOBODY}:{NOBODY}:"),
        "with-group" | "group-member" => format!("user={NOBODY}:{NOBODY}:{GROUP}"),
        // Root, with another group.
        "gid-alone" => format!("user=0:{NOBODY}:"),
        other => panic!("unknown user {other}"),
    });
    Ok(())
}
