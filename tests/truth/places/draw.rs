//! Draws random places. A place depends only on its seed, so that it can be drawn again.

use super::facts::{Facts, Need};
use super::fault::{ALL, Fault, Spec};
use super::faults;
use crate::context::random::Random;
use crate::workload::Kind;
use hugeprobe::domain::catalogue::{HP101, HP102, HP105, HP106};

/// A place: a workload and its faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) faults: Vec<Fault>,
}

/// The workloads to draw from. The number of entries is the frequency; QEMU and OVS take longer and are drawn less often.
const KINDS: &[Kind] = &[
    Kind::TestpmdMemfd,
    Kind::TestpmdMemfd,
    Kind::TestpmdMemfd,
    Kind::TestpmdDir,
    Kind::TestpmdDir,
    Kind::TestpmdDir,
    Kind::TestpmdMemfdPages,
    Kind::TestpmdDirPages,
    Kind::TestpmdLegacy,
    Kind::QemuMemfd,
    Kind::QemuDir,
    Kind::QemuLazy,
    Kind::Ovs,
];

/// The numbers of faults to draw from. The number of entries is the frequency.
const COUNTS: &[usize] = &[0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 4];

/// Pairs of faults that are not combined. A pool that is resized turns its surplus pages into persistent ones.
const APART: &[[&str; 2]] = &[
    // Both say which nodes the workload uses.
    ["node", "memory-options"],
    ["node-without-memory", "memory-options"],
    ["node", "node-without-memory"],
    ["node-without-memory", "pages-on"],
    ["node-without-memory", "cpuset-mems"],
    // Without a node in its options, the workload takes pages from any, and its need says nothing of nodes.
    ["memory-options", "pages-on"],
    ["memory-options", "cpuset-mems"],
    ["memory-options", "policy"],
    ["cpuset", "cpuset-mems"],
    ["surplus", "restless"],
    ["overcommit-all", "restless"],
    ["overcommit-half", "restless"],
    // A user without rights cannot put hugeprobe into another cgroup, which says unknown.
    ["user", "frontend.max"],
    ["user", "backend.max"],
    ["user", "frontend.rsvd.max"],
    ["user", "backend.rsvd.max"],
    ["user-dir", "frontend.max"],
    ["user-dir", "backend.max"],
    ["user-dir", "frontend.rsvd.max"],
    ["user-dir", "backend.rsvd.max"],
    // In a PID namespace hugeprobe takes itself for a container, whose files say nothing of the workload's.
    ["pid-namespace", "read-only-run"],
    ["pid-namespace", "full-run"],
    ["pid-namespace", "long-run"],
    // The process that makes the PID namespace of a side counts against the limit.
    ["pid-namespace", "pids"],
    ["pid-namespace", "pids-dir"],
    ["pid-namespace", "pids-ovs"],
    // Only root has its runtime directory there.
    ["user-dir", "read-only-run"],
    ["user", "read-only-run"],
    // A mount with min_size= needs its pages at once.
    ["surplus", "min_size"],
    ["overcommit-all", "min_size"],
    ["overcommit-half", "min_size"],
    ["pool", "min_size"],
    ["surplus", "min_size-legacy"],
    ["overcommit-all", "min_size-legacy"],
    ["overcommit-half", "min_size-legacy"],
    ["pool", "min_size-legacy"],
];

/// How many of a hundred places have exactly one harmful value.
const HARMFUL: u64 = 40;
/// How many of a hundred places have any number of harmful values, at random. The remaining places have none.
const MIXED: u64 = 12;

/// Returns the place of a seed, with faults and a workload that this machine can make.
pub(crate) fn place(seed: u64, facts: &Facts) -> Place {
    let mut random = Random::seeded(seed);
    let kinds: Vec<_> = kinds().into_iter().filter(|kind| facts.runs(*kind)).collect();
    let kind = kinds[random.index(kinds.len())];
    let count = COUNTS[random.index(COUNTS.len())];
    let sort = random.below(100);
    let mut left: Vec<&'static Spec> =
        faults::all().filter(|spec| spec.kinds.contains(&kind) && can_be_made(spec, facts)).collect();
    let mut faults = Vec::new();
    for turn in 0..count {
        let is_harmful =
            if sort < HARMFUL { turn == 0 } else { sort < HARMFUL + MIXED && random.below(2) == 0 };
        let values = |spec: &Spec| if is_harmful { spec.harmful } else { spec.harmless };
        left.retain(|spec| faults.iter().all(|fault: &Fault| go_together(fault.spec.name, spec.name)));
        let fit: Vec<_> = left
            .iter()
            .copied()
            .filter(|spec| {
                !values(spec).is_empty()
                    && !by_chance(spec, is_harmful, &faults)
                    && !out_of_sight(spec, &faults)
            })
            .collect();
        let spec = of_a_dimension(&fit, &mut random);
        let values = values(spec);
        let fault = Fault { spec, value: values[random.index(values.len())] };
        let excludes = |one, other| nothing_starts(one, other) || reserves_twice(one, other);
        if !faults.iter().any(|other| excludes(&fault, other) || excludes(other, &fault)) {
            faults.push(fault);
        }
    }
    Place { kind, faults: ordered(faults) }
}

