//! Reports as runs make them, one per situation that a reader can be in.

use hugeprobe::domain::catalogue::*;
use hugeprobe::domain::check::{Because, CheckId, Finding, Outcome, Verdict};
use hugeprobe::domain::inventory::{Host, NumaPool, Pool};
use hugeprobe::domain::peer::Peer;
use hugeprobe::domain::pool_id::PoolId;
use hugeprobe::domain::reading::Reading::{self, Absent, Known, Malformed, Unreadable};
use hugeprobe::domain::report::{Report, SCHEMA, SizeVerdict};
use hugeprobe::domain::request::Request;
use hugeprobe::domain::reserve::{GivenBack, Replayed};
use hugeprobe::domain::size::PageSize;
use serde_json::{Map, json};

mod full;
mod sound;
mod troubled;

pub(crate) use full::*;
pub(crate) use sound::*;
pub(crate) use troubled::*;

/// Every sample, by the name of the file that keeps its table.
pub(crate) fn all() -> Vec<(&'static str, Report)> {
    vec![
        ("design", design()),
        ("all_pass", all_pass()),
        ("fresh_machine", fresh_machine()),
        ("one_page_of_1gi", one_page_of_1gi()),
        ("killed_at_first_touch", killed_at_first_touch()),
        ("need_unmet", need_unmet()),
        ("unknown_counters", unknown_counters()),
        ("nothing_there", nothing_there()),
        ("nothing_of_this_size", nothing_of_this_size()),
        ("only", only()),
        ("long_lists", long_lists()),
        ("hostile", hostile()),
        ("measured", measured()),
        ("busy", busy()),
    ]
}

pub(crate) fn size(text: &str) -> PageSize {
    text.parse().unwrap()
}

pub(crate) fn report(
    verdict: Verdict,
    sizes: &[(&str, Verdict)],
    pools: Vec<Pool>,
    findings: Vec<Finding>,
) -> Report {
    Report {
        schema: SCHEMA,
        version: "0.1.0",
        time: "2026-01-31T12:00:00Z".into(),
        verdict,
        request: Request::default(),
        only: vec![],
        host: Host {
            name: "node-a".into(),
            kernel: "6.18".into(),
            boot_id: Known("5e3cbe4b-6f0c-4a8b-9ab4-0c8ad3b0a2f1".into()),
        },
        profile: "root".into(),
        duration_ms: 80,
        sizes: sizes
            .iter()
            .map(|(text, verdict)| SizeVerdict { size: size(text), verdict: *verdict })
            .collect(),
        pools,
        checks: findings.into_iter().map(Into::into).collect(),
        measurements: Map::new(),
        replayed: vec![],
    }
}

/// A pool without overcommit; `nodes` are free and total.
pub(crate) fn pool(text: &str, total: u64, free: u64, nodes: &[(u64, u64)]) -> Pool {
    Pool {
        size: size(text),
        total: Known(total),
        free: Known(free),
        reserved: Known(0),
        surplus: Known(0),
        overcommit: Known(0),
        mempolicy: Known(total),
        numa: (0..)
            .zip(nodes)
            .map(|(node, (free, total))| NumaPool {
                node,
                total: Known(*total),
                free: Known(*free),
                surplus: Known(0),
            })
            .collect(),
    }
}

fn pass(id: CheckId, about: &str, summary: &str) -> Finding {
    Finding::pass(id, about.parse().ok(), summary)
}

fn skip(id: CheckId, about: &str, reason: &str) -> Finding {
    Finding::skip(id, about.parse().ok(), reason)
}

fn not_pass(id: CheckId, about: &str, outcome: Outcome, summary: &str, because: Because) -> Finding {
    Finding::not_pass(id, about.parse().ok(), outcome, summary, because)
}

/// What an option would have called for.
fn not_asked(about: &str) -> Vec<Finding> {
    vec![
        skip(HP103, about, "no --expect"),
        skip(HP104, about, "the boot command line requests no page of this size"),
        skip(HP109, about, "no --reserve"),
        skip(HP509, about, "no --need"),
    ]
}

fn no_directory(about: &str) -> Vec<Finding> {
    [HP301, HP302, HP303, HP304]
        .map(|id| skip(id, about, "no --dir, and no mount of this size"))
        .into_iter()
        .chain([pass(HP305, about, "no mount hides another")])
        .collect()
}

fn sharing_not_built(about: &str) -> Vec<Finding> {
    [HP601, HP602, HP603, HP604]
        .map(|id| {
            let because = Because::new("the check runs", "this version does not have it");
            not_pass(id, about, Outcome::Unknown, "not built yet", because)
        })
        .into()
}

fn machine() -> Vec<Finding> {
    vec![
        pass(HP108, "", "none"),
        pass(HP403, "", "unlimited"),
        pass(HP404, "", "1048576 descriptors"),
        pass(HP405, "", "unlimited"),
        pass(HP406, "", "unlimited"),
        pass(HP407, "", "mbind, set_mempolicy, get_mempolicy let through"),
        pass(HP408, "", "CAP_IPC_LOCK"),
    ]
}

/// By size, then by id, as the report has them.
fn sorted(groups: Vec<Vec<Finding>>) -> Vec<Finding> {
    let mut findings: Vec<_> = groups.into_iter().flatten().collect();
    findings.sort_by_key(|finding| (finding.size.is_none(), finding.size, finding.id));
    findings
}
