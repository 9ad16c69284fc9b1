//! HP509: allocates all pages that `--need` names, so that they are held at the same time, and frees them again.
//!
//! All needs are mapped first, so that a refused reservation is known before a page is allocated. Then each mapping is
//! bound and populated, those for a NUMA node first: pages that may be on any node must not use up the pages of a node
//! that was requested by number. What a role needs in a separate cgroup is mapped and populated in the same way after
//! everything else: this process then joins that cgroup, so that the cgroup is charged.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};

use super::AllocationTask;
use super::backing::{Backing, Held, MapError, touch};
use super::evidence::{mapping, pool};
use super::explain::{counted, error_name, file_remedy, reservation_limits, touch_remedy};
use super::numa::{NodeBinding, NodeBindingError};
use super::pool::{PoolCounters, Reservable};
use hugeprobe_domain::catalogue::HP509;
use hugeprobe_domain::check::{Because, Finding, Outcome};
use hugeprobe_domain::counters::Counters;
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::pool_id::PoolId;
use hugeprobe_domain::request::PageCount;
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::cgroup::Group;
use hugeprobe_linux::errno::{is_not_offered, named};
use hugeprobe_linux::map::Fill;

/// The maximum number of progress messages for each need.
const SLICES: u64 = 16;

/// A need, and the directory of the cgroup that is charged for it; `None` for the cgroup in which this process started.
struct Wanted {
    need: PageCount,
    cgroup: Option<String>,
}

/// A need whose pages are reserved.
struct Taken {
    wanted: Wanted,
    held: Held,
}

/// Why a need is not met.
struct Unmet {
    outcome: Outcome,
    summary: String,
    seen: String,
    remedy: String,
}

/// Allocates all needs and reports HP509.
///
/// # Errors
///
/// The reader of `output` is gone.
pub(super) fn run(task: &AllocationTask, size: PageSize, output: &mut dyn WorkerOutput) -> io::Result<()> {
    let needs = wanted(task, size);
    if needs.is_empty() {
        return output.found(Finding::skip(HP509, size, "no --need"));
    }
    let pages = needs.iter().map(|wanted| wanted.need.pages).fold(0, u64::saturating_add);
    let asked: Vec<_> = needs.iter().map(ToString::to_string).collect();
    let backing = task.directory.as_deref().map_or(Backing::Memfd, |path| Backing::hugetlbfs(Some(path)));
    let mut attempt =
        Attempt { size, backing, counters: PoolCounters::new(task, size), output, taken: Vec::new() };
    let before = attempt.counters.read();
    let outcome = attempt.all(needs)?;
    // The counters while everything is held help to explain why a need is not met.
    let held = attempt.counters.read();
    let shown: Vec<_> = attempt
        .taken
        .iter()
        .map(|t| json!({ "need": t.wanted.need, "mapping": mapping(&t.held.observe()) }))
        .collect();
    attempt.output.step(HP509, "give all pages back")?;
    let taken = std::mem::take(&mut attempt.taken);
    let given_back = taken.into_iter().map(|taken| taken.held.release()).collect::<io::Result<Vec<_>>>();
    let outcome = outcome.and_then(|()| {
        given_back
            .map(drop)
            .map_err(|error| Unmet::new("some pages were not given back", named(&error), String::new()))
    });
    let after = attempt.counters.read();
    let finding = match outcome {
        Ok(()) => Finding::pass(HP509, size, format!("{} mapped, populated and given back", counted(pages))),
        Err(unmet) => {
            let expected = format!("{} at once, {}", asked.join(" and "), backing.describe());
            let stands = held.as_ref().map_or_else(Clone::clone, stands);
            let because = Because::new(expected, format!("{}; {stands}", unmet.seen)).remedy(unmet.remedy);
            Finding::not_pass(HP509, size, unmet.outcome, unmet.summary, because)
        }
    };
    let show = |counters: &Result<Counters, String>| {
        counters.as_ref().map_or_else(|why| Value::from(why.as_str()), pool)
    };
    let pools = json!({ "before": show(&before), "held": show(&held), "after": show(&after) });
    attempt.output.found(finding.with("need", asked).with("taken", shown).with("pool", pools))
}

struct Attempt<'a> {
    size: PageSize,
    backing: Backing<'a>,
    counters: PoolCounters,
    output: &'a mut dyn WorkerOutput,
    taken: Vec<Taken>,
}