/// Returns the workloads to draw from: the one that `HUGEPROBE_PLACES_WORKLOAD` names, or all.
fn kinds() -> Vec<Kind> {
    let Ok(asked) = std::env::var("HUGEPROBE_PLACES_WORKLOAD") else { return KINDS.to_vec() };
    vec![kind(&asked)]
}

fn kind(name: &str) -> Kind {
    *ALL.iter().find(|one| one.to_string() == name.trim()).unwrap_or_else(|| panic!("no workload {name}"))
}

/// Returns whether a machine has what a fault needs.
pub(crate) fn can_be_made(spec: &Spec, facts: &Facts) -> bool {
    // Resizing the pool of a machine moves pages from node to node.
    let moves_pages = spec.name == "restless" && facts.has(Need::Nodes);
    !moves_pages && spec.needs.iter().all(|need| facts.has(*need))
}

/// Returns whether a place may have both faults.
fn go_together(one: &str, other: &str) -> bool {
    one != other && !APART.iter().any(|pair| pair.contains(&one) && pair.contains(&other))
}

/// Returns whether it would depend on the moment if the workload finds its pages: some are missing, and the pool changes.
fn by_chance(spec: &Spec, is_harmful: bool, others: &[Fault]) -> bool {
    let takes_pages = |spec: &Spec| spec.causes.iter().any(|id| [HP101, HP102, HP105, HP106].contains(id));
    let changes = |spec: &Spec| spec.name == "restless";
    let harms = |fault: &Fault| fault.spec.harmful.contains(&fault.value);
    is_harmful && takes_pages(spec) && others.iter().any(|fault| changes(fault.spec))
        || changes(spec) && others.iter().any(|fault| harms(fault) && takes_pages(fault.spec))
}

/// Returns whether the limits of a side could not be seen: what hugeprobe says then does not depend on them.
fn out_of_sight(spec: &Spec, others: &[Fault]) -> bool {
    let hides = |spec: &Spec| spec.dimension == "masked /proc and /sys";
    let of_a_side = |spec: &Spec| spec.name.starts_with("frontend.") || spec.name.starts_with("backend.");
    others.iter().any(|fault| hides(spec) && of_a_side(fault.spec) || of_a_side(spec) && hides(fault.spec))
}

/// Returns whether the limit of open files leaves no descriptor for the program's libraries, so that neither hugeprobe nor the
/// workload is loaded.
fn nothing_starts(limit: &Fault, inherited: &Fault) -> bool {
    if !limit.spec.name.starts_with("nofile") || inherited.spec.name != "inherited" {
        return false;
    }
    let soft = limit.value.split(':').next().and_then(|soft| soft.parse::<u64>().ok());
    let standard_and_inherited = 3 + inherited.value.parse::<u64>().unwrap();
    soft.is_some_and(|soft| soft <= standard_and_inherited)
}

/// Returns whether each side would mount for itself, and each mount reserve pages. There may not be enough for the second.
fn reserves_twice(mount: &Fault, size: &Fault) -> bool {
    mount.value == "in-namespace" && (size.spec.name.starts_with("min_size") || size.spec.name == "flags")
}

/// Draws a fault. Every dimension is equally likely, however many faults it has.
fn of_a_dimension(specs: &[&'static Spec], random: &mut Random) -> &'static Spec {
    let mut dimensions: Vec<&str> = specs.iter().map(|spec| spec.dimension).collect();
    dimensions.dedup();
    let dimension = dimensions[random.index(dimensions.len())];
    let its: Vec<_> = specs.iter().copied().filter(|spec| spec.dimension == dimension).collect();
    its[random.index(its.len())]
}

/// Sorts faults in the order in which they are made.
fn ordered(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by_key(|fault| faults::all().position(|spec| spec.name == fault.spec.name));
    faults
}

/// Parses a place as it is written: `testpmd, memfd | pool=-1 nofile=24`.
pub(crate) fn read(text: &str) -> Place {
    let (kind, words) = text.split_once('|').unwrap_or_else(|| panic!("no workload: {text}"));
    let kind = self::kind(kind);
    let fault = |word: &str| {
        let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("no value: {word}"));
        let spec = faults::all().find(|spec| spec.name == name).unwrap_or_else(|| panic!("no fault {name}"));
        // Any value will do: so a boundary can be found by hand.
        Fault { spec, value: String::leak(value.to_owned()) }
    };
    Place { kind, faults: ordered(words.split_whitespace().map(fault).collect()) }
}

// === impl Place ===

impl Place {
    /// Returns the same workload with these faults.
    pub(crate) fn with(&self, faults: &[Fault]) -> Self {
        Self { kind: self.kind, faults: faults.to_vec() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} |", self.kind)?;
        self.faults.iter().try_for_each(|fault| write!(f, " {fault:?}"))
    }
}
