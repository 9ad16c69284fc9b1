//! The frontend of a session.

mod controls;

use std::io;
use std::os::fd::AsFd as _;
use std::time::Instant;

use serde_json::json;

use super::SessionTask;
use super::payers::Payers;
use super::recorder::{Bad, Good, Recorder, holds_pages};
use crate::channel::Channel;
use crate::frontend::{Area, Frontend, FrontendError, Job, Memory, Pair};
use crate::table::FileFacts;
use hugeprobe_domain::catalogue::{HP601, HP602, HP603, HP604, HP605, HP610, HP611};
use hugeprobe_domain::cgroup::HugetlbCounterKind;
use hugeprobe_domain::check::CheckId;
use hugeprobe_domain::movement::Step;
use hugeprobe_domain::sharing::Session;
use hugeprobe_domain::size::HugeLen;
use hugeprobe_linux::errno::{is_not_offered, named};
use hugeprobe_linux::hugefile::HugeFile;
use hugeprobe_linux::map::{Mapping, Sharing};
use hugeprobe_linux::{numa_maps, pattern, smaps};

/// The reason why a session ended early: a finding, or the reader of the output is gone.
enum Stop {
    Bad(CheckId, Bad),
    Gone(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

pub(super) fn run(
    task: &SessionTask,
    session: Session,
    channel: Channel,
    recorder: &mut Recorder<'_>,
) -> io::Result<()> {
    let done = match session {
        Session::Private => controls::private(task, session, channel, recorder),
        Session::Small => controls::small(task, channel, recorder),
        _ => share(task, session, channel, recorder),
    };
    match done {
        Ok(()) => Ok(()),
        Err(Stop::Bad(id, bad)) => recorder.bad(id, bad),
        Err(Stop::Gone(error)) => Err(error),
    }
}

/// Runs a session that shares memory, from beginning to end.
fn share(
    task: &SessionTask,
    session: Session,
    channel: Channel,
    recorder: &mut Recorder<'_>,
) -> Result<(), Stop> {
    let deadline = task.deadline();
    let memory = take_memory(task, session, Sharing::Shared, recorder)?;
    let backend_first = session.is_backend_first();
    let payers = Payers::now(task);
    if !backend_first {
        let pages = task.files(session).iter().map(|(pages, _)| pages).sum();
        recorder.page_step(HP605, "take the pages and write to them", Step::Touch { pages })?;
        for mapping in memory.mappings() {
            populate(mapping).map_err(|error| match payers.limit(HugetlbCounterKind::Fault) {
                Some(limit) => Stop::Bad(HP605, limit.bad("frontend", &error, &payers)),
                None => no_pages(&error),
            })?;
        }
        (0..2).try_for_each(|region| write(&memory, region, task))?;
    }

    recorder.step(HP601, "begin the session")?;
    let mut frontend = begin(channel, deadline).map_err(|error| ended(HP601, error))?;
    let begun = *frontend.negotiated();
    let mut shared = SharedRegions { task, memory: &memory, frontend: &mut frontend };
    shared.hand_over(HP601, 1, recorder)?;
    look_at_files(task, &memory, recorder)?;
    let bytes = shared.exchange_bytes(0, 1, backend_first, HP603, recorder)?;
    look_at_sharing(&memory, &bytes, recorder)?;
    let paid = payers.paid();
    let first = if backend_first { "backend" } else { "frontend" };
    recorder.good(
        HP605,
        Good {
            summary: format!("{first} first{}", paid.summary()),
            agreed: json!({ "first": first }),
            evidence: json!({ "negotiated": begun, "cgroups": paid }),
        },
    )?;

    let mut pair = fit(&mut memory.areas(1), begun.features)?;
    recorder.step(HP604, "send frames and wait for them")?;
    shared.frontend.start(&pair).map_err(|error| ended(HP604, error))?;
    shared.frames(HP604, 0, &mut pair, deadline, recorder)?;

    recorder.step(HP611, "send a table with one more region while the rings run")?;
    shared.hand_over(HP611, 2, recorder)?;
    shared.exchange_bytes(1, 2, backend_first, HP611, recorder)?;
    shared.frames(HP611, 1, &mut pair, deadline, recorder)?;
    shared.frontend.stop(&pair).map_err(|error| ended(HP611, error))?;
    drop(pair);

    recorder.step(HP610, "send frames from buffers in two regions")?;
    let mut pair = fit(&mut memory.areas(2), begun.features)?;
    shared.frontend.start(&pair).map_err(|error| ended(HP610, error))?;
    shared.frames(HP610, 2, &mut pair, deadline, recorder)?;
    shared.frontend.stop(&pair).map_err(|error| ended(HP610, error))?;
    drop(pair);
    recorder.page_step(HP610, "unmap and close while the backend still has the files", Step::Nothing)?;
    // Unmap before the connection closes: when it closes, the backend must be the last user of the files.
    drop(memory);
    Ok(())
}

/// Starts a session. Each answer may take the time that is left, because the backend may have to clear all pages.
fn begin(mut channel: Channel, deadline: Instant) -> Result<Frontend, FrontendError> {
    channel.set_deadline(deadline);
    Frontend::new(channel, deadline.saturating_duration_since(Instant::now()))
}

/// The session, with the memory whose regions the backend receives.
struct SharedRegions<'a> {
    task: &'a SessionTask,
    memory: &'a Memory,
    frontend: &'a mut Frontend,
}

/// Digests of what each side wrote to a region, as read by this side.
struct Bytes {
    of_frontend: u64,
    of_backend: u64,
    looked_at: usize,
}

impl SharedRegions<'_> {
    fn hand_over(&mut self, id: CheckId, regions: usize, recorder: &mut Recorder<'_>) -> Result<(), Stop> {
        recorder.page_step(id, &format!("send a table of {regions} region(s)"), Step::Nothing)?;
        self.set_table(id, regions)
    }

