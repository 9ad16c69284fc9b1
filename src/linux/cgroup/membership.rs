//! `/proc/PID/cgroup`, which lists the cgroups of a process, and `/proc/cgroups`, which lists the kernel's controllers
//! (cgroups(7)).

use crate::root::{HostRoot, quoted};
use hugeprobe_domain::digits::parse_digits;
use hugeprobe_domain::reading::Reading;

/// The file in which the kernel lists the cgroups of this process.
pub(super) const MEMBERSHIPS: &str = "/proc/self/cgroup";
/// The file in which the kernel lists its controllers.
pub(super) const CONTROLLERS: &str = "/proc/cgroups";

/// A line of `/proc/PID/cgroup`: the cgroup of the process in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The number of the hierarchy; 0 is cgroup v2.
    pub hierarchy: u32,
    /// The v1 controllers, separated by commas; empty for cgroup v2.
    pub controllers: String,
    /// The path of the cgroup relative to the root of this process's cgroup namespace; `/../x` for one outside of it.
    pub path: String,
}

/// A line of `/proc/cgroups`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Controller<'a> {
    /// Its name.
    pub name: &'a str,
    /// The v1 hierarchy that the controller is attached to; 0 if there is none, which means cgroup v2.
    pub hierarchy: u32,
    /// False if the controller was disabled at boot (`cgroup_disable=`).
    pub enabled: bool,
}

/// Reads the cgroups of a process from `file`, its `/proc/PID/cgroup`.
#[must_use]
pub fn read_memberships(root: &HostRoot, file: &str) -> Reading<Vec<Membership>> {
    root.table(file).and_then(|text| match parse_memberships(&text) {
        Ok(memberships) => Reading::Known(memberships),
        Err(line) => Reading::Malformed(format!("{file} holds {line}")),
    })
}

/// Parses the text of a `/proc/PID/cgroup` file. If no hierarchy was ever mounted, the kernel shows no line at all.
///
/// # Errors
///
/// The beginning of the first line that does not have the form `number:controllers:/path`.
pub fn parse_memberships(text: &str) -> Result<Vec<Membership>, String> {
    text.lines().map(|line| parse_membership(line).ok_or_else(|| quoted(line))).collect()
}

/// Parses `/proc/cgroups`.
///
/// # Errors
///
/// The beginning of the first line that is neither a comment nor a name and three numbers.
pub fn parse_controllers(text: &str) -> Result<Vec<Controller<'_>>, String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| parse_controller(line).ok_or_else(|| format!("{CONTROLLERS} holds {}", quoted(line))))
        .collect()
}

fn parse_membership(line: &str) -> Option<Membership> {
    let (hierarchy, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let hierarchy = parse_digits(hierarchy)?;
    path.starts_with('/').then(|| Membership {
        hierarchy,
        controllers: controllers.to_owned(),
        path: path.to_owned(),
    })
}

fn parse_controller(line: &str) -> Option<Controller<'_>> {
    let mut fields = line.split_ascii_whitespace();
    let (name, hierarchy, _groups, enabled) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    Some(Controller {
        name,
        hierarchy: parse_digits(hierarchy)?,
        enabled: parse_digits::<u32>(enabled)? != 0,
    })
}

// === impl Membership ===

impl Membership {
    /// Returns whether this hierarchy is a cgroup v1 hierarchy with the controller.
    #[must_use]
    pub fn has_controller(&self, name: &str) -> bool {
        self.controllers.split(',').any(|controller| controller == name)
    }

    /// Returns whether this hierarchy is cgroup v2.
    #[must_use]
    pub fn is_v2(&self) -> bool {
        self.hierarchy == 0 && self.controllers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_mixed_layout_is_read() {
        let text = "9:name=systemd:/\n4:memory,hugetlb:/a:b/c\n0::/../x\n";
        let memberships = parse_memberships(text).unwrap();
        assert_eq!(memberships.len(), 3);
        assert!(memberships[1].has_controller("hugetlb") && !memberships[1].has_controller("huge"));
        assert!(!memberships[0].has_controller("systemd"));
        assert_eq!([&memberships[1].path, &memberships[2].path], ["/a:b/c", "/../x"]);
        assert_eq!(memberships.iter().map(Membership::is_v2).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn controllers_are_read_as_linux_6_18_shows_them() {
        let text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t3\t1\t1\nhugetlb\t0\t3\t0\n";
        let controllers = parse_controllers(text).unwrap();
        assert_eq!(controllers[0], Controller { name: "cpuset", hierarchy: 3, enabled: true });
        assert_eq!(controllers[1], Controller { name: "hugetlb", hierarchy: 0, enabled: false });
    }

    #[test]
    fn what_is_no_line_is_shown() {
        for line in ["garbage", "0:/", "x::/", "0::a", "-1::/", "0::", ""] {
            let why = parse_memberships(&format!("{line}\n")).unwrap_err();
            assert!(why.contains(line), "{line}: {why}");
        }
        for line in ["hugetlb", "hugetlb 0 1", "hugetlb x 1 1", "hugetlb 0 1 yes", ""] {
            let why = parse_controllers(&format!("{line}\n")).unwrap_err();
            assert!(why.contains(line), "{line}: {why}");
        }
        assert_eq!(parse_memberships(""), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_memberships(&text);
            let _ = parse_controllers(&text);
        }

        #[test]
        fn every_line_survives_its_own_text(hierarchy: u32, controllers in "[a-z,=]{0,12}", path in "(/[a-z:. ]{1,5}){1,4}") {
            let line = format!("{hierarchy}:{controllers}:{path}\n");
            let expected = Membership { hierarchy, controllers, path };
            prop_assert_eq!(parse_memberships(&line), Ok(vec![expected]));
        }
    }
}
