//! Judges the facts about the machine and the Node: page sizes, findings, and what a probe would test.
//!
//! The agent judges the pools as they are configured, not as they are used, because the number of pages in use
//! changes all the time without a change that matters.

use serde_json::json;

use super::node::NodeView;
use super::size_state::About;
use super::state::{Judged, Reconciler};
use crate::config::Profile;
use crate::names;
use hugeprobe_domain::catalogue::{HP102, HP105, HP413};
use hugeprobe_domain::check::{Finding, Outcome, Verdict};
use hugeprobe_domain::inspect;
use hugeprobe_domain::inspect::kubernetes::{self as cluster, PodUse};
use hugeprobe_domain::inventory::{HugeMount, Inventory, Pool};
use hugeprobe_domain::judge;
use hugeprobe_domain::plan::{Plan, PlannedCheck};
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::request::Request;
use hugeprobe_domain::size::PageSize;
use hugeprobe_probe::planning;

/// How long pages must be in use outside pods before that is a finding, in milliseconds. The agent may see the end of
/// a pod before or after its pages are free.
const OUTSIDE_MS: u64 = 60_000;

/// How long to wait before a changed pool is probed, in milliseconds. The agent may read a pool while its size is
/// still being changed.
const SOONEST_MS: u64 = 2_000;

impl Reconciler {
    /// Makes all inspections again.
    pub(super) fn inspect(&mut self) {
        let Some((inventory, node)) =
            self.observed.inventory.as_ref().zip(self.observed.node.as_ref().and_then(Option::as_ref))
        else {
            return;
        };
        let configured = configured(inventory);
        let request = self.config.request(&node.labels);
        let sizes = planning::sizes(&configured, &request);
        let now = self.clock.now();
        let boot = inventory.host.boot_id.known().cloned();

        self.sizes.retain(|size, _| sizes.contains(size));
        for &size in &sizes {
            let about = boot.as_deref().map(|boot| self.about(boot, &configured, node, &request, size));
            let persistent = configured.pool(size).and_then(Pool::persistent);
            let state = self.sizes.entry(size).or_default();
            let capacity = node.capacity(size);
            state.may_be_tried = persistent != Some(0)
                && configured.pool(size).is_some()
                && capacity != Reading::Absent
                && capacity.get().is_none_or(|pages| pages > 0);
            state.is_about(about, now.after(SOONEST_MS));
        }

        let mut findings = inspect::kernel(&configured, &request, &sizes);
        findings.retain(|finding| ![HP102, HP105].contains(&finding.id));
        for &size in &sizes {
            findings.push(self.holders(inventory, &request, size));
            findings.push(self.limit_conflicts(inventory, size));
            findings.push(cluster::capacity(&configured, &request, size, &node.capacity(size)));
            let outside = self.outside(inventory, node, size);
            let state = self.sizes.entry(size).or_default();
            findings.push(lasting(outside, &mut state.outside_since, now));
            if state.may_be_tried {
                findings.push(cluster::admission(size, &state.admission(now)));
                findings.extend(state.findings(now).iter().cloned());
            }
        }
        let nothing: Vec<_> =
            sizes.iter().copied().filter(|&size| planning::is_nothing(&configured, &request, size)).collect();
        findings.retain(|finding| {
            finding.outcome != Outcome::Skip || !finding.size.is_some_and(|size| nothing.contains(&size))
        });
        findings.sort_by_key(|finding| (finding.size.is_none(), finding.size, finding.id));
        self.judged = Some(self.judge(sizes, nothing, &findings));
        self.findings = findings;
        self.configured = configured;
    }

    /// Returns the verdict of the node and of each size.
    ///
    /// A size passes if a conclusive probe that is still valid passed, and no other finding is worse. In the plan
    /// HP203 represents that probe, and it is mandatory.
    fn judge(&self, sizes: Vec<PageSize>, nothing_there: Vec<PageSize>, findings: &[Finding]) -> Judged {
        let evidence = |&size: &PageSize| PlannedCheck {
            id: hugeprobe_domain::catalogue::HP203,
            size: Some(size),
            roles: Vec::new(),
            mandatory: true,
        };
        let items = sizes.iter().filter(|size| !nothing_there.contains(size)).map(evidence).collect();
        let plan = Plan { sizes, nothing_there, items };
        let mut verdicts = judge::judge(&plan, &Request::default(), findings);
        for one in &mut verdicts {
            let Some(state) = self.sizes.get(&one.size).filter(|state| state.may_be_tried) else { continue };
            // Without a valid probe the verdict is unknown, even if everything else passes.
            let probed =
                state.valid_result(self.clock.now()).map_or(Verdict::Unknown, |result| result.verdict);
            one.verdict = one.verdict.max(probed);
        }
        let verdict = judge::machine(&verdicts, &Request::default(), findings);
        Judged { verdict, sizes: verdicts }
    }

    /// Returns HP105, which is skipped unless the owners of pages were looked up.
    fn holders(&self, inventory: &Inventory, request: &Request, size: PageSize) -> Finding {
        let skipped =
            || Finding::skip(HP105, size, "only the privileged profile can look up the owners of pages");
        if self.config.profile == Profile::Restricted {
            return skipped();
        }
        let of_size = inspect::pools::inspect(inventory, request, size);
        of_size.into_iter().find(|finding| finding.id == HP105).unwrap_or_else(skipped)
    }

