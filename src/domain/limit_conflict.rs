//! Cgroups whose own hugetlb limit allows pages while the limit of a parent is 0. Pure: `linux::cgroup` reads the files.
//!
//! A page is charged to a cgroup and to all its parents, so such a cgroup gets no page. An in-place resize of the CPU or
//! memory of a pod has this effect: the kubelet writes 0 as the limit of the pod's cgroup, and the cgroup of each
//! container keeps its limit.
//!
//! Source: kubernetes/kubernetes#141991; seen with kubelet 1.34.4.

use serde::Serialize;

use super::cgroup::{CgroupVersion, HugetlbCounterKind};
use super::reading::Reading;
use super::size::PageSize;

/// The conflicts in a hierarchy of cgroups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LimitConflicts {
    /// The conflicts. A cgroup has one entry for each size and counter, one after another.
    pub found: Vec<LimitConflict>,
    /// Why there may be more conflicts. Empty if the whole hierarchy was read.
    pub not_read: Vec<String>,
}

/// A cgroup that gets no page although its own limit allows pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitConflict {
    /// The page size.
    pub size: PageSize,
    /// The version of the hierarchy.
    pub version: CgroupVersion,
    /// The counter whose limits are in conflict.
    pub kind: HugetlbCounterKind,
    /// The directory of the parent whose limit is 0. If several are 0, the highest.
    pub parent: String,
    /// The directory of the cgroup.
    pub directory: String,
    /// The limit of the cgroup in bytes.
    pub limit: u64,
    /// The bytes charged to the cgroup now.
    pub usage: Reading<u64>,
}

/// The limits of 0 above a cgroup: for each size and counter, the directory of the highest cgroup that has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZeroLimits(Vec<(PageSize, HugetlbCounterKind, String)>);

/// A cgroup of a pod, as its path shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodCgroup {
    /// The uid of the pod. That of a static pod is a digest without hyphens.
    pub uid: String,
    /// The id of the container; `None` for the cgroup of the pod itself.
    pub container: Option<String>,
}

/// The limit that the kubelet writes for the cgroups of its QoS classes, which have no limit of their own.
///
/// Source: `setHugePagesUnbounded()` in `pkg/kubelet/cm/qos_container_manager_linux.go`.
const UNBOUNDED: u64 = 1 << 62;

// === impl ZeroLimits ===

impl ZeroLimits {
    /// Returns the directory of the highest cgroup whose limit is 0.
    #[must_use]
    pub fn find(&self, size: PageSize, kind: HugetlbCounterKind) -> Option<&str> {
        let mut all = self.0.iter();
        all.find(|(its, of, _)| (*its, *of) == (size, kind)).map(|(.., directory)| directory.as_str())
    }

    /// Adds the limit of the cgroup at `directory`, which is below those that were added before. Returns the parent with
    /// the limit 0 if the two limits are in conflict.
    ///
    /// A cgroup without a limit is not in conflict: some container runtimes set no limits, and those of the pod's cgroup
    /// then apply to the container. A limit of 0 below another 0 is normal, because a runtime sets 0 for the sizes that
    /// a container does not request.
    pub fn descend(
        &mut self,
        size: PageSize,
        kind: HugetlbCounterKind,
        limit: Option<u64>,
        directory: &str,
    ) -> Option<&str> {
        match limit {
            Some(0) if self.find(size, kind).is_none() => {
                self.0.push((size, kind, directory.to_owned()));
                None
            }
            Some(1..UNBOUNDED) => self.find(size, kind),
            _ => None,
        }
    }
}

// === impl PodCgroup ===

impl PodCgroup {
    /// Returns the pod that a cgroup belongs to, and its container.
    ///
    /// With the cgroupfs driver a path ends in `/podUID/CONTAINER`, with the systemd driver in
    /// `/kubepods-burstable-podUID.slice/cri-containerd-CONTAINER.scope`, where the uid has `_` in place of `-`.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let mut names = path.split('/').skip_while(|name| pod_uid(name).is_none());
        let uid = pod_uid(names.next()?)?;
        Some(Self { uid, container: names.next().map(container_id) })
    }
}

/// Returns the uid in the name of a pod's cgroup: `pod` and a uid, also at the end of the name of a slice.
fn pod_uid(name: &str) -> Option<String> {
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let (before, uid) = name.rsplit_once("pod")?;
    let uid = uid.replace('_', "-");
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let is_uid = digits == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (is_uid && (before.is_empty() || before.ends_with('-'))).then_some(uid)
}

