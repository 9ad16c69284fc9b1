//! The need of the workload, and the pages of the pool.

use hugeprobe::domain::catalogue::{HP101, HP102, HP106, HP412};

use super::super::fault::{FEW_FILES, FILE_PER_PAGE, Spec, applied, pages, planned};
use super::super::plan::Plan;
use crate::context::child::How;
use crate::context::{Missing, SMALL, pools};
use crate::rows::pools::{Restless, SPARE};
use crate::scene::Scene;

pub(super) const SPECS: &[Spec] = &[
    // As multiples of the smallest need that works: 8 pages of 2Mi for each side.
    planned("need", "times", multiply).kinds(FEW_FILES).harmless(&["2", "4"]).apply(repeat),
    // With a file for each page, those of the frontend do not fit into a memory table.
    planned("need", "times-pages", multiply)
        .kinds(FILE_PER_PAGE)
        .harmful(&["2", "4"])
        .causes(&[HP412])
        .apply(repeat),
    planned("pool size", "pool", |plan, relative| plan.pool = relative.to_owned())
        .harmless(&["+1", "+16", "+64"])
        .harmful(&["-1", "-1", "-2", "half", "1", "0"])
        .causes(&[HP101, HP102]),
    // The pool is empty or has half of the need, and overcommit provides the rest. The values are relative to the need.
    planned("overcommit", "overcommit-all", |plan, _| plan.pool = "0".to_owned())
        .harmless(&["+0", "+1"])
        .harmful(&["-1", "half"])
        .causes(&[HP101, HP102, HP106])
        .apply(|scene, relative| {
            let may_come = pages(scene.need(), relative);
            overcommit(scene, may_come);
            Ok(())
        }),
    planned("overcommit", "overcommit-half", |plan, _| plan.pool = "half".to_owned())
        .harmless(&["+0", "+1"])
        .harmful(&["-1"])
        .causes(&[HP101, HP102, HP106])
        .apply(|scene, relative| {
            let rest = scene.need() - scene.need() / 2;
            overcommit(scene, pages(rest, relative));
            Ok(())
        }),
    applied("overcommit", "overcommit-more", |scene, pages| {
        overcommit(scene, pages.parse().unwrap());
        Ok(())
    })
    .harmless(&["1", "64"]),
    // A process holds 8 surplus pages of a pool that has no others, and overcommit may provide the rest. The values are
    // relative to the need.
    planned("surplus", "surplus", |plan, _| plan.pool = "0".to_owned())
        .harmless(&["+0", "+1"])
        .harmful(&["-1"])
        .causes(&[HP101, HP102, HP106])
        .apply(|scene, relative| {
            overcommit(scene, 8);
            scene.hold(8, How::Touched);
            pools::set(scene.size, "nr_overcommit_hugepages", 8 + pages(scene.need(), relative));
            Ok(())
        }),
    planned("changing pool", "restless", |plan, _| plan.more += SPARE).harmless(&["spare"]).apply(
        |scene, _| {
            scene.restless = true;
            scene.keep(Restless::start(scene.size));
            Ok(())
        },
    ),
];

fn multiply(plan: &mut Plan, times: &str) {
    plan.sides = plan.sides.map(|own| own * times.parse::<u64>().unwrap());
}

fn repeat(scene: &mut Scene, times: &str) -> Result<(), Missing> {
    scene.times = times.parse().unwrap();
    Ok(())
}

/// Allows the pool to grow by `pages` pages.
fn overcommit(scene: &mut crate::scene::Scene, pages: u64) {
    if scene.size == SMALL {
        let surplus = pools::counter(scene.size, "surplus_hugepages");
        scene.set("nr_overcommit_hugepages", surplus + pages);
    }
}
