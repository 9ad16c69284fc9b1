//! HP101 to HP104 and HP106 to HP108: the kernel's pools, what is free in them, and how they compare with what is
//! required.

mod asked;
mod dpdk;
#[cfg(test)]
mod tests;

use super::about::{About, NoPool, trouble, untold, with_counters, without_cpu};
use super::common::{PAGES_OF_ALL_STEPS, count, needed};
use super::holders;
use crate::catalogue::{HP101, HP102, HP106, HP107, HP108};
use crate::check::{Because, Finding, Outcome};
use crate::inventory::{BootRequest, Inventory};
use crate::pool_id::PoolId;
use crate::reading::Reading;
use crate::request::Request;
use crate::size::{PageSize, human_bytes};

/// Returns one finding about `size` for each of HP101 to HP107.
#[must_use]
pub fn inspect(inventory: &Inventory, request: &Request, size: PageSize) -> Vec<Finding> {
    let about = About::new(inventory, request, size);
    vec![
        present(&about),
        free(&about),
        asked::expected(&about),
        asked::booted(&about),
        holders::owned(&about),
        persistent(&about),
        cpu(&about),
    ]
}

/// Returns HP101 about the machine if the pools cannot be listed and no size was requested. This differs from a machine
/// without pools, so the outcome is unknown.
pub(super) fn unlisted(inventory: &Inventory, sizes: &[PageSize]) -> Option<Finding> {
    let why = inventory.pools.why_unknown().filter(|_| sizes.is_empty() && inventory.pools.is_trouble())?;
    let because = Because::new("a directory per size that the kernel offers", why)
        .remedy("run hugeprobe where /sys/kernel/mm/hugepages can be read, or name the size with --size");
    Some(Finding::not_pass(HP101, None, Outcome::Unknown, "the pools cannot be listed", because))
}

/// Returns HP108, which is about the machine.
#[must_use]
pub fn inspect_machine(inventory: &Inventory) -> Vec<Finding> {
    let finding = match &inventory.hardware_corrupted_bytes {
        Reading::Known(0) => Finding::pass(HP108, None, "no memory set aside as broken"),
        Reading::Known(bytes) => {
            let seen = format!("{} set aside as broken", human_bytes(*bytes));
            Finding::not_pass(HP108, None, Outcome::Warn, seen.clone(), Because::new("none", seen))
                .with("hardware_corrupted_bytes", bytes)
        }
        Reading::Absent => Finding::skip(HP108, None, "this kernel does not look for memory errors"),
        Reading::Unreadable(why) | Reading::Malformed(why) => untold(HP108, None, why),
    };
    vec![finding]
}

/// Returns HP101.
fn present(about: &About<'_>) -> Finding {
    let size = about.size;
    let none = |seen: &str, remedy: &str| match about.wanted() {
        None => Finding::skip(HP101, size, seen),
        Some(wanted) => {
            let because = Because::new(format!("pages of {size}: {wanted}"), seen).remedy(remedy);
            Finding::not_pass(HP101, size, Outcome::Fail, format!("{seen}, although {wanted}"), because)
        }
    };
    let pool = match &about.pool {
        Ok(pool) => *pool,
        Err(NoPool::Untold(why)) => return untold(HP101, size, why),
        Err(NoPool::None(why)) => {
            return none(why, &other_size(about));
        }
    };
    if about.inventory.pools_hidden && about.request.workload.uses_dpdk() {
        let because = Because::new(
            "/sys/kernel/mm/hugepages lists the pools, and DPDK reads them there",
            "it lists none, although /proc/meminfo has the pool",
        )
        .remedy("let the workload see /sys/kernel/mm/hugepages; read-only is enough");
        let summary = "DPDK finds no pool: /sys/kernel/mm/hugepages is hidden";
        return Finding::not_pass(HP101, size, Outcome::Fail, summary, because);
    }
    let finding = match (&pool.total, &pool.overcommit) {
        (Reading::Known(total @ 1..), _) => {
            Finding::pass(HP101, size, count(*total, "page") + &without_cpu(about, |_| true))
        }
        (Reading::Known(0), Reading::Known(0)) => {
            let file = PoolId::machine(size).file("nr_hugepages");
            let remedy = format!(
                "{}reserve pages at boot (hugepagesz={} hugepages=PAGES), or now:\n  echo PAGES > {file}",
                other_pages(about),
                size.mount_option()
            );
            none("the pool is empty", &remedy)
        }
        (Reading::Known(0), Reading::Known(more)) => {
            Finding::pass(HP101, size, format!("no persistent page, up to {more} by overcommit"))
        }
        (total, overcommit) => untold(HP101, size, trouble(&[total, overcommit])),
    };
    let finding = if finding.outcome == Outcome::Pass { with_default_size(about, finding) } else { finding };
    with_counters(finding, pool)
}

