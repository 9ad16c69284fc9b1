//! HP413: whether a cgroup gets no page because the limit of a parent is 0.

use std::collections::BTreeMap;

use super::common::count;
use crate::catalogue::HP413;
use crate::cgroup::HugetlbCounterKind;
use crate::check::{Because, Finding, Outcome};
use crate::inventory::{Inventory, Pool};
use crate::limit_conflict::{LimitConflict, LimitConflicts, PodCgroup};
use crate::reading::Reading;
use crate::size::{PageSize, human_bytes};

/// How many conflicts the text of a finding describes. The evidence has more.
const SHOWN: usize = 3;
/// How many conflicts the evidence has at most.
const KEPT: usize = 100;
/// How many characters of the id of a container are shown, as crictl does.
const ID_SHOWN: usize = 13;

/// The pods of the node whose names are known, such as `default/vnf`, by uid.
pub type PodNames = BTreeMap<String, String>;

/// Returns the finding of HP413. `names` are the pods whose names are known; the others are shown by their uids.
#[must_use]
pub fn inspect(inventory: &Inventory, size: PageSize, names: &PodNames) -> Finding {
    if !inventory.pool(size).is_some_and(Pool::may_have_pages) {
        return Finding::skip(HP413, size, "there is no page of this size");
    }
    match &inventory.limit_conflicts {
        Reading::Known(conflicts) => judge(conflicts, size, names),
        Reading::Absent => Finding::pass(HP413, size, "no hugetlb cgroup controller, so no limit"),
        Reading::Unreadable(why) | Reading::Malformed(why) => Finding::skip(HP413, size, why),
    }
}

/// Returns the uids of the pods that have a conflict, of any size. A pod with several conflicts is repeated.
#[must_use]
pub fn uids(inventory: &Inventory) -> Vec<String> {
    let found = inventory.limit_conflicts.known().into_iter().flat_map(|conflicts| &conflicts.found);
    found.filter_map(LimitConflict::pod).map(|pod| pod.uid).collect()
}

/// A hierarchy of which a part is unknown gives `skip`, as HP105 does for owners that are not visible: whether a new
/// workload gets pages does not depend on the cgroups of others.
fn judge(conflicts: &LimitConflicts, size: PageSize, names: &PodNames) -> Finding {
    let found: Vec<&LimitConflict> = conflicts.found.iter().filter(|one| one.size == size).collect();
    let Some(first) = found.first() else {
        let [first, rest @ ..] = conflicts.not_read.as_slice() else {
            return Finding::pass(HP413, size, "no cgroup with pages is below a limit of 0");
        };
        let more = if rest.is_empty() { String::new() } else { format!("; and {} more", rest.len()) };
        return Finding::skip(HP413, size, format!("not every cgroup was read: {first}{more}"));
    };
    let mut directories: Vec<_> = found.iter().map(|one| one.directory.as_str()).collect();
    directories.dedup();
    let more = match directories.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" and {}", count(u64::try_from(more).unwrap_or(u64::MAX), "other cgroup")),
    };
    let summary = format!(
        "{}{more} may {} no page: {} is 0",
        first.in_words(names),
        first.verb(),
        first.whose_limit(),
    );
    let because = Because::new("no limit of 0 above a cgroup that may use pages", seen(&found))
        .remedy(first.remedy(names));
    let evidence: Vec<_> = found.iter().take(KEPT).collect();
    Finding::not_pass(HP413, size, Outcome::Warn, summary, because)
        .with("conflicts", evidence)
        .with("not_read", &conflicts.not_read)
}

fn seen(found: &[&LimitConflict]) -> String {
    let mut lines: Vec<_> = found.iter().take(SHOWN).map(|one| one.seen()).collect();
    if let Some(more @ 1..) = found.len().checked_sub(SHOWN) {
        lines.push(format!("and {more} more, listed by -o json"));
    }
    lines.join("\n")
}

// === impl LimitConflict ===

impl LimitConflict {
    fn pod(&self) -> Option<PodCgroup> {
        PodCgroup::of(&self.directory)
    }

