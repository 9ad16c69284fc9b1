//! What a place is made of: the pool, the mount and the cgroups, as its faults leave them.

use std::rc::Rc;

use super::fault::pages;
use super::faults::holders;
use crate::context::cgroup::Group;
use crate::context::{Missing, pools};
use crate::rows::other;
use crate::scene::Scene;

/// The pool, the mount and the cgroups of a place. Without a fault: as many pages as are needed, a mount for a workload that
/// wants one, and no cgroup.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Pages that the frontend needs, and the backend.
    pub(super) sides: [u64; 2],
    /// Bytes of a page.
    pub(super) page: u64,
    /// The pool without `more`, relative to the need.
    pub(super) pool: String,
    /// Pages on top: those that faults take away again.
    pub(super) more: u64,
    pub(super) mount: Mount,
    /// Options of the mount.
    pub(super) options: Vec<String>,
    /// Cgroups are those of v1.
    pub(super) on_v1: bool,
    /// Limits of cgroups.
    pub(super) limits: Vec<Limit>,
    /// Pages that a process of a sibling group holds.
    pub(super) sibling: Option<u64>,
}

/// What is at the path that the workload looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mount {
    /// A hugetlbfs of the right size.
    Hugetlbfs,
    /// One of the other page size.
    OtherSize,
    Tmpfs,
    /// Nothing is mounted.
    Nothing,
    /// A hugetlbfs on a tmpfs, as a container has it on its root.
    OnTmpfs,
    /// Two, one on top of the other.
    Twice,
    /// A tmpfs on top.
    UnderTmpfs,
    /// Another directory, bound there.
    Bind,
    /// Each program mounts it in a mount namespace of its own.
    Namespace,
}

/// A limit of a hugetlb cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) level: Level,
    /// `max` or `rsvd.max`.
    pub(super) file: &'static str,
    pub(super) pages: u64,
}

/// Which group of the place: each is below the one before, the last two side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Top,
    Above,
    Both,
    Frontend,
    Backend,
}

// === impl Plan ===

impl Plan {
    pub(super) fn new(scene: &Scene) -> Self {
        Self {
            sides: scene.of_sides(),
            page: scene.size.bytes(),
            pool: "+0".to_owned(),
            more: 0,
            mount: Mount::Hugetlbfs,
            options: Vec::new(),
            on_v1: false,
            limits: Vec::new(),
            sibling: None,
        }
    }

    pub(super) fn need(&self) -> u64 {
        self.sides.iter().sum()
    }

    /// Another limit, relative to what all in the group need.
    pub(super) fn limit(&mut self, level: Level, file: &'static str, relative: &str) {
        let need = match level {
            Level::Frontend => self.sides[0],
            Level::Backend => self.sides[1],
            _ => self.need(),
        };
        self.limits.push(Limit { level, file, pages: pages(need, relative) });
    }

    /// Makes all of it.
    pub(super) fn make(&self, scene: &mut Scene) -> Result<(), Missing> {
        scene.pool(pages(self.need(), &self.pool) + self.more)?;
        if scene.directory().is_some() {
            self.mount(scene);
        }
        if !self.limits.is_empty() || self.sibling.is_some() {
            if self.on_v1 {
                scene.on_v1()?;
            }
            self.groups(scene)?;
        }
        Ok(())
    }

    fn mount(&self, scene: &mut Scene) {
        let options = self.options.join(",");
        match self.mount {
            Mount::Hugetlbfs => scene.mount(&options),
            Mount::OtherSize => {
                let other = other(scene.size);
                scene.mount_of(other, &options);
            }
            Mount::Tmpfs => scene.mount_as("mount -t tmpfs none"),
            Mount::Nothing => {}
            Mount::OnTmpfs => {
                scene.mount_as("mount -t tmpfs none");
                scene.mount(&options);
            }
            Mount::Twice => {
                scene.mount("");
                scene.mount(&options);
            }
            Mount::UnderTmpfs => {
                scene.mount(&options);
                scene.mount_as("mount -t tmpfs none");
            }
            Mount::Bind => {
                scene.mount(&options);
                let there = scene.huge.with_file_name("bound");
                std::fs::create_dir(&there).unwrap();
                scene.sh(&format!("mount --bind \"$DIR\" '{}'", there.display()));
                scene.at_last(&format!("umount '{}'", there.display()));
                scene.huge = there;
            }
            Mount::Namespace => {
                let options = [&[format!("pagesize={}", scene.size.bytes())], &self.options[..]].concat();
                scene.place.add(format!("within={}@{}", options.join(","), scene.huge.display()));
            }
        }
    }

    /// Four levels of groups. Both sides are in the third, or each in one below it.
    fn groups(&self, scene: &mut Scene) -> Result<(), Missing> {
        let top = scene.cgroup("top")?;
        let top = self.limited(scene, top, Level::Top);
        let above = self.limited(scene, top.child("above"), Level::Above);
        if let Some(pages) = self.sibling {
            let sibling = above.child("sibling");
            let path = sibling.path().to_owned();
            scene.keep(sibling);
            holders::of_group(scene, &path, pages.min(pools::available(scene.size)));
        }
        let both = self.limited(scene, above.child("both"), Level::Both);
        if !self.limits.iter().any(|limit| [Level::Frontend, Level::Backend].contains(&limit.level)) {
            scene.place.enter(both.path());
            return Ok(());
        }
        for (name, level) in [("frontend", Level::Frontend), ("backend", Level::Backend)] {
            let group = self.limited(scene, both.child(name), level);
            let side = if level == Level::Frontend { &mut scene.frontend } else { &mut scene.backend };
            side.place.enter(group.path());
            side.cgroup = Some(group.path().to_owned());
        }
        Ok(())
    }

    /// The group with its limits. The scene keeps it, so that groups go in the opposite order, after a panic too.
    fn limited(&self, scene: &mut Scene, group: Group, level: Level) -> Rc<Group> {
        let group = Rc::new(group);
        scene.keep(Rc::clone(&group));
        for limit in self.limits.iter().filter(|limit| limit.level == level) {
            group.set(&scene.limit_file(limit.file), scene.bytes(limit.pages));
        }
        group
    }
}
