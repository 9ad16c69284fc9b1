//! The backend of a session.

use std::io;

use serde_json::json;

use super::SessionTask;
use super::frontend::hex;
use super::payers::Payers;
use super::recorder::{Bad, Good, Recorder, holds_pages};
use crate::backend::{
    Backend, BackendError, End, FEATURES, Options, PROTOCOL_FEATURES, Traffic, Watch, Work,
};
use crate::channel::Channel;
use crate::message::protocol;
use crate::table::{Pages, Region, Table, TableError};
use hugeprobe_domain::catalogue::{HP601, HP602, HP603, HP604, HP605, HP608, HP609, HP610, HP611};
use hugeprobe_domain::cgroup::HugetlbCounterKind;
use hugeprobe_domain::check::{CheckId, Outcome};
use hugeprobe_domain::movement::Step;
use hugeprobe_domain::sharing::Session;
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::errno::is_not_offered;
use hugeprobe_linux::errno::named;
use hugeprobe_linux::{numa_maps, pattern, smaps};

pub(super) fn run(
    task: &SessionTask,
    session: Session,
    channel: Channel,
    recorder: &mut Recorder<'_>,
) -> io::Result<()> {
    recorder.step(HP601, "wait for the frontend's memory")?;
    let options = Options {
        pages: Pages::Of(task.size),
        work: Work::Echo,
        features: FEATURES,
        // The frontend of a session does not set a device status.
        protocol_features: PROTOCOL_FEATURES & !protocol::STATUS,
    };
    let mut look = Look {
        task,
        session,
        recorder,
        phase: Phase::Memory,
        regions: Vec::new(),
        payers: None,
        frames: 0,
        gone: None,
    };
    let mut backend = Backend::new(channel, options, &mut look);
    let end = backend.serve(task.deadline());
    let table = backend.into_table();
    if matches!(end, Ok(End::Closed)) && look.regions.len() > 1 {
        let touched = task.files(session).iter().map(|(pages, _)| pages).sum();
        let effect = Step::Release { touched, unused: 0, held: task.held_by_mount() };
        look.recorder.page_step(HP610, "unmap and close, as the last user of the files", effect)?;
    }
    drop(table);
    look.conclude(end)
}

/// Observes the session, records its checks and keeps its progress.
struct Look<'a, 'b> {
    task: &'a SessionTask,
    session: Session,
    recorder: &'a mut Recorder<'b>,
    phase: Phase,
    /// Every region seen, by device, inode and offset, and whether both sides have written to it.
    regions: Vec<([u64; 3], bool)>,
    /// The charges of the cgroups, read before this side first touched a page.
    payers: Option<Payers>,
    /// The frames that were counted in earlier phases.
    frames: u64,
    /// Set once the reader of the output is gone.
    gone: Option<io::Error>,
}

/// The part of the session that is in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Memory,
    Frames,
    NewTable,
    TwoRegions,
    Over,
}

impl Phase {
    const fn check(self) -> CheckId {
        match self {
            Self::Memory => HP601,
            Self::Frames => HP604,
            Self::NewTable => HP611,
            Self::TwoRegions | Self::Over => HP610,
        }
    }
}

/// The reason why a memory table is refused.
enum Refuse {
    Bad(CheckId, Bad),
    Gone(io::Error),
}

impl From<io::Error> for Refuse {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl Watch for Look<'_, '_> {
    fn table(&mut self, table: &Table, so_far: &Traffic) -> Result<(), String> {
        let taken = match self.session {
            Session::Small => {
                let seen = "the kernel reported pages of the requested size";
                Err(Refuse::Bad(
                    HP609,
                    Bad::fail("the backend accepts memory of 4 KiB pages", "the backend refuses it", seen),
                ))
            }
            Session::Private => self.look_at_private(table),
            _ => self.look_at(table, so_far),
        };
        match taken {
            Ok(()) => Ok(()),
            Err(Refuse::Bad(id, bad)) => {
                let why = bad.summary.clone();
                let told = self.recorder.bad(id, bad);
                self.keep(told);
                Err(why)
            }
            Err(Refuse::Gone(error)) => {
                let why = error.to_string();
                self.gone = Some(error);
                Err(why)
            }
        }
    }