    /// Returns `pod default/vnf (container 0123456789abc)`, with the uid if the name is not known; for a cgroup that is
    /// not a pod's, its directory.
    fn in_words(&self, names: &PodNames) -> String {
        let Some(pod) = self.pod() else { return self.directory.clone() };
        let name = names.get(&pod.uid).unwrap_or(&pod.uid);
        match &pod.container {
            Some(id) => format!("pod {name} (container {})", id.get(..ID_SHOWN).unwrap_or(id)),
            None => format!("pod {name}"),
        }
    }

    const fn verb(&self) -> &'static str {
        match self.kind {
            HugetlbCounterKind::Fault => "use",
            HugetlbCounterKind::Reservation => "reserve",
        }
    }

    fn whose_limit(&self) -> String {
        match PodCgroup::of(&self.parent) {
            Some(PodCgroup { container: None, .. }) => "the limit of the pod's cgroup".to_owned(),
            _ => format!("the limit of {}", self.parent),
        }
    }

    fn limit_of(&self, directory: &str) -> String {
        format!("{directory}/{}", self.version.limit_file(self.size, self.kind))
    }

    fn seen(&self) -> String {
        let usage = self.usage.get().map_or("an unknown amount".to_owned(), human_bytes);
        format!(
            "{} is 0; {} is {}, with {usage} in use",
            self.limit_of(&self.parent),
            self.limit_of(&self.directory),
            human_bytes(self.limit)
        )
    }

    fn remedy(&self, names: &PodNames) -> String {
        let Some(pod) = self.pod().filter(|_| PodCgroup::of(&self.parent).is_some()) else {
            return format!("raise {}, or find out what set it to 0", self.limit_of(&self.parent));
        };
        let command = match names.get(&pod.uid).and_then(|name| name.split_once('/')) {
            Some((namespace, name)) => format!("  kubectl delete pod {name} --namespace {namespace}"),
            None => format!(
                "  kubectl get pods -A -o custom-columns=:metadata.namespace,:metadata.name,:metadata.uid | grep {}",
                pod.uid
            ),
        };
        let what = if names.contains_key(&pod.uid) { "" } else { " (this shows its name)" };
        format!(
            "delete the pod, so that its controller creates a new one{what}:\n{command}\nan in-place resize of its CPU \
             or memory sets this limit to 0, see kubernetes/kubernetes#141991"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::CgroupVersion;
    use Reading::Known;

    const UID: &str = "4fb5ca06-9dd5-496f-ba80-53309ce5fc88";
    const POD: &str = "/sys/fs/cgroup/kubepods/burstable/pod4fb5ca06-9dd5-496f-ba80-53309ce5fc88";

    fn size() -> PageSize {
        "2Mi".parse().unwrap()
    }

    fn conflict(parent: &str, directory: &str, kind: HugetlbCounterKind) -> LimitConflict {
        LimitConflict {
            size: size(),
            version: CgroupVersion::V2,
            kind,
            parent: parent.to_owned(),
            directory: directory.to_owned(),
            limit: 8 << 20,
            usage: Known(2 << 20),
        }
    }

    fn inventory(limit_conflicts: Reading<LimitConflicts>, pages: u64) -> Inventory {
        let pool = Pool {
            size: size(),
            total: Known(pages),
            free: Known(pages),
            reserved: Known(0),
            surplus: Known(0),
            overcommit: Known(0),
            mempolicy: Reading::Absent,
            numa: vec![],
        };
        Inventory { pools: Known(vec![pool]), limit_conflicts, ..Inventory::default() }
    }

    fn judged(found: &[LimitConflict], names: &PodNames) -> Finding {
        let conflicts = LimitConflicts { found: found.to_vec(), not_read: vec![] };
        inspect(&inventory(Known(conflicts), 8), size(), names)
    }

    #[test]
    fn without_a_conflict_it_depends_on_what_was_read() {
        let with = |not_read: &[&str]| {
            let not_read = not_read.iter().map(|&why| why.to_owned()).collect();
            Known(LimitConflicts { found: vec![], not_read })
        };
        for (reading, pages, outcome, says) in [
            (with(&[]), 8, Outcome::Pass, "no cgroup"),
            (Reading::Absent, 8, Outcome::Pass, "no hugetlb cgroup controller"),
            (with(&["EACCES"]), 8, Outcome::Skip, "not every cgroup was read: EACCES"),
            (with(&["EACCES", "x", "y"]), 8, Outcome::Skip, "EACCES; and 2 more"),
            (Reading::Unreadable("not mounted".into()), 8, Outcome::Skip, "not mounted"),
            (with(&["EACCES"]), 0, Outcome::Skip, "there is no page of this size"),
        ] {
            let finding = inspect(&inventory(reading, pages), size(), &PodNames::new());
            assert_eq!(finding.outcome, outcome, "{finding:?}");
            assert!(finding.summary.contains(says), "{finding:?}");
        }
    }

    #[test]
    fn a_pod_is_named_and_where_its_name_is_not_known_its_uid_is() {
        let directory = format!("{POD}/{}", "0123456789abcdef".repeat(4));
        let found = [conflict(POD, &directory, HugetlbCounterKind::Fault)];
        let by_uid = judged(&found, &PodNames::new());
        assert_eq!(by_uid.outcome, Outcome::Warn);
        assert_eq!(
            by_uid.summary,
            format!(
                "pod {UID} (container 0123456789abc) may use no page: the limit of the pod's cgroup is 0"
            )
        );
        assert!(by_uid.remedy.contains(&format!("grep {UID}")), "{}", by_uid.remedy);
        assert_eq!(
            by_uid.seen,
            format!("{POD}/hugetlb.2MB.max is 0; {directory}/hugetlb.2MB.max is 8 MiB, with 2 MiB in use")
        );
        let by_name = judged(&found, &[(UID.to_owned(), "default/vnf".to_owned())].into());
        assert!(by_name.summary.starts_with("pod default/vnf (container"), "{}", by_name.summary);
        assert!(by_name.remedy.contains("kubectl delete pod vnf --namespace default"), "{}", by_name.remedy);
        assert!(by_name.remedy.contains("kubernetes/kubernetes#141991"), "{}", by_name.remedy);
        let evidence = &by_name.evidence["conflicts"][0];
        assert_eq!((&evidence["parent"], &evidence["directory"]), (&POD.into(), &directory.into()));
        assert_eq!((&evidence["limit"], &evidence["usage"]), (&(8 << 20).into(), &(2 << 20).into()));
    }

    #[test]
    fn other_cgroups_are_named_by_their_paths_and_counted_once() {
        let kinds = [HugetlbCounterKind::Fault, HugetlbCounterKind::Reservation];
        let found: Vec<_> =
            ["/a/b", "/a/c"].iter().flat_map(|at| kinds.map(|kind| conflict("/a", at, kind))).collect();
        let finding = judged(&found, &PodNames::new());
        assert_eq!(finding.summary, "/a/b and 1 other cgroup may use no page: the limit of /a is 0");
        assert!(finding.remedy.contains("raise /a/hugetlb.2MB.max"), "{}", finding.remedy);
        assert!(finding.seen.ends_with("and 1 more, listed by -o json"), "{}", finding.seen);
        let finding = judged(&found[1..2], &PodNames::new());
        assert_eq!(finding.summary, "/a/b may reserve no page: the limit of /a is 0");
        assert!(finding.seen.contains("/a/hugetlb.2MB.rsvd.max is 0"), "{}", finding.seen);
    }

    #[test]
    fn a_pod_below_another_limit_of_0_is_not_to_be_deleted() {
        let found = [conflict("/sys/fs/cgroup/kubepods", POD, HugetlbCounterKind::Fault)];
        let finding = judged(&found, &PodNames::new());
        assert!(
            finding.summary.ends_with("the limit of /sys/fs/cgroup/kubepods is 0"),
            "{}",
            finding.summary
        );
        assert!(
            finding.remedy.starts_with("raise /sys/fs/cgroup/kubepods/hugetlb.2MB.max"),
            "{}",
            finding.remedy
        );
    }

    #[test]
    fn a_conflict_of_another_size_does_not_count() {
        let other = LimitConflict {
            size: "1Gi".parse().unwrap(),
            ..conflict("/a", "/a/b", HugetlbCounterKind::Fault)
        };
        assert_eq!(judged(&[other], &PodNames::new()).outcome, Outcome::Pass);
    }
}
