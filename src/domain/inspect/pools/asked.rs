//! HP103 and HP104: the pool compared with `--expect` and with the boot command line.

use super::super::about::{About, untold, without_cpu};
use super::super::common::count;
use crate::catalogue::{HP103, HP104};
use crate::check::{Because, Finding, Outcome};
use crate::inventory::{BootPool, BootRequest};
use crate::pool_id::PoolId;
use crate::reading::Reading;
use crate::request::Expectation;

/// Returns HP103.
pub(super) fn expected(about: &About<'_>) -> Finding {
    let size = about.size;
    let expectations: Vec<_> = about.expectations().collect();
    if expectations.is_empty() {
        return Finding::skip(HP103, size, "no --expect");
    }
    let mut unmet = Vec::new();
    for expectation in &expectations {
        match about.persistent(expectation.node) {
            Ok(pages) if expectation.met_by(pages) => {}
            Ok(pages) => unmet.push((*expectation, pages)),
            Err(why) => return about.with_numa(untold(HP103, size, &why)),
        }
    }
    let texts = |expectations: &[&Expectation]| {
        expectations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    if unmet.is_empty() {
        let nodes: Vec<_> = expectations.iter().filter_map(|one| one.node).collect();
        let summary = format!(
            "as expected ({}){}",
            texts(&expectations),
            without_cpu(about, |node| nodes.contains(&node))
        );
        return about.with_numa(Finding::pass(HP103, size, summary));
    }
    let seen: Vec<_> = unmet.iter().map(|(one, pages)| seen(about, one, *pages)).collect();
    let wanted = texts(&unmet.iter().map(|(one, _)| *one).collect::<Vec<_>>());
    let because = Because::new(wanted.clone(), seen.join(", ")).remedy(remedy(about, &unmet));
    let summary = format!("not as expected ({wanted}): {}", seen.join(", "));
    about.with_numa(Finding::not_pass(HP103, size, Outcome::Fail, summary, because))
}

/// Returns HP104.
pub(super) fn booted(about: &About<'_>) -> Finding {
    let size = about.size;
    let boot = match &about.inventory.boot {
        Reading::Known(boot) => boot,
        Reading::Absent => return Finding::skip(HP104, size, "the boot command line is not available"),
        Reading::Unreadable(why) | Reading::Malformed(why) => return untold(HP104, size, why),
    };
    let default = about.inventory.default_size.get();
    if boot.leaves_size_open() && default.is_none() {
        return Finding::skip(
            HP104,
            size,
            "hugepages= is given without a size, and the kernel's default size is not known",
        );
    }
    let Some(asked) = boot.asked(size, default).filter(|asked| asked.pages > 0) else {
        let ignored = boot.not_understood.join(" ");
        let why = "the boot command line requests no page of this size";
        return match ignored.as_str() {
            "" => Finding::skip(HP104, size, why),
            ignored => Finding::skip(HP104, size, format!("{why}; the kernel ignores {ignored}")),
        };
    };
    let short = match shortfalls(about, asked) {
        Ok(short) => short,
        Err(why) => return about.with_numa(untold(HP104, size, &why)),
    };
    let wanted = format!("{} at boot", in_words(asked));
    let finding = if short.is_empty() {
        Finding::pass(HP104, size, format!("requested {wanted}, all present"))
    } else {
        let outcome = if about.meets_every_expectation() { Outcome::Warn } else { Outcome::Fail };
        let seen = short.join(", ");
        let because = Because::new(wanted.clone(), seen.clone()).remedy(remedy_at_boot(about, boot, asked));
        Finding::not_pass(HP104, size, outcome, format!("requested {wanted}, got {seen}"), because)
    };
    about.with_numa(finding.with("asked", asked))
}

/// Returns the remedy if the pages are missing for a reason other than too little memory. An empty text stands for the
/// catalogue's remedy.
fn remedy_at_boot(about: &About<'_>, boot: &BootRequest, asked: &BootPool) -> String {
    const GIGANTIC: u64 = 1 << 30;
    let size = about.size;
    if about.pool.is_err() {
        return format!(
            "name a size that this kernel offers on its command line in place of {size}, and boot again"
        );
    }
    if boot.cma && size.bytes() >= GIGANTIC {
        return format!(
            "with hugetlb_cma= the kernel allocates no page of this size at boot: add them afterwards\n  echo {} > {}",
            asked.pages,
            PoolId::machine(size).file("nr_hugepages")
        );
    }
    String::new()
}

/// Returns where there are fewer pages than requested: "0 on node0". The total of the machine is compared only if no
/// node has too few.
fn shortfalls(about: &About<'_>, asked: &BootPool) -> Result<Vec<String>, String> {
    let mut short = Vec::new();
    for (node, pages) in &asked.numa {
        let there = about.persistent(Some(*node))?;
        if there < *pages {
            short.push(format!("{there} on node{node}"));
        }
    }
    let there = about.persistent(None)?;
    if short.is_empty() && there < asked.pages {
        short.push(count(there, "page"));
    }
    Ok(short)
}

/// Formats the requested pages: `16 pages`, or `4 on node0, 2 on node1`.
fn in_words(asked: &BootPool) -> String {
    if asked.numa.is_empty() {
        return count(asked.pages, "page");
    }
    asked.numa.iter().map(|(node, pages)| format!("{pages} on node{node}")).collect::<Vec<_>>().join(", ")
}

fn seen(about: &About<'_>, expectation: &Expectation, pages: u64) -> String {
    match expectation.node {
        None => count(pages, "page"),
        Some(node) => seen_on(about, node, pages),
    }
}

/// Returns `4 on node1`, or why the node has no pool. The kernel creates pools only on nodes that have memory.
fn seen_on(about: &About<'_>, node: u32, pages: u64) -> String {
    let nodes = about.inventory.nodes.known();
    match nodes.map(|nodes| nodes.iter().any(|one| one.node == node)) {
        _ if about.has_node(node) => format!("{pages} on node{node}"),
        Some(true) if about.pool.is_ok() => format!("node{node} has no memory for a pool"),
        Some(false) => format!("NUMA node {node} does not exist on this machine"),
        Some(true) | None => format!("no pool on node{node}"),
    }
}

/// Returns one command for each expectation that is not met, if there is a file to write to.
fn remedy(about: &About<'_>, unmet: &[(&Expectation, u64)]) -> String {
    let mut lines = vec!["set the pool to the number expected:".to_owned()];
    let nodes = unmet.iter().filter_map(|(expectation, _)| expectation.node);
    if about.pool.is_ok()
        && unmet.iter().all(|(one, _)| one.node.is_some())
        && !nodes.clone().any(|node| about.has_node(node))
    {
        return "expect pages of a NUMA node that has memory: `numactl --hardware` lists the nodes"
            .to_owned();
    }
    for (expectation, _) in unmet {
        let file = match expectation.node {
            _ if about.pool.is_err() => continue,
            Some(node) if !about.has_node(node) => continue,
            node => PoolId { size: about.size, node }.file("nr_hugepages"),
        };
        lines.push(format!("  echo {} > {file}", expectation.pages));
    }
    // An empty text selects the catalogue's remedy, for the case that there is no file to write to.
    if lines.len() == 1 { String::new() } else { lines.join("\n") }
}