    fn set_table(&mut self, id: CheckId, regions: usize) -> Result<(), Stop> {
        let (table, fds) = self.memory.table(regions);
        self.frontend.set_memory(&table, &fds).map_err(|error| ended(id, error))
    }

    /// Reads and verifies what the backend wrote to a region. If the backend was first, also writes this side's bytes
    /// and makes the backend read them.
    fn exchange_bytes(
        &mut self,
        region: usize,
        regions: usize,
        backend_first: bool,
        id: CheckId,
        recorder: &mut Recorder<'_>,
    ) -> Result<Bytes, Stop> {
        let what = "read what the backend wrote";
        // If the backend was first, this side uses the pages for the first time here.
        if backend_first { recorder.page_step(id, what, Step::Nothing) } else { recorder.step(id, what) }?;
        let page_bytes = self.task.page_bytes();
        let memory = region_of(self.memory, region)?;
        let (ours, theirs) = self.task.seeds();
        let looked_at = pattern::compare(&memory, page_bytes, theirs).map_err(|lost| {
            let seen =
                format!("different bytes from byte {} of page {} of region {region}", lost.offset, lost.page);
            Stop::Bad(
                id,
                Bad::fail("the backend's bytes are not seen", "the bytes that the backend wrote", seen),
            )
        })?;
        let of_backend = pattern::digest(&memory, page_bytes);
        let of_frontend = pattern::digest_of(memory.len(), page_bytes, ours);
        if backend_first {
            write(self.memory, region, self.task)?;
            recorder.step(id, "send the same table again")?;
            self.set_table(id, regions)?;
        }
        Ok(Bytes { of_frontend, of_backend, looked_at })
    }