/// Returns the id in the name of a container's cgroup, without the prefix and the suffix of the systemd driver.
fn container_id(name: &str) -> String {
    let scope = name.strip_suffix(".scope").unwrap_or(name);
    scope.rsplit_once('-').map_or(scope, |(_, id)| id).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAULT: HugetlbCounterKind = HugetlbCounterKind::Fault;
    const UID: &str = "4fb5ca06-9dd5-496f-ba80-53309ce5fc88";

    fn size(text: &str) -> PageSize {
        text.parse().unwrap()
    }

    /// Returns the parent that the last of these limits is in conflict with, from the top down.
    fn conflict(limits: &[Option<u64>]) -> Option<String> {
        let mut zeros = ZeroLimits::default();
        let mut last = None;
        for (depth, limit) in limits.iter().enumerate() {
            let parent = zeros.descend(size("2Mi"), FAULT, *limit, &depth.to_string());
            last = parent.map(str::to_owned);
        }
        last
    }

    #[test]
    fn only_a_finite_limit_above_0_is_in_conflict_with_a_parent_of_0() {
        let page = Some(2 << 20);
        for (limits, parent) in [
            (&[Some(0), page][..], Some("0")),
            (&[None, Some(0), page], Some("1")),
            (&[Some(UNBOUNDED), page, Some(0), None, page], Some("2")),
            (&[Some(0), Some(0), page], Some("0")),
            (&[Some(0), page, page], Some("0")),
            (&[Some(0), None], None),
            (&[Some(0), Some(0)], None),
            (&[Some(0), Some(UNBOUNDED)], None),
            (&[Some(0), Some(UNBOUNDED - 1)], Some("0")),
            (&[page, page], None),
            (&[page, Some(0)], None),
            (&[None, page], None),
        ] {
            assert_eq!(conflict(limits).as_deref(), parent, "{limits:?}");
        }
    }

    #[test]
    fn sizes_and_counters_are_apart() {
        let mut zeros = ZeroLimits::default();
        assert_eq!(zeros.descend(size("2Mi"), FAULT, Some(0), "/a"), None);
        assert_eq!(zeros.descend(size("1Gi"), FAULT, Some(1 << 30), "/a/b"), None);
        let reservation = HugetlbCounterKind::Reservation;
        assert_eq!(zeros.descend(size("2Mi"), reservation, Some(2 << 20), "/a/b"), None);
        assert_eq!(zeros.descend(size("2Mi"), FAULT, Some(2 << 20), "/a/b"), Some("/a"));
    }

    #[test]
    fn a_pod_and_its_container_are_named_by_the_path_of_either_driver() {
        let id = "0123456789abcdef".repeat(4);
        let slices = "/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice";
        let slice = format!("{slices}/kubepods-burstable-pod{}.slice", UID.replace('-', "_"));
        let digest = "5c9d0bb3a1f0e7d4c2b6a89f01234567";
        for (path, uid, container) in [
            (format!("/kubepods/burstable/pod{UID}"), UID, None),
            (format!("/x/kubepods/pod{UID}/{id}"), UID, Some(id.as_str())),
            (format!("/kubepods/pod{UID}/{id}/nested"), UID, Some(&id)),
            (format!("/kubepods/burstable/pod{digest}/{id}"), digest, Some(&id)),
            (slice.clone(), UID, None),
            (format!("{slice}/cri-containerd-{id}.scope"), UID, Some(&id)),
            (format!("{slice}/crio-{id}.scope"), UID, Some(&id)),
        ] {
            let expected = PodCgroup { uid: uid.to_owned(), container: container.map(str::to_owned) };
            assert_eq!(PodCgroup::of(&path), Some(expected), "{path}");
        }
        for path in ["/", "/kubepods", "/podman.service", "/user.slice/pod1/2", "/a/libpod-0123.scope"] {
            assert_eq!(PodCgroup::of(path), None, "{path}");
        }
        assert_eq!(PodCgroup::of(&format!("/x/libpod{digest}")), None, "a name that only ends like a pod's");
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/|pod|[0-9a-f_-]{32,36}|\\.slice|\\.scope|\\PC)*") {
            let _ = PodCgroup::of(&path);
        }
    }
}