    fn starting(&mut self, index: u32) {
        if self.phase == Phase::Memory {
            self.phase = Phase::Frames;
        }
        let told = self.recorder.step(self.phase.check(), &format!("serve vring {index}"));
        self.keep(told);
    }

    fn stopping(&mut self, index: u32, so_far: &Traffic) {
        // The transmit queue is stopped last.
        if index != 1 {
            return;
        }
        let next = match self.phase {
            Phase::Frames | Phase::NewTable => Phase::TwoRegions,
            Phase::Memory | Phase::TwoRegions | Phase::Over => Phase::Over,
        };
        let told = self.end_phase(next, so_far);
        self.keep(told);
    }
}

impl Look<'_, '_> {
    fn keep(&mut self, told: io::Result<()>) {
        if let Err(error) = told {
            self.gone.get_or_insert(error);
        }
    }

    /// Records that the frames of a phase have all arrived. The frontend continues only then.
    fn end_phase(&mut self, next: Phase, so_far: &Traffic) -> io::Result<()> {
        let frames = so_far.received.saturating_sub(self.frames);
        let id = self.phase.check();
        (self.frames, self.phase) = (so_far.received, next);
        let (summary, agreed) = (format!("{frames} frames echoed"), json!({ "frames": frames }));
        self.recorder.good(id, Good { summary, agreed, evidence: json!({ "traffic": so_far }) })
    }