/// Returns the start of the remedy for an empty pool: the other pools with available pages, and their mounts. Empty
/// without `--dir`.
fn other_pages(about: &About<'_>) -> String {
    if about.request.directory.is_none() {
        return String::new();
    }
    let pools = about.inventory.pools.known().map(Vec::as_slice).unwrap_or_default();
    let others = pools.iter().filter(|pool| pool.size != about.size);
    let told = others.filter_map(|pool| {
        let free = pool.available().filter(|free| *free > 0)?;
        let mount = about.inventory.visible_mount(pool.size).map_or_else(
            || format!("mount a hugetlbfs of {}", pool.size),
            |mount| format!("--dir {}", mount.path),
        );
        Some(format!(
            "use the {} of {} that {} free ({mount}), or ",
            count(free, "page"),
            pool.size,
            if free == 1 { "is" } else { "are" }
        ))
    });
    told.collect()
}

/// Returns the remedy for a size that the kernel does not offer.
///
/// An x86 kernel before 5.0 whose command line names page sizes offers only those.
fn other_size(about: &About<'_>) -> String {
    let size = about.size;
    let boot = about.inventory.boot.known();
    let is_named = |boot: &BootRequest| {
        boot.default_size == Some(size) || boot.pools.iter().any(|pool| pool.size == Some(size))
    };
    if about.inventory.cpu_1gi != Reading::Absent
        && size.bytes() == 2 << 20
        && boot.is_some_and(|boot| boot.names_a_size() && !is_named(boot))
    {
        return format!(
            "add hugepagesz={} to the kernel's command line and boot again: this kernel offers only the sizes named there; \
             or request a size that it offers",
            size.mount_option()
        );
    }
    "request a size that the kernel offers, or run a kernel that offers this one".to_owned()
}

/// Returns a failure instead of `finding` if DPDK cannot read the default page size, without which EAL aborts
/// (`get_default_hp_size()` in `lib/eal/linux/eal_hugepage_info.c`).
fn with_default_size(about: &About<'_>, finding: Finding) -> Finding {
    let why = match &about.inventory.default_size {
        _ if !about.request.workload.uses_dpdk() => return finding,
        Reading::Known(_) => return finding,
        Reading::Absent => "/proc/meminfo has no line Hugepagesize",
        Reading::Unreadable(why) | Reading::Malformed(why) => why,
    };
    let because = Because::new("the default page size in /proc/meminfo", why)
        .remedy("do not mask /proc/meminfo: DPDK stops at start if it cannot read Hugepagesize there");
    let summary = "DPDK cannot read the default page size from /proc/meminfo";
    Finding::not_pass(HP101, about.size, Outcome::Fail, summary, because)
}