impl Attempt<'_> {
    fn all(&mut self, needs: Vec<Wanted>) -> io::Result<Result<(), Unmet>> {
        let (of_roles, here): (Vec<_>, Vec<_>) =
            needs.into_iter().partition(|wanted| wanted.cgroup.is_some());
        // This process does not leave a cgroup that it has joined, so the needs in its current cgroup come first.
        for needs in [here, of_roles] {
            let first = self.taken.len();
            for wanted in needs {
                if let Err(unmet) = self.reserve(wanted)? {
                    return Ok(Err(unmet));
                }
            }
            for index in first..self.taken.len() {
                if let Err(unmet) = self.populate(index)? {
                    return Ok(Err(unmet));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Maps one need.
    fn reserve(&mut self, wanted: Wanted) -> io::Result<Result<(), Unmet>> {
        let need = wanted.need;
        self.output.step(HP509, &format!("map {wanted} {}", self.backing.describe()))?;
        if let Err(unmet) = wanted.join() {
            return Ok(Err(unmet));
        }
        let reservable = self.counters.read().ok().map(|now| self.counters.reservable(&now));
        let Some(len) = need.len() else { return Ok(Err(Unmet::too_long(&need))) };
        match self.backing.map(len, Fill::OnTouch) {
            Ok(held) => self.taken.push(Taken { wanted, held }),
            Err(error) => return Ok(Err(self.not_promised(&need, &error, reservable))),
        }
        Ok(Ok(()))
    }

    /// Populates one need, slice by slice.
    fn populate(&mut self, index: usize) -> io::Result<Result<(), Unmet>> {
        let Some(Taken { wanted, held }) = self.taken.get(index) else { return Ok(Ok(())) };
        if let Err(unmet) = wanted.join() {
            return Ok(Err(unmet));
        }
        let need = &wanted.need;
        let allowed = self.counters.allowed();
        let binding = match need.node.map(|node| NodeBinding::new(node, &held.mapping, allowed)) {
            None => None,
            Some(Ok(binding)) => Some(binding),
            Some(Err(NodeBindingError::NoMeans(why))) => return Ok(Err(Unmet::not_asked(need, &why))),
            Some(Err(NodeBindingError::NotAllowed(why) | NodeBindingError::Refused(why))) => {
                let remedy =
                    "name a NUMA node that exists, or change the cpuset of this process (cpuset.mems)";
                return Ok(Err(Unmet::new("this process cannot use the NUMA node", why, remedy.to_owned())));
            }
        };
        let step = need.pages.div_ceil(SLICES).max(1);
        let mut first = 0;
        while first < need.pages {
            let slice = first..first.saturating_add(step).min(need.pages);
            first = slice.end;
            self.output
                .step(HP509, &format!("populate pages {} to {} of {wanted}", slice.start, slice.end - 1))?;
            if let Err(error) = take(held, slice.clone(), self.size) {
                return Ok(Err(self.refused(need, held, &slice, &error)));
            }
        }
        Ok(self.look(need, held, binding.as_ref()))
    }

    /// Checks that a populated need holds the right number of pages on the right node.
    fn look(&self, need: &PageCount, held: &Held, binding: Option<&NodeBinding>) -> Result<(), Unmet> {
        let observed = held.observe();
        if let Some(facts) = observed.smaps.known()
            && (facts.page_bytes != self.size.bytes() || observed.pages(self.size) != Some(need.pages))
        {
            let seen = format!(
                "the mapping of {need} holds {} bytes in pages of {}",
                facts.held_bytes(),
                facts.page_bytes
            );
            return Err(Unmet::new("the mapping is not as requested", seen, String::new()));
        }
        let (Some(node), Some(binding)) = (need.node, binding) else { return Ok(()) };
        let numa = observed.numa();
        let on = |wanted: &dyn Fn(u32) -> bool| {
            numa.iter().filter(|(on, _)| wanted(*on)).map(|(_, pages)| *pages).sum::<u64>()
        };
        let (here, anywhere) = (on(&|other| other == node), on(&|_| true));
        if here == need.pages || (anywhere != need.pages && matches!(binding, NodeBinding::Mbind)) {
            return Ok(());
        }
        if anywhere != need.pages {
            return Err(Unmet::not_asked(
                need,
                "the kernel does not report on which NUMA node the pages are",
            ));
        }
        if self.free_on(node).is_some_and(|free| free > 0) {
            let why = format!(
                "pages are on other nodes although node{node} has free ones: a memory policy may be the cause"
            );
            return Err(Unmet::not_asked(need, &why));
        }
        let seen = format!("by {} only {here} of {} pages came from node{node}", binding.name(), need.pages);
        let summary = format!("node{node} provided {here} of {} pages", need.pages);
        Err(Unmet::new(&summary, seen, node_remedy(node, self.size)))
    }

    fn not_promised(&self, need: &PageCount, error: &MapError, reservable: Option<Reservable>) -> Unmet {
        let to_be_had =
            reservable.map_or_else(|| "? pages".to_owned(), |reservable| counted(reservable.pages()));
        let remedy = match error {
            MapError::File(error) => file_remedy(error),
            MapError::Map { .. } if reservable.is_some_and(|reservable| reservable.pages() < need.pages) => {
                format!(
                    "enlarge the pool by {} pages: {}, or find the process that holds the pages (HP105)",
                    need.pages.saturating_sub(reservable.map_or(0, Reservable::pages)),
                    PoolId::machine(self.size).file("nr_hugepages")
                )
            }
            MapError::Map { .. } => reservation_limits(need.pages, reservable),
        };
        let (name, seen) = match error {
            MapError::File(error) => (error.to_string(), error.to_string()),
            MapError::Map { source, .. } => (
                format!("reservation refused: {} with {to_be_had} available", error_name(source)),
                format!("mmap of {need}: {}, with {to_be_had} available", named(source)),
            ),
        };
        Unmet::new(&name, seen, remedy)
    }

    /// Returns the number of free pages of a NUMA node, if known.
    fn free_on(&self, node: u32) -> Option<u64> {
        self.counters.read().ok()?.numa.iter().find(|other| other.node == node).map(|other| other.free)
    }

    /// Explains a slice of which only some pages could be allocated. smaps shows how many.
    fn refused(&self, need: &PageCount, held: &Held, slice: &Range<u64>, error: &io::Error) -> Unmet {
        let at = held.observe().pages(self.size).unwrap_or(slice.start);
        let node_free = need.node.and_then(|node| Some((node, self.free_on(node)?)));
        let remedy = match node_free {
            Some((node, 0)) => node_remedy(node, self.size),
            _ => touch_remedy(error),
        };
        let name = error_name(error);
        let seen = format!("{} after {at} pages of {need}; a write would have ended in SIGBUS", named(error));
        Unmet::new(&format!("{at} of {} pages, then {name}", need.pages), seen, remedy)
    }
}

/// Returns the needs of `size`, those on NUMA nodes first. Where that is equal, those of the roles come last.
fn wanted(task: &AllocationTask, size: PageSize) -> Vec<Wanted> {
    let here = task.need.iter().map(|need| Wanted { need: *need, cgroup: None });
    let of_roles = task
        .need_of_roles
        .iter()
        .flat_map(|role| role.need.iter().map(|need| Wanted { need: *need, cgroup: role.cgroup.clone() }));
    let mut wanted: Vec<_> = here.chain(of_roles).filter(|wanted| wanted.need.size == size).collect();
    wanted.sort_by_key(|wanted| wanted.need.node.is_none());
    wanted
}

impl Wanted {
    /// Moves this process to the cgroup that is to be charged.
    fn join(&self) -> Result<(), Unmet> {
        let Some(directory) = &self.cgroup else { return Ok(()) };
        let joined = Group::open(Path::new(directory))
            .map_err(|error| error.to_string())
            .and_then(|group| group.join().map_err(|error| format!("{directory}: {}", named(&error))));
        joined.map_err(|why| {
            let remedy = "name a cgroup that this user may write to".to_owned();
            Unmet { outcome: Outcome::Unknown, ..Unmet::new("cannot join the cgroup", why, remedy) }
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.need.fmt(f)?;
        self.cgroup.as_ref().map_or(Ok(()), |cgroup| write!(f, " in {cgroup}"))
    }
}

impl Unmet {
    fn new(summary: &str, seen: String, remedy: String) -> Self {
        Self { outcome: Outcome::Fail, summary: summary.to_owned(), seen, remedy }
    }

    fn too_long(need: &PageCount) -> Self {
        Self::new("the pages exceed the address space", need.to_string(), "request fewer pages".to_owned())
    }

    /// Returns an inconclusive result, because the node could not be tried.
    fn not_asked(need: &PageCount, why: &str) -> Self {
        let remedy = "allow mbind in the seccomp profile; check the cpuset and memory policy of this process"
            .to_owned();
        let unmet = Self::new(
            "cannot determine whether the NUMA node has the pages",
            format!("{need}: {why}"),
            remedy,
        );
        Self { outcome: Outcome::Unknown, ..unmet }
    }
}

/// Allocates a slice. If the kernel does not support MADV_POPULATE_WRITE, this writes to each page, which kills the
/// process if a page is not available.
fn take(held: &Held, slice: Range<u64>, size: PageSize) -> io::Result<()> {
    match held.mapping.populate_write(slice.clone()) {
        Err(error) if is_not_offered(&error) => {
            slice.into_iter().try_for_each(|page| touch(&held.mapping, page, size))
        }
        answer => answer,
    }
}

fn node_remedy(node: u32, size: PageSize) -> String {
    format!("give the node more pages: {}", PoolId::node(size, node).file("nr_hugepages"))
}

/// Returns text such as `the pool then had 14 free, 2 reserved, node0 14 free`.
fn stands(now: &Counters) -> String {
    let nodes: String =
        now.numa.iter().take(8).map(|node| format!(", node{} {} free", node.node, node.free)).collect();
    format!("the pool then had {} free, {} reserved{nodes}", now.free, now.reserved)
}