    /// Returns HP413, which is skipped unless the cgroups of the host were read.
    fn limit_conflicts(&self, inventory: &Inventory, size: PageSize) -> Finding {
        if self.config.profile == Profile::Restricted {
            return Finding::skip(
                HP413,
                size,
                "only the privileged profile can read the cgroups of other pods",
            );
        }
        inspect::conflicts::inspect(inventory, size, &self.observed.pod_names)
    }

    /// Returns HP202.
    fn outside(&self, inventory: &Inventory, node: &NodeView, size: PageSize) -> Finding {
        let unseen = || match (self.config.profile, self.config.pod_accounting) {
            (Profile::Restricted, false) => {
                "no permission to list the pods of the node: set podAccounting, or use the privileged profile"
            }
            _ => "the pages used by pods are not known yet",
        };
        let usage = self.observed.usage.clone().unwrap_or_else(|| PodUse::NotSeen(unseen().to_owned()));
        cluster::outside(inventory, size, &node.capacity(size), &usage)
    }

    /// Returns the digests of what a probe of `size` would test.
    fn about(
        &self,
        boot: &str,
        configured: &Inventory,
        node: &NodeView,
        request: &Request,
        size: PageSize,
    ) -> About {
        let config = &self.config;
        let probe = &config.probe;
        let mounts: Vec<_> =
            configured.mounts.known().into_iter().flatten().filter(|mount| is_of_the_host(mount)).collect();
        let mounts: Vec<_> = (mounts.iter())
            .map(|mount| {
                json!([
                    mount.path,
                    mount.size,
                    mount.limit_bytes,
                    mount.min_bytes,
                    mount.inodes,
                    mount.read_only
                ])
            })
            .collect();
        let pool = configured.pool(size);
        let configuration = json!({
            "boot": boot,
            "size": size,
            "pages": pool.map(|pool| &pool.total),
            "numa": pool.map(|pool| pool.numa.iter().map(|one| (one.node, one.total.clone())).collect::<Vec<_>>()),
            "mounts": mounts,
            "need": request.need.iter().filter(|need| need.size == size).collect::<Vec<_>>(),
            "profile": format!("{:?} {:?} {:?}", config.profile, config.mode, config.workload_seccomp),
            "workload": config.workload,
            "ids": [probe.run_as_user, probe.run_as_group, probe.fs_group],
            "runtime": probe.runtime_class_name,
            "hostUsers": probe.host_users,
            "claims": format!("{:?}", probe.resource_claims),
            "peer": config.peer.as_ref().map(|peer| (format!("{:?}", peer.source), peer.listen)),
        });
        let configuration = names::digest([configuration.to_string().as_str()]);
        let overcommit = self
            .observed
            .inventory
            .as_ref()
            .and_then(|inventory| inventory.pool(size))
            .map(|pool| &pool.overcommit);
        let due = json!({
            "capacity": node.capacity(size),
            "expect": request.expect.iter().filter(|one| one.size == size).collect::<Vec<_>>(),
            "overcommit": overcommit,
            "image": probe.image,
            "selinux": probe.se_linux_options,
            "version": env!("CARGO_PKG_VERSION"),
            "pages": probe.pages(size),
        });
        let due = names::digest([configuration.as_str(), due.to_string().as_str()]);
        About { configuration, due }
    }
}

/// Returns the inventory with each pool as it is configured: only persistent pages, all of them free. Kubernetes
/// counts only persistent pages.
fn configured(inventory: &Inventory) -> Inventory {
    let persistent = |total: &Reading<u64>, surplus: &Reading<u64>| match (total.get(), surplus.get()) {
        (Some(total), Some(surplus)) => (Reading::Known(total.saturating_sub(surplus)), Reading::Known(0)),
        _ => (total.clone(), surplus.clone()),
    };
    let mut configured = inventory.clone();
    for pool in configured.pools.known_mut().into_iter().flatten() {
        (pool.total, pool.surplus) = persistent(&pool.total, &pool.surplus);
        pool.free = pool.total.clone();
        pool.reserved = Reading::Known(0);
        pool.overcommit = Reading::Known(0);
        for node in &mut pool.numa {
            (node.total, node.surplus) = persistent(&node.total, &node.surplus);
            node.free = node.total.clone();
        }
    }
    configured.holders = None;
    configured.limit_conflicts = Reading::Absent;
    configured
}

/// Returns whether a mount belongs to the host. Mounts that pods were given, hugeprobe's probe pods included, do not
/// count because they come and go.
fn is_of_the_host(mount: &HugeMount) -> bool {
    !mount.path.contains("kubernetes.io~empty-dir")
}

/// Returns the finding if it has lasted for [`OUTSIDE_MS`], and a pass before that.
fn lasting(finding: Finding, since: &mut Option<super::clock::Moment>, now: super::clock::Moment) -> Finding {
    if finding.outcome <= Outcome::Pass || finding.outcome == Outcome::Unknown {
        *since = None;
        return finding;
    }
    let begin = *since.get_or_insert(now);
    if now.since(begin) >= OUTSIDE_MS {
        return finding;
    }
    Finding::pass(finding.id, finding.size, "pages have been in use outside pods only for a short time")
}