    /// Runs the frames of one check, first short ones and then long ones.
    fn frames(
        &mut self,
        id: CheckId,
        run: u64,
        pair: &mut Pair<'_>,
        deadline: Instant,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), Stop> {
        let mut total = 0;
        let mut evidence = Vec::new();
        for (part, length) in [(0, 64), (1, 1514)] {
            let frames = if part == 0 { self.task.frames } else { self.task.frames / 8 };
            let seed = self.task.seed.wrapping_add(2 * run + part);
            let job = Job { seed, frames, length, ..Job::default() };
            let outcome =
                pair.run(&job, self.frontend.channel(), deadline).map_err(|error| ended(id, error))?;
            let tally = outcome.tally;
            let seen = format!(
                "of {frames} frames {} came back intact, {} altered, {} twice",
                tally.intact, tally.altered, tally.doubled
            );
            let expected = "every frame comes back once and unchanged";
            if tally.altered + tally.doubled > 0 {
                return Err(Stop::Bad(id, Bad::fail("frames came back wrong", expected, seen)));
            }
            if !outcome.finished || !tally.is_whole(frames) {
                return Err(Stop::Bad(id, Bad::unknown("frames did not come back in time", expected, seen)));
            }
            total += frames;
            evidence.push(json!({ "length": length, "frames": frames, "nanos": outcome.nanos }));
        }
        let summary = match id {
            HP610 => "two regions".to_owned(),
            HP611 => "new table while running".to_owned(),
            _ => format!("{total} frames intact"),
        };
        let rings = pair.layout().word();
        let (agreed, evidence) = (json!({ "frames": total }), json!({ "runs": evidence, "rings": rings }));
        Ok(recorder.good(id, Good { summary, agreed, evidence })?)
    }
}

// === memory ===

fn take_memory(
    task: &SessionTask,
    session: Session,
    sharing: Sharing,
    recorder: &mut Recorder<'_>,
) -> Result<Memory, Stop> {
    let pages = task.files(session).iter().map(|(pages, _)| pages).sum();
    let effect = Step::Reserve { pages, held: task.held_by_mount() };
    recorder.page_step(HP601, "create the files and map them", effect)?;
    let refused = |seen: String| {
        // HP501 checks whether pages are available at all.
        Stop::Bad(
            HP601,
            Bad::unknown("no pages to share: see HP501", "pages reserved for the frontend", seen),
        )
    };
    let payers = Payers::now(task);
    let mut memory = Memory::default();
    for (pages, regions) in task.files(session) {
        let len = HugeLen::new(task.size, pages)
            .ok_or_else(|| refused(format!("{pages} pages of {}", task.size)))?;
        let file =
            HugeFile::new(task.memory.place(session), len).map_err(|error| refused(error.to_string()))?;
        memory.add(file.as_fd(), len, sharing, regions).map_err(|error| {
            match payers.limit(HugetlbCounterKind::Reservation) {
                // A negative control that cannot be run has not failed.
                Some(limit) if session != Session::Private => {
                    Stop::Bad(HP605, limit.bad("frontend", &error, &payers))
                }
                _ => refused(format!("mmap: {}", named(&error))),
            }
        })?;
    }
    Ok(memory)
}

/// Allocates every page. On a kernel without MADV_POPULATE_WRITE, the write that follows does so.
fn populate(mapping: &Mapping) -> io::Result<()> {
    match mapping.populate_all() {
        Err(error) if !is_not_offered(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Returns the result for pages that cannot be allocated. HP501 checks whether pages are available at all.
fn no_pages(error: &io::Error) -> Stop {
    let seen = format!("MADV_POPULATE_WRITE: {}", named(error));
    Stop::Bad(HP605, Bad::unknown("the frontend has no pages: see HP502", "the reserved pages", seen))
}

fn write(memory: &Memory, region: usize, task: &SessionTask) -> Result<(), Stop> {
    // A write outside the memory would be a bug in hugeprobe. The comparison of the bytes would detect it.
    let _ = pattern::write(&region_of(memory, region)?, task.page_bytes(), task.seeds().0);
    Ok(())
}

fn region_of(memory: &Memory, region: usize) -> Result<vm_memory::VolatileSlice<'_>, Stop> {
    let areas = memory.areas(region + 1);
    let area = areas.get(region).map(Area::memory);
    area.ok_or_else(|| Stop::Gone(io::Error::other(format!("no region {region}"))))
}

/// Creates the largest pair of queues that fits in the areas.
fn fit<'m>(areas: &mut [Area<'m>], features: u64) -> Result<Pair<'m>, Stop> {
    Pair::largest(areas, features).map_err(|error| {
        let expected = "rings and buffers in the shared memory";
        Stop::Bad(HP604, Bad::unknown("no room for rings", expected, error.to_string()))
    })
}

// === looking ===

/// Returns `[device, inode]` of each file.
fn identities(memory: &Memory) -> Result<Vec<[u64; 2]>, Stop> {
    let facts = memory.files().map(|file| facts(&file).map(|facts| [facts.device, facts.inode]));
    facts.collect()
}

