//! One page size and all that is known of its pool: the input of HP101 to HP107.

use super::common::count;
use crate::check::{Because, CheckId, Finding, Outcome};
use crate::inventory::{DirectoryKind, Inventory, Pool};
use crate::reading::Reading;
use crate::request::{Expectation, PageCount, Request};
use crate::size::PageSize;
use crate::text::format_list;

/// A page size, with its pool and everything else that its checks look at.
pub(super) struct About<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) request: &'a Request,
    pub(super) size: PageSize,
    pub(super) pool: Result<&'a Pool, NoPool<'a>>,
}

/// Why there is no pool to examine.
pub(super) enum NoPool<'a> {
    /// The kernel does not have the pool; the text says why, in a few words.
    None(String),
    /// It is not known whether the kernel has the pool; the text says why.
    Untold(&'a str),
}

/// Returns an `unknown` finding for a value that could not be read. Every check that needs the value reports the same.
pub(super) fn untold(id: CheckId, size: impl Into<Option<PageSize>>, why: &str) -> Finding {
    let because = Because::new("a kernel file with a valid value", why).remedy(
        "make the file readable for this process; if it is readable, its content is not what the kernel writes",
    );
    Finding::not_pass(id, size, Outcome::Unknown, why, because)
}

/// Returns why one of `readings` is not known.
///
/// A file that exists but cannot be read is reported before one that does not exist, because it is more specific.
pub(super) fn trouble<'a>(readings: &[&'a Reading<u64>]) -> &'a str {
    let unreadable = readings.iter().find(|reading| reading.is_trouble());
    unreadable.and_then(|reading| reading.why_unknown()).unwrap_or("a file of the pool does not exist")
}

/// Adds the pool's counters as evidence.
pub(super) fn with_counters(finding: Finding, pool: &Pool) -> Finding {
    finding
        .with("total", &pool.total)
        .with("free", &pool.free)
        .with("reserved", &pool.reserved)
        .with("surplus", &pool.surplus)
        .with("overcommit", &pool.overcommit)
}

/// Which of the chosen NUMA nodes have pages of this size and no CPU (HBM, CXL): `; node8 has pages and no CPU`, or nothing.
pub(super) fn without_cpu(about: &About<'_>, chosen: impl Fn(u32) -> bool) -> String {
    let pools = about.pool.as_ref().map_or(&[][..], |pool| pool.numa.as_slice());
    let has_pages =
        |node| pools.iter().any(|one| one.node == node && one.total.get().is_some_and(|pages| pages > 0));
    let nodes = about.inventory.nodes.known().map(Vec::as_slice).unwrap_or_default().iter();
    let far = nodes.filter(|node| node.cpus.known().is_some_and(Vec::is_empty)).map(|node| node.node);
    match far.filter(|node| chosen(*node) && has_pages(*node)).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        [node] => format!("; node{node} has pages and no CPU"),
        nodes => format!("; nodes {} have pages and no CPU", format_list(nodes)),
    }
}

// === impl About ===

impl<'a> About<'a> {
    pub(super) fn new(inventory: &'a Inventory, request: &'a Request, size: PageSize) -> Self {
        Self { inventory, request, size, pool: find(inventory, size) }
    }

    /// Returns what requires pages of this size, an option or the boot command line, in words that follow "although".
    /// `None` if nothing does.
    pub(super) fn wanted(&self) -> Option<String> {
        let request = self.request;
        let expect =
            self.expectations().find(|one| one.pages > 0).map(|one| format!("--expect {one} requires pages"));
        let of_size = |counts: &[_], option: &str| named(counts, self.size, option);
        expect
            .or_else(|| of_size(&request.need, "--need"))
            .or_else(|| of_size(&request.frontend_need, "--frontend-need"))
            .or_else(|| of_size(&request.backend_need, "--backend-need"))
            .or_else(|| of_size(&request.reserve, "--reserve"))
            .or_else(|| self.wanted_by_directory())
            .or_else(|| {
                let boot = self.inventory.boot.known()?;
                let asked = boot.asked(self.size, self.inventory.default_size.get())?;
                (asked.pages > 0)
                    .then(|| format!("the boot command line requests {}", count(asked.pages, "page")))
            })
            .or_else(|| self.wanted_by_peer())
    }

