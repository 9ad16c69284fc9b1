//! What two processes do that share pages, one thing after the other, and what the kernel documents about each.

use std::collections::VecDeque;

use crate::domain::movement::{Placed, Step};
use crate::exchange::steps::{Act, Side};

/// What is done between two looks, and what the kernel documents about it.
pub(super) struct Scene {
    pub(super) acts: Vec<(Side, Act)>,
    pub(super) text: String,
    pub(super) documented: String,
    pub(super) step: Step,
    /// Pages that the frontend and the backend map afterwards.
    pub(super) mapped: [u64; 2],
    /// By how many pages the cgroup of who touches first is charged afterwards.
    pub(super) charged: u64,
}

/// From the first mapping to the last unmapping.
pub(super) fn scenes(first: Side, pages: u64, has_mount: bool) -> VecDeque<Scene> {
    let (second, by_first, by_second) = match first {
        Side::Frontend => (Side::Backend, [pages, 0], [0, pages]),
        Side::Backend => (Side::Frontend, [0, pages], [pages, 0]),
    };
    let count = if pages == 1 { "1 page".to_owned() } else { format!("{pages} pages") };
    let nothing = || Step::Touch(Placed::default());
    // A mount with min_size= may have reserved them beforehand.
    let held = if has_mount { pages } else { 0 };
    let placed = Placed { pages, numa: Vec::new() };
    let (first_name, second_name) = (name(first), name(second));
    let map = Scene {
        acts: vec![(Side::Frontend, Act::Map)],
        text: format!("frontend: map {count} of a file, MAP_SHARED"),
        documented: Step::Reserve { pages, held }.documented(),
        step: Step::Reserve { pages, held },
        mapped: [0; 2],
        charged: 0,
    };
    let touch = Scene {
        acts: vec![(first, Act::Touch)],
        text: format!("{first_name}: write one byte of each page"),
        documented: format!(
            "free -{pages}, reserved -{pages}: charged to the {first_name}'s cgroup, and to no other until the file is gone"
        ),
        step: Step::Touch(placed.clone()),
        mapped: by_first,
        charged: pages,
    };
    let hand_over = |is_touched: bool| Scene {
        acts: vec![(Side::Frontend, Act::HandOver), (Side::Backend, Act::TakeOver)],
        text: "frontend: hand the file over in SET_MEM_TABLE; backend: map it".to_owned(),
        documented: "nothing moves: the pages are the file's, and promised to it once".to_owned(),
        step: nothing(),
        mapped: if is_touched { by_first } else { [0; 2] },
        charged: if is_touched { pages } else { 0 },
    };
    let read = Scene {
        acts: vec![(second, Act::Read)],
        text: format!("{second_name}: read that byte of each page"),
        documented: "no page is used: both map the same pages now".to_owned(),
        step: nothing(),
        mapped: [pages; 2],
        charged: pages,
    };
    let leave = Scene {
        acts: vec![(first, Act::Release)],
        text: format!("{first_name}: unmap and close"),
        documented: format!(
            "nothing is given back: the {second_name} has the file, and the charge stays where it was"
        ),
        step: nothing(),
        mapped: by_second,
        charged: pages,
    };
    let step = Step::Release { placed, unused: 0, held };
    let end = Scene {
        acts: vec![(second, Act::Release)],
        text: format!("{second_name}: unmap and close, the last to have it"),
        documented: step.documented(),
        step,
        mapped: [0; 2],
        charged: 0,
    };
    match first {
        Side::Frontend => VecDeque::from([map, touch, hand_over(true), read, leave, end]),
        Side::Backend => VecDeque::from([map, hand_over(false), touch, read, leave, end]),
    }
}

/// What a side is called in a sentence.
#[must_use]
pub const fn name(side: Side) -> &'static str {
    match side {
        Side::Frontend => "frontend",
        Side::Backend => "backend",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::counters::Counters;

    #[test]
    fn what_is_taken_is_given_back_whoever_is_first() {
        for first in [Side::Frontend, Side::Backend] {
            let scenes = scenes(first, 2, false);
            let before = Counters { total: 8, free: 8, ..Counters::default() };
            let mut now = before.clone();
            for scene in &scenes {
                let after = scene.step.expect(&now, &now);
                assert_ne!(scene.text, "");
                now = after;
            }
            assert_eq!(now, before, "{first:?}");
            let touch = scenes.iter().find(|scene| scene.acts == [(first, Act::Touch)]).unwrap();
            assert!(touch.documented.contains(&format!("the {}'s cgroup", name(first))));
            assert!(scenes.iter().any(|scene| scene.mapped == [2; 2]), "shared by both at some time");
            assert_eq!(scenes.back().unwrap().mapped, [0; 2]);
        }
    }
}