    fn look_at(&mut self, table: &Table, so_far: &Traffic) -> Result<(), Refuse> {
        for (index, region) in table.regions().iter().enumerate() {
            let facts = region.facts();
            let identity = [facts.device, facts.inode, region.given().offset];
            match self.regions.iter().position(|(other, _)| *other == identity) {
                None => {
                    if index == 0 && self.regions.is_empty() {
                        self.look_at_file(region)?;
                    } else if self.phase == Phase::Frames {
                        self.end_phase(Phase::NewTable, so_far)?;
                    }
                    let done = self.meet(region)?;
                    self.regions.push((identity, done));
                }
                Some(at) => {
                    if let Some((_, done @ false)) = self.regions.get_mut(at) {
                        *done = true;
                        self.read(region)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Records HP601 and HP602: which file was received, and the size of its pages.
    fn look_at_file(&mut self, region: &Region) -> Result<(), Refuse> {
        let (facts, given) = (region.facts(), region.given());
        let agreed = json!({ "device": facts.device, "inode": facts.inode, "offset": given.offset });
        let summary = "the file received is the frontend's, on hugetlbfs".to_owned();
        self.recorder.good(HP601, Good { summary, agreed, evidence: json!({ "file": facts }) })?;
        let wanted = self.task.size.bytes();
        let seen = smaps::mapping_at(region.mapping().address()).map(|facts| facts.page_bytes);
        if facts.page_bytes != wanted || seen.get().is_some_and(|seen| seen != wanted) {
            let text = format!("fstatfs: {}, smaps: {seen:?}", facts.page_bytes);
            let bad = Bad::fail("pages of another size arrived", format!("pages of {wanted} bytes"), text);
            return Err(Refuse::Bad(HP602, bad));
        }
        if seen.get().is_none() {
            let text = seen.why_unknown().unwrap_or_default().to_owned();
            let bad = Bad::unknown("smaps shows no page size", "KernelPageSize of the mapping", text);
            return Err(Refuse::Bad(HP602, bad));
        }
        let agreed = json!({ "page_bytes": wanted, "is_hugetlbfs": facts.is_hugetlbfs });
        let summary = format!("{} on both sides", self.task.size);
        Ok(self.recorder.good(HP602, Good { summary, agreed, evidence: json!({ "smaps": seen }) })?)
    }

    /// Touches a region for the first time. Returns whether both sides have written to it after that.
    fn meet(&mut self, region: &Region) -> Result<bool, Refuse> {
        let memory = memory_of(region)?;
        let (_, ours) = self.task.seeds();
        let payers = self.payers.get_or_insert_with(|| Payers::now(self.task));
        if self.session.is_backend_first() {
            let effect = Step::Touch { pages: first_pages(region, self.task.size) };
            self.recorder.page_step(HP605, "take the pages of a region and write to them", effect)?;
            populate(region).map_err(|error| {
                let bad = payers.limit(HugetlbCounterKind::Fault).map_or_else(
                    || cannot_touch(Outcome::Fail, &error),
                    |limit| limit.bad("backend", &error, payers),
                );
                Refuse::Bad(HP605, bad)
            })?;
            let _ = pattern::write(&memory, self.task.page_bytes(), ours);
            return Ok(false);
        }
        self.read(region)?;
        let _ = pattern::write(&memory, self.task.page_bytes(), ours);
        Ok(true)
    }

    /// Reads and verifies what the frontend has written to a region.
    fn read(&mut self, region: &Region) -> Result<(), Refuse> {
        let is_main = self.phase == Phase::Memory;
        let id = if is_main { HP603 } else { self.phase.check() };
        let what = "read what the frontend wrote";
        match self.session.is_backend_first() {
            true => self.recorder.step(id, what)?,
            false => self.recorder.page_step(id, what, Step::Nothing)?,
        }
        let (memory, page_bytes) = (memory_of(region)?, self.task.page_bytes());
        let (theirs, ours) = self.task.seeds();
        let looked_at = pattern::compare(&memory, page_bytes, theirs).map_err(|lost| {
            let seen = format!("different bytes from byte {} of page {} of a region", lost.offset, lost.page);
            let expected = "the bytes that the frontend wrote";
            Refuse::Bad(id, Bad::fail("the frontend's bytes are not seen", expected, seen))
        })?;
        if !is_main {
            return Ok(());
        }
        let facts = smaps::mapping_at(region.mapping().address());
        holds_pages(&facts).map_err(|bad| Refuse::Bad(HP603, bad))?;
        let of_frontend = pattern::digest(&memory, page_bytes);
        let of_backend = pattern::digest_of(memory.len(), page_bytes, ours);
        let agreed = json!({ "frontend_wrote": hex(of_frontend), "backend_wrote": hex(of_backend) });
        let numa = numa_maps::nodes_of_mapping_at(region.mapping().address());
        let evidence = json!({ "smaps": facts, "numa_maps": numa, "bytes_looked_at": looked_at });
        let summary = "bytes seen both ways".to_owned();
        self.recorder.good(HP603, Good { summary, agreed, evidence })?;
        let first = if self.session.is_backend_first() { "backend" } else { "frontend" };
        let paid = self.payers.as_ref().map(Payers::paid).unwrap_or_default();
        let summary = format!("{first} first{}", paid.summary());
        let (agreed, evidence) = (json!({ "first": first }), json!({ "cgroups": paid }));
        Ok(self.recorder.good(HP605, Good { summary, agreed, evidence })?)
    }

    /// Checks HP608: the bytes of the frontend's private mapping must not be visible here.
    fn look_at_private(&mut self, table: &Table) -> Result<(), Refuse> {
        let Some(region) = table.regions().first() else { return Ok(()) };
        self.recorder.step(HP608, "take the file's page and read it")?;
        // If the page cannot be allocated, this check is inconclusive: HP606 judges whether the backend can touch it.
        populate(region).map_err(|error| Refuse::Bad(HP608, cannot_touch(Outcome::Unknown, &error)))?;
        let (memory, page_bytes) = (memory_of(region)?, self.task.page_bytes());
        let (theirs, ours) = self.task.seeds();
        if pattern::compare(&memory, page_bytes, theirs).is_ok() {
            let seen = "what the frontend wrote to its private mapping";
            return Err(Refuse::Bad(
                HP608,
                Bad::fail("a private mapping is shared", "an untouched file", seen),
            ));
        }
        if !pattern::is_zero(&memory, page_bytes) {
            let bad =
                Bad::unknown("the file has unexpected bytes", "an untouched file", "bytes of neither side");
            return Err(Refuse::Bad(HP608, bad));
        }
        let _ = pattern::write(&memory, page_bytes, ours);
        let facts = region.facts();
        let agreed = json!({ "files": [[facts.device, facts.inode]] });
        let summary = "the bytes of a private mapping were not seen".to_owned();
        Ok(self.recorder.good(HP608, Good { summary, agreed, evidence: json!({ "file": facts }) })?)
    }

    fn conclude(mut self, end: Result<End, BackendError>) -> io::Result<()> {
        if let Some(error) = self.gone.take() {
            return Err(error);
        }
        let id = self.phase.check();
        let expected = "the session completes";
        let bad = match end {
            Ok(End::Closed) => return Ok(()),
            Ok(End::Abandoned) => {
                (id, Bad::unknown("the frontend disconnected", expected, "it disconnected while rings ran"))
            }
            Ok(End::Deadline) => {
                (id, Bad::unknown("the session timed out", expected, "it was still running"))
            }
            Err(error) => {
                let seen = error.to_string();
                match error {
                    BackendError::Table { source: TableError::NotHuge { .. }, .. }
                        if self.session == Session::Small =>
                    {
                        let summary = Session::Small.in_short().to_owned();
                        let (agreed, evidence) = (json!({ "refused": true }), json!({ "why": seen }));
                        return self.recorder.good(HP609, Good { summary, agreed, evidence });
                    }
                    BackendError::Table {
                        source: TableError::NotHuge { .. } | TableError::OtherSize { .. },
                        ..
                    } => {
                        let expected = format!("pages of {}", self.task.size);
                        (HP602, Bad::fail("pages of another size arrived", expected, seen))
                    }
                    // The page of the file itself is first reserved by this mapping, and other processes may have
                    // taken it by now.
                    BackendError::Table { source: TableError::Refused { .. }, .. }
                        if self.session == Session::Private =>
                    {
                        (HP608, Bad::unknown("no page for the file", "a page reserved for it", seen))
                    }
                    BackendError::Table { source: TableError::Refused { .. }, .. } => {
                        (HP603, Bad::fail("the backend cannot map the memory", "both sides can map it", seen))
                    }
                    BackendError::Table { .. } => {
                        (HP601, Bad::fail("the memory table is wrong", "a table that can be mapped", seen))
                    }
                    BackendError::Shrunk(_) => (
                        HP603,
                        Bad::fail("the memory became inaccessible", "the files keep their size", seen),
                    ),
                    BackendError::Ring { .. } => {
                        (id, Bad::fail("a vring is broken", "a valid virtio ring", seen))
                    }
                    // If this side refused the message, the finding was already reported.
                    BackendError::Refused { .. } if self.recorder.is_stopped() => return Ok(()),
                    BackendError::Refused { .. } => {
                        (id, Bad::fail("the frontend breaks the protocol", expected, seen))
                    }
                    BackendError::Channel(_) => {
                        (id, Bad::unknown("the frontend disconnected", expected, seen))
                    }
                }
            }
        };
        self.recorder.bad(bad.0, bad.1)
    }
}

fn memory_of(region: &Region) -> Result<vm_memory::VolatileSlice<'_>, Refuse> {
    region.volatile().ok_or_else(|| Refuse::Gone(io::Error::other("a region without memory")))
}

/// Returns how many pages begin in a region. A page that began in the previous region is counted there.
fn first_pages(region: &Region, size: PageSize) -> u64 {
    let given = region.given();
    let pages_before = |bytes: u64| bytes.div_ceil(size.bytes());
    pages_before(given.offset.saturating_add(given.bytes)).saturating_sub(pages_before(given.offset))
}

/// Allocates every page of a region. On a kernel without MADV_POPULATE_WRITE, the access that follows does so.
fn populate(region: &Region) -> io::Result<()> {
    match region.mapping().populate_all() {
        Err(error) if !is_not_offered(&error) => Err(error),
        _ => Ok(()),
    }
}

fn cannot_touch(outcome: Outcome, error: &io::Error) -> Bad {
    let seen = format!("MADV_POPULATE_WRITE: {}", named(error));
    Bad { outcome, ..Bad::fail("the backend cannot touch the pages", "the reserved pages", seen) }
}