    /// `--dir` names a hugetlbfs of this size.
    fn wanted_by_directory(&self) -> Option<String> {
        let directory = self.inventory.directory.as_ref()?;
        match directory.kind.known()? {
            DirectoryKind::Hugetlbfs { size, .. } if *size == self.size => {
                Some(format!("--dir {}, a hugetlbfs of {size}, requires pages", directory.path))
            }
            _ => None,
        }
    }

    /// `--peer` requires pages of any size, and there are none.
    fn wanted_by_peer(&self) -> Option<String> {
        let peer = self.request.peer.as_ref()?;
        let pools = self.inventory.pools.known()?;
        let is_empty = |pool: &Pool| pool.total.get() == Some(0) && pool.growable() == Some(0);
        pools.iter().all(is_empty).then(|| format!("--peer {} requires pages", peer.socket))
    }

    pub(super) fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        self.request.expect.iter().filter(|expectation| expectation.size == self.size)
    }

    /// Returns whether there is an `--expect` about this size and every one is met.
    pub(super) fn meets_every_expectation(&self) -> bool {
        let mut expectations = self.expectations().peekable();
        expectations.peek().is_some()
            && expectations.all(|one| self.persistent(one.node).is_ok_and(|pages| one.met_by(pages)))
    }

    /// Returns the persistent pages of the machine, or of a NUMA node. They are 0 if the kernel has no pool of this
    /// size.
    ///
    /// # Errors
    ///
    /// Why the number is not known.
    pub(super) fn persistent(&self, node: Option<u32>) -> Result<u64, String> {
        let pool = match &self.pool {
            Ok(pool) => *pool,
            Err(NoPool::None(_)) => return Ok(0),
            Err(NoPool::Untold(why)) => return Err((*why).to_owned()),
        };
        // A kernel without NUMA support has one node, which sysfs does not show.
        let (pages, total, surplus) = match node.map(|node| pool.numa.iter().find(|one| one.node == node)) {
            None => (pool.persistent(), &pool.total, &pool.surplus),
            Some(Some(of_node)) => (of_node.persistent(), &of_node.total, &of_node.surplus),
            Some(None) if node == Some(0) && pool.numa.is_empty() => {
                (pool.persistent(), &pool.total, &pool.surplus)
            }
            Some(None) => return Ok(0),
        };
        pages.ok_or_else(|| trouble(&[total, surplus]).to_owned())
    }

    pub(super) fn has_node(&self, node: u32) -> bool {
        self.pool.as_ref().is_ok_and(|pool| pool.numa.iter().any(|one| one.node == node))
    }

    /// Adds the counters of the pool and of each of its NUMA nodes as evidence.
    pub(super) fn with_numa(&self, finding: Finding) -> Finding {
        match &self.pool {
            Ok(pool) => with_counters(finding, pool).with("numa", &pool.numa),
            Err(_) => finding,
        }
    }
}

// === impl NoPool ===

impl NoPool<'_> {
    /// Returns the finding of a check that has no pool to examine.
    pub(super) fn finding(&self, id: CheckId, size: PageSize) -> Finding {
        match self {
            Self::None(why) => Finding::skip(id, size, why),
            Self::Untold(why) => untold(id, size, why),
        }
    }
}

fn named(counts: &[PageCount], size: PageSize, option: &str) -> Option<String> {
    counts.iter().find(|count| count.size == size).map(|count| format!("{option} {count} requires pages"))
}

fn find(inventory: &Inventory, size: PageSize) -> Result<&Pool, NoPool<'_>> {
    match &inventory.pools {
        Reading::Known(pools) => pools.iter().find(|pool| pool.size == size).ok_or_else(|| {
            let offered: Vec<_> = pools.iter().map(|pool| pool.size.to_string()).collect();
            let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
            NoPool::None(format!("the kernel does not offer {size} (it offers {offered})"))
        }),
        Reading::Absent => Err(NoPool::None("the kernel has no huge pages".to_owned())),
        Reading::Unreadable(why) | Reading::Malformed(why) => Err(NoPool::Untold(why)),
    }
}