fn facts(file: &impl std::os::fd::AsFd) -> Result<FileFacts, Stop> {
    let unknown =
        |seen| Stop::Bad(HP601, Bad::unknown("cannot examine the file", "fstat and fstatfs succeed", seen));
    match FileFacts::of(file) {
        Ok(Some(facts)) => Ok(facts),
        Ok(None) => Err(unknown("not a regular file".to_owned())),
        Err((call, errno)) => Err(unknown(format!("{call}: {}", named(&errno.into())))),
    }
}

/// Records HP601 and HP602 as seen by this side: which files are shared, and the size of their pages.
fn look_at_files(task: &SessionTask, memory: &Memory, recorder: &mut Recorder<'_>) -> Result<(), Stop> {
    let mut all = Vec::new();
    for file in memory.files() {
        all.push(facts(&file)?);
    }
    let Some(first) = all.first() else { return Ok(()) };
    let agreed = json!({ "device": first.device, "inode": first.inode, "offset": 0 });
    let summary = "same file".to_owned();
    recorder.good(HP601, Good { summary, agreed, evidence: json!({ "files": all }) })?;
    let mut pages = Vec::new();
    for mapping in memory.mappings() {
        pages.push(smaps::mapping_at(mapping.address()).map(|facts| facts.page_bytes));
    }
    let wanted = task.size.bytes();
    let right = all.iter().all(|facts| facts.page_bytes == wanted)
        && pages.iter().all(|page| page.get() == Some(wanted));
    if !right {
        let seen = format!(
            "fstatfs: {:?}, smaps: {pages:?}",
            all.iter().map(|facts| facts.page_bytes).collect::<Vec<_>>()
        );
        let bad =
            Bad::fail("the frontend's own pages have another size", format!("pages of {wanted} bytes"), seen);
        return Err(Stop::Bad(HP602, bad));
    }
    let summary = format!("{} on both sides", task.size);
    let agreed = json!({ "page_bytes": wanted, "is_hugetlbfs": first.is_hugetlbfs });
    Ok(recorder.good(HP602, Good { summary, agreed, evidence: json!({ "smaps": pages }) })?)
}

/// Records HP603: the bytes of each side were read by the other, and this side maps huge pages.
fn look_at_sharing(memory: &Memory, bytes: &Bytes, recorder: &mut Recorder<'_>) -> Result<(), Stop> {
    let Some(mapping) = memory.mappings().next() else { return Ok(()) };
    let facts = smaps::mapping_at(mapping.address());
    holds_pages(&facts).map_err(|bad| Stop::Bad(HP603, bad))?;
    let agreed = json!({ "frontend_wrote": hex(bytes.of_frontend), "backend_wrote": hex(bytes.of_backend) });
    let numa = numa_maps::nodes_of_mapping_at(mapping.address());
    let evidence = json!({ "smaps": facts, "numa_maps": numa, "bytes_looked_at": bytes.looked_at });
    let summary = "bytes seen both ways".to_owned();
    Ok(recorder.good(HP603, Good { summary, agreed, evidence })?)
}

/// Formats a number as text, because JSON readers may round large numbers.
pub(super) fn hex(number: u64) -> String {
    format!("{number:016x}")
}

// === errors ===

/// Returns the finding of the current check for a session that ended with an error.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn ended(id: CheckId, error: FrontendError) -> Stop {
    let seen = error.to_string();
    let expected = "the session continues";
    Stop::Bad(
        id,
        match error {
            FrontendError::Refused { request, .. } => {
                Bad::fail(format!("the backend refuses {request}"), expected, seen)
            }
            FrontendError::BadAnswer { .. }
            | FrontendError::Lacks(_)
            | FrontendError::NoQueuePair
            | FrontendError::TooFewSlots { .. }
            | FrontendError::Ring { .. } => Bad::fail("the backend breaks the protocol", expected, seen),
            // The backend's own report, or the signal that killed it, gives the reason.
            FrontendError::Channel(_) | FrontendError::HungUp(_) => {
                Bad::unknown("the backend disconnected", expected, seen)
            }
            FrontendError::TooLittleMemory { .. } | FrontendError::Event(_) => {
                Bad::unknown("the session cannot continue", expected, seen)
            }
        },
    )
}
