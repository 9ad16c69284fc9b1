//! The components of a place: the pool, the mount and the cgroups, changed by its faults.

use std::rc::Rc;

use super::control::Control;
use super::fault::pages;
use super::faults::holders;
use crate::context::cgroup::Group;
use crate::context::{Missing, pools};
use crate::nodes;
use crate::rows::other;
use crate::scene::Scene;

/// The pool, the mount and the cgroups of a place. Without a fault, it has as many pages as are needed, a mount if the
/// workload uses one, and no cgroup.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The pages that the frontend and the backend need.
    pub(super) sides: [u64; 2],
    /// The page size in bytes.
    pub(super) page: u64,
    /// The pages of the pool without `more`, relative to the need.
    pub(super) pool: String,
    /// Additional pages, which faults take away again.
    pub(super) more: u64,
    pub(super) mount: Mount,
    /// The options of the mount.
    pub(super) options: Vec<String>,
    /// Whether the cgroups are on a v1 hierarchy.
    pub(super) on_v1: bool,
    /// The limits of the cgroups.
    pub(super) limits: Vec<Limit>,
    /// The number of pages that a process in a sibling group holds, if any.
    pub(super) sibling: Option<u64>,
    /// Limits of other controllers, for both sides and hugeprobe.
    pub(super) controls: Vec<Control>,
    /// The NUMA nodes on which the workload takes its memory. Empty on a machine with one node.
    pub(super) on: Vec<u32>,
    /// Where the pages of the pool are, on a machine with several nodes.
    pub(super) pages_on: PagesOn,
}

/// The NUMA nodes of the pool's pages, relative to those of the workload. Another node is one with memory that the
/// workload does not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PagesOn {
    Own,
    /// As many again are on another node.
    OwnAndOther,
    Other,
    /// One of them is on another node.
    AllButOne,
    /// One half is on another node.
    Half,
}

/// What is mounted at the path that the workload uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mount {
    /// A hugetlbfs of the right size.
    Hugetlbfs,
    /// A hugetlbfs of the other page size.
    OtherSize,
    Tmpfs,
    /// Nothing is mounted.
    Nothing,
    /// A hugetlbfs on top of a tmpfs, as in a container whose root is a tmpfs.
    OnTmpfs,
    /// Two hugetlbfs, one on top of the other.
    Twice,
    /// A hugetlbfs with a tmpfs on top.
    UnderTmpfs,
    /// A bind mount of the hugetlbfs at another path.
    Bind,
    /// A hugetlbfs that each program mounts in its own mount namespace.
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

/// A group of the place. Each group is a child of the previous one, except that the last two are siblings.
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
            controls: Vec::new(),
            on: match &nodes::with_memory()[..] {
                [first, _, ..] => vec![*first],
                _ => Vec::new(),
            },
            pages_on: PagesOn::Own,
        }
    }

    pub(super) fn need(&self) -> u64 {
        self.sides.iter().sum()
    }

    /// Adds a limit, relative to what all processes in the group need.
    pub(super) fn limit(&mut self, level: Level, file: &'static str, relative: &str) {
        let need = match level {
            Level::Frontend => self.sides[0],
            Level::Backend => self.sides[1],
            _ => self.need(),
        };
        self.limits.push(Limit { level, file, pages: pages(need, relative) });
    }

    /// Makes the pool, the mount and the cgroups.
    pub(super) fn make(&self, scene: &mut Scene) -> Result<(), Missing> {
        let pages = pages(self.need(), &self.pool) + self.more;
        if self.on.is_empty() {
            scene.pool(pages)?;
        } else {
            scene.pool_on(&self.on_nodes(pages))?;
            scene.on.clone_from(&self.on);
        }
        if scene.directory().is_some() {
            self.mount(scene);
        }
        if self.on_v1 {
            scene.on_v1()?;
        }
        // A process is in one group of cgroup v2, so that all its limits are there.
        let (inside, apart): (Vec<_>, Vec<_>) =
            self.controls.iter().partition(|control| !self.on_v1 && !control.is_on_v1());
        apart.into_iter().try_for_each(|control| control.apart(scene))?;
        if !self.limits.is_empty() || self.sibling.is_some() || !inside.is_empty() {
            self.groups(scene, &inside)?;
        }
        Ok(())
    }

    /// Divides `pages` pages among the NUMA nodes.
    fn on_nodes(&self, pages: u64) -> Vec<(u32, u64)> {
        let other = nodes::with_memory().into_iter().find(|node| !self.on.contains(node));
        let elsewhere = match self.pages_on {
            PagesOn::Own | PagesOn::OwnAndOther => 0,
            PagesOn::Other => pages,
            PagesOn::AllButOne => pages.min(1),
            PagesOn::Half => pages / 2,
        };
        let own = pages - elsewhere;
        let count = u64::try_from(self.on.len()).unwrap();
        let part = |index: usize| own / count + u64::from(index == 0) * (own % count);
        let mut divided: Vec<_> =
            self.on.iter().enumerate().map(|(index, node)| (*node, part(index))).collect();
        let elsewhere = if self.pages_on == PagesOn::OwnAndOther { pages } else { elsewhere };
        divided.extend(other.map(|node| (node, elsewhere)));
        divided
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

    /// Creates four levels of groups. Both sides are in the third one, or each is in a group below it.
    fn groups(&self, scene: &mut Scene, controls: &[&Control]) -> Result<(), Missing> {
        let top = scene.cgroup("top")?;
        controls.iter().for_each(|control| control.set(top.path()));
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

    /// Sets the limits of a group. The scene keeps the group, so that groups are removed in reverse order, even after a
    /// panic.
    fn limited(&self, scene: &mut Scene, group: Group, level: Level) -> Rc<Group> {
        let group = Rc::new(group);
        scene.keep(Rc::clone(&group));
        for limit in self.limits.iter().filter(|limit| limit.level == level) {
            group.set(&scene.limit_file(limit.file), scene.bytes(limit.pages));
        }
        group
    }
}
