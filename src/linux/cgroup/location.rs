//! Finds the directory of a cgroup.
//!
//! `/proc/self/cgroup` shows the path of the cgroup relative to the root of the cgroup namespace. mountinfo shows the
//! path of the mounted cgroup in the same way. The path from the mounted cgroup to the other one is the path of the
//! directory below the mount.

use std::path::PathBuf;

use crate::mountinfo::{Mount, MountTable, options};
use crate::root::HostRoot;
use hugeprobe_domain::cgroup::CgroupVersion;

/// The maximum number of directories that are searched for this process's cgroup if its name is not available.
const SEARCHED: usize = 20_000;

/// The location of a cgroup below a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// The path where the hierarchy is mounted.
    pub(super) mount: String,
    /// The names of the cgroups from there down to this process's cgroup.
    pub(super) names: Vec<String>,
}

/// The path of a cgroup relative to the root of the cgroup namespace: a number of levels up, then names down.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Relative<'a> {
    up: usize,
    down: Vec<&'a str>,
}

/// Where a cgroup is relative to a mount of its hierarchy.
#[derive(Debug, PartialEq, Eq)]
enum Relation<'a> {
    /// Below the mount, by these names.
    Below(Vec<&'a str>),
    /// Below the mount: first by a number of names that are above the namespace and therefore hidden, then by these
    /// names.
    Unnamed(usize, Vec<&'a str>),
    /// Not below the mount.
    Elsewhere,
}

/// Finds the directory of the cgroup at `path`, through the mount that shows the most of its ancestors.
///
/// # Errors
///
/// A message that says why no mount shows the cgroup.
pub(super) fn find(
    root: &HostRoot,
    table: &MountTable<'_>,
    version: CgroupVersion,
    controller: &str,
    path: &str,
) -> Result<Location, String> {
    let what = match version {
        CgroupVersion::V1 => format!("the cgroup v1 hierarchy of the {controller} controller"),
        CgroupVersion::V2 => "cgroup v2".to_owned(),
    };
    let own = Relative::parse(path).ok_or_else(|| format!("'{path}' is not the path of a cgroup"))?;
    let mounts = mounts_of(table, version, controller);
    if mounts.is_empty() {
        return Err(format!("{what} is not mounted where this process can see it"));
    }
    let reached = mounts.iter().find_map(|(top, mount)| {
        let names = match own.relation_to(top) {
            Relation::Below(names) => names.into_iter().map(str::to_owned).collect(),
            Relation::Unnamed(levels, rest) => search(root, &mount.path, levels, &rest)?,
            Relation::Elsewhere => return None,
        };
        Some(Location { mount: mount.path.clone().into_owned(), names })
    });
    reached.ok_or_else(|| format!("no mount of {what} shows this process's group {path}"))
}

/// Returns the mount point that shows the most of a hierarchy; `None` if there is no mount of it.
pub(super) fn highest(table: &MountTable<'_>, version: CgroupVersion, controller: &str) -> Option<String> {
    mounts_of(table, version, controller).first().map(|(_, mount)| mount.path.clone().into_owned())
}

/// Returns the mounts of a hierarchy that no other mount hides. Those that show the most of it come first.
fn mounts_of<'t, 'a>(
    table: &'t MountTable<'a>,
    version: CgroupVersion,
    controller: &str,
) -> Vec<(Relative<'t>, &'t Mount<'a>)> {
    let mut mounts: Vec<_> = table
        .iter()
        .filter(|mount| is_mount_of(mount, version, controller) && table.hider(mount).is_none())
        .filter_map(|mount| Some((Relative::parse(&mount.root)?, mount)))
        .collect();
    mounts.sort_by_key(|(top, _)| (std::cmp::Reverse(top.up), top.down.len()));
    mounts
}

fn is_mount_of(mount: &Mount<'_>, version: CgroupVersion, controller: &str) -> bool {
    match version {
        CgroupVersion::V1 => {
            mount.filesystem == "cgroup" && options(mount.super_options).any(|option| option == controller)
        }
        CgroupVersion::V2 => mount.filesystem == "cgroup2",
    }
}

/// Returns the names of the cgroup below `mount` that contains this process: `levels` unknown names, then `rest`.
///
/// This is how a container that mounts the host's hierarchy finds the limits of its ancestors: the kernel shows the
/// depth, but not the names.
fn search(root: &HostRoot, mount: &str, levels: usize, rest: &[&str]) -> Option<Vec<String>> {
    let pid = own_pid(root)?;
    let mut waiting = vec![Vec::new()];
    for _ in 0..SEARCHED {
        let mut names: Vec<String> = waiting.pop()?;
        let directory =
            std::iter::once(mount).chain(names.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
        if names.len() < levels {
            waiting.extend(directories(root.path(directory)).map(|name| {
                let mut below = names.clone();
                below.push(name);
                below
            }));
            continue;
        }
        names.extend(rest.iter().map(|name| (*name).to_owned()));
        let path =
            std::iter::once(mount).chain(names.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
        let processes = root.table(format!("{path}/cgroup.procs"));
        if processes.known().is_some_and(|text| text.lines().any(|line| line == pid)) {
            return Some(names);
        }
    }
    None
}

/// Returns this process's pid in its own PID namespace, as `cgroup.procs` shows it to this process.
fn own_pid(root: &HostRoot) -> Option<String> {
    if root.is_live() {
        return Some(std::process::id().to_string());
    }
    root.value("/proc/self/stat").known()?.split(' ').next().map(str::to_owned)
}

fn directories(path: PathBuf) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
}

// === impl Relative, Location ===

impl<'a> Relative<'a> {
    /// Parses a path such as `/../../a/b`; `None` if it is not absolute or goes up again after going down.
    fn parse(path: &'a str) -> Option<Self> {
        let mut names = path.strip_prefix('/')?.split('/').filter(|name| !name.is_empty()).peekable();
        let mut up = 0;
        while names.next_if_eq(&"..").is_some() {
            up += 1;
        }
        let down: Vec<_> = names.collect();
        (!down.contains(&"..")).then_some(Self { up, down })
    }

    fn relation_to(&self, top: &Self) -> Relation<'a> {
        if self.up == top.up {
            return match self.down.strip_prefix(top.down.as_slice()) {
                Some(names) => Relation::Below(names.to_vec()),
                None => Relation::Elsewhere,
            };
        }
        // The kernel's paths go up no further than necessary, so a mount that goes further up and then down is on
        // another branch.
        match top.up.checked_sub(self.up) {
            Some(levels) if top.down.is_empty() => Relation::Unnamed(levels, self.down.clone()),
            _ => Relation::Elsewhere,
        }
    }
}

impl Location {
    /// Returns the directories from this process's cgroup up to the mount.
    pub(super) fn directories(&self) -> impl Iterator<Item = String> {
        (0..=self.names.len()).rev().map(|depth| {
            let names = self.names.iter().take(depth).map(String::as_str);
            std::iter::once(self.mount.as_str()).chain(names).collect::<Vec<_>>().join("/")
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relation<'a>(own: &'a str, mounted: &str) -> Relation<'a> {
        let mounted: &'static str = Box::leak(mounted.to_owned().into_boxed_str());
        Relative::parse(own).unwrap().relation_to(&Relative::parse(mounted).unwrap())
    }

    #[test]
    fn a_group_lies_to_a_mount_as_linux_6_18_was_seen_to_say() {
        for (own, mounted, expected) in [
            // the whole hierarchy
            ("/a/b", "/", Relation::Below(vec!["a", "b"])),
            ("/", "/", Relation::Below(vec![])),
            // a container without a cgroup namespace: its own cgroup is mounted
            ("/docker/abc", "/docker/abc", Relation::Below(vec![])),
            ("/docker/abc/x", "/docker/abc", Relation::Below(vec!["x"])),
            ("/docker/abcd", "/docker/abc", Relation::Elsewhere),
            ("/docker", "/docker/abc", Relation::Elsewhere),
            // a cgroup namespace whose process has moved out of the root of the namespace
            ("/../other", "/", Relation::Elsewhere),
            ("/../other", "/..", Relation::Below(vec!["other"])),
            ("/../../x", "/../../x", Relation::Below(vec![])),
            // the host's hierarchy, mounted in a cgroup namespace
            ("/", "/../..", Relation::Unnamed(2, vec![])),
            ("/x", "/../..", Relation::Unnamed(2, vec!["x"])),
            ("/../y", "/../..", Relation::Unnamed(1, vec!["y"])),
            // another container's cgroup
            ("/", "/../other", Relation::Elsewhere),
        ] {
            assert_eq!(relation(own, mounted), expected, "{own} under {mounted}");
        }
    }

    #[test]
    fn a_path_that_goes_up_after_it_went_down_is_none() {
        for path in ["/a/..", "a", "", "/../a/../b"] {
            assert_eq!(Relative::parse(path), None, "{path}");
        }
    }

    #[test]
    fn the_way_up_begins_with_the_own_group() {
        let place = Location { mount: "/sys/fs/cgroup".into(), names: vec!["a".into(), "b".into()] };
        let directories: Vec<_> = place.directories().collect();
        assert_eq!(directories, ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"]);
    }

    proptest! {
        #[test]
        fn what_lies_below_is_the_rest_of_the_path(top in "(/[a-c]{1,3}){0,3}", rest in "(/[a-c.]{3}){0,3}") {
            let own = format!("/{top}{rest}");
            let names: Vec<_> = rest.split('/').filter(|name| !name.is_empty()).collect();
            let mounted = format!("/{top}");
            let (own, mounted) = (Relative::parse(&own).unwrap(), Relative::parse(&mounted).unwrap());
            prop_assert_eq!(own.relation_to(&mounted), Relation::Below(names));
        }

        #[test]
        fn no_text_panics(own in "\\PC*", mounted in "\\PC*") {
            if let (Some(own), Some(mounted)) = (Relative::parse(&own), Relative::parse(&mounted)) {
                let _ = own.relation_to(&mounted);
            }
        }
    }
}
