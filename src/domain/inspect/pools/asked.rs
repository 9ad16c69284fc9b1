//! HP103 and HP104: the pool compared with `--expect` and with the boot command line.

use super::super::about::{About, pool_file, untold};
use super::super::common::count;
use crate::domain::catalogue::{HP103, HP104};
use crate::domain::check::{Because, Finding, Outcome};
use crate::domain::inventory::BootPool;
use crate::domain::reading::Reading;
use crate::domain::request::Expectation;

/// HP103.
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
        let summary = format!("as expected ({})", texts(&expectations));
        return about.with_numa(Finding::pass(HP103, size, summary));
    }
    let seen: Vec<_> = unmet.iter().map(|(one, pages)| seen(about, one, *pages)).collect();
    let wanted = texts(&unmet.iter().map(|(one, _)| *one).collect::<Vec<_>>());
    let because = Because::new(wanted.clone(), seen.join(", ")).remedy(remedy(about, &unmet));
    let summary = format!("not as expected ({wanted}): {}", seen.join(", "));
    about.with_numa(Finding::not_pass(HP103, size, Outcome::Fail, summary, because))
}

/// HP104.
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
        Finding::not_pass(
            HP104,
            size,
            outcome,
            format!("requested {wanted}, got {seen}"),
            Because::new(wanted, seen),
        )
    };
    about.with_numa(finding.with("asked", asked))
}

/// Where there are fewer pages than asked for: "0 on node0". Of the machine too, if no node tells.
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

/// `16 pages`, `4 on node0, 2 on node1`.
fn in_words(asked: &BootPool) -> String {
    if asked.numa.is_empty() {
        return count(asked.pages, "page");
    }
    asked.numa.iter().map(|(node, pages)| format!("{pages} on node{node}")).collect::<Vec<_>>().join(", ")
}

fn seen(about: &About<'_>, expectation: &Expectation, pages: u64) -> String {
    match expectation.node {
        None => count(pages, "page"),
        Some(node) if about.has_node(node) => format!("{pages} on node{node}"),
        Some(node) => format!("no pool on node{node}"),
    }
}

/// One command for each expectation that is not met, where there is a file to write to.
fn remedy(about: &About<'_>, unmet: &[(&Expectation, u64)]) -> String {
    let mut lines = vec!["set the pool to the number expected:".to_owned()];
    for (expectation, _) in unmet {
        let file = match expectation.node {
            _ if about.pool.is_err() => continue,
            Some(node) if about.has_node(node) => format!(
                "/sys/devices/system/node/node{node}/hugepages/{}/nr_hugepages",
                about.size.sysfs_name()
            ),
            Some(_) => continue,
            None => pool_file(about.size, "nr_hugepages"),
        };
        lines.push(format!("  echo {} > {file}", expectation.pages));
    }
    // The catalogue's remedy, if there is nothing to write to.
    if lines.len() == 1 { String::new() } else { lines.join("\n") }
}