/// Returns HP102.
fn free(about: &About<'_>) -> Finding {
    let size = about.size;
    let pool = match &about.pool {
        Ok(pool) => *pool,
        Err(none) => return none.finding(HP102, size),
    };
    let (Some(total), Some(free), Some(reserved)) = (pool.total.get(), pool.free.get(), pool.reserved.get())
    else {
        return with_counters(untold(HP102, size, trouble(&[&pool.total, &pool.free, &pool.reserved])), pool);
    };
    if let Some(finding) = dpdk::beyond_cpus(about, pool) {
        return with_counters(finding, pool);
    }
    let available = free.saturating_sub(reserved);
    let summary = match (free, reserved) {
        (0, _) => format!("no free page: {} in use", count(total, "page")),
        (_, 0) => format!("{free} of {total} free"),
        _ if available == 0 => {
            format!("no available page: {free} of {total} are free, and all of those are reserved")
        }
        _ => format!("{free} of {total} free, {reserved} of them reserved"),
    };
    let kept = about.inventory.kept_for_directory(size);
    let finding = match (available, pool.growable()) {
        (0, Some(0)) if total == 0 => Finding::skip(HP102, size, "the pool is empty"),
        (0, _) if needed(about.request, size).is_some() => {
            Finding::skip(HP102, size, format!("{summary}; HP509 checks --need"))
        }
        _ if kept > 0 => {
            Finding::pass(HP102, size, format!("{summary}; min_size= keeps {kept} for this mount"))
        }
        (0, None) => untold(HP102, size, trouble(&[&pool.overcommit, &pool.surplus])),
        (0, Some(0)) => {
            let because = Because::new("a free page that is not reserved", summary.clone());
            Finding::not_pass(HP102, size, Outcome::Unknown, summary, because)
        }
        (0, Some(more)) => Finding::pass(HP102, size, format!("none free, up to {more} more by overcommit")),
        (_, more) if available.saturating_add(more.unwrap_or(0)) < PAGES_OF_ALL_STEPS => {
            let because = Because::new(count(PAGES_OF_ALL_STEPS, "page"), count(available, "page"))
                .remedy("free or add one more page: some steps need two");
            Finding::not_pass(
                HP102,
                size,
                Outcome::Warn,
                format!("{summary}: not enough for every step"),
                because,
            )
        }
        _ => Finding::pass(HP102, size, summary),
    };
    with_counters(finding, pool)
}

/// Returns HP106.
fn persistent(about: &About<'_>) -> Finding {
    let size = about.size;
    let pool = match &about.pool {
        Ok(pool) => *pool,
        Err(none) => return none.finding(HP106, size),
    };
    let warn = |summary: String| {
        let remedy = format!(
            "make the pool as large as the workloads need, and do not let it grow by itself:\n  echo PAGES > {}\n  \
             echo 0 > {}",
            PoolId::machine(size).file("nr_hugepages"),
            PoolId::machine(size).file("nr_overcommit_hugepages"),
        );
        let because = Because::new("persistent pages only", summary.clone()).remedy(remedy);
        Finding::not_pass(HP106, size, Outcome::Warn, summary, because)
    };
    if let Some(finding) = dpdk::no_overcommit(about, pool, &PoolId::machine(size).file("nr_hugepages")) {
        return with_counters(finding, pool);
    }
    let finding = match (pool.total.get(), pool.surplus.get(), pool.overcommit.get()) {
        (Some(0), Some(_), Some(0)) => Finding::skip(HP106, size, "the pool is empty"),
        (Some(total), Some(surplus @ 1..), _) => {
            warn(format!("surplus: {surplus} of {}", count(total, "page")))
        }
        (Some(0), Some(0), Some(more)) => {
            warn(format!("no persistent page, only up to {more} by overcommit"))
        }
        (Some(_), Some(0), Some(more @ 1..)) if pool.available() == Some(0) => {
            warn(format!("no persistent page is available, only up to {more} by overcommit"))
        }
        (Some(1..), Some(0), _) => Finding::pass(HP106, size, "no surplus"),
        _ => untold(HP106, size, trouble(&[&pool.total, &pool.surplus, &pool.overcommit])),
    };
    with_counters(finding, pool)
}

/// Returns HP107.
fn cpu(about: &About<'_>) -> Finding {
    let size = about.size;
    if size.bytes() != 1 << 30 {
        return Finding::skip(HP107, size, "applies to 1Gi only");
    }
    match &about.inventory.cpu_1gi {
        Reading::Known(true) => Finding::pass(HP107, size, "the CPU has pdpe1gb"),
        Reading::Known(false) => match about.wanted() {
            None => Finding::skip(HP107, size, "the CPU has no pdpe1gb, and 1Gi is not required"),
            Some(wanted) => {
                let because = Because::new("the CPU flag pdpe1gb", "no such flag in /proc/cpuinfo");
                Finding::not_pass(
                    HP107,
                    size,
                    Outcome::Fail,
                    format!("the CPU has no pdpe1gb, although {wanted}"),
                    because,
                )
            }
        },
        Reading::Absent => Finding::skip(HP107, size, "not an x86 CPU"),
        Reading::Unreadable(why) | Reading::Malformed(why) => untold(HP107, size, why),
    }
}
