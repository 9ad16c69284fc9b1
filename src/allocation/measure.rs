//! HP701 and HP702: measures how fast huge pages are, and how much faster random reads are than on ordinary pages.
//!
//! Both are for information. They allocate more pages than the other steps (as many as 128 MiB takes), so they run only
//! with `--measure`.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use vm_memory::{VolatileMemory as _, VolatileSlice};

use super::AllocationTask;
use super::backing::touch;
use super::pool::PoolCounters;
use hugeprobe_domain::catalogue::{HP701, HP702};
use hugeprobe_domain::check::{CheckId, Finding};
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::size::{HugeLen, PageSize, human_bytes};
use hugeprobe_domain::text::count;
use hugeprobe_linux::errno::{is_not_offered, named};
use hugeprobe_linux::hugefile::{FileSource, HugeFile};
use hugeprobe_linux::map::{Fill, Mapping, Sharing};

/// The size in bytes of the memory for random reads: more than the caches and the TLB cover.
const SPAN: usize = 128 << 20;
const LINE: usize = 64;
/// The number of random reads of one measurement.
const HOPS: u32 = 1 << 20;
/// The number of bytes that are copied at once.
const CHUNK: usize = 64 << 10;
/// The maximum for "several" threads. The memory becomes the limit well before that.
const THREADS: usize = 4;

/// Measures and reports HP701 and HP702.
///
/// # Errors
///
/// The reader of `output` is gone, or the length is too large for any machine.
pub(super) fn run(task: &AllocationTask, size: PageSize, output: &mut dyn WorkerOutput) -> io::Result<()> {
    let pages = (SPAN as u64).div_ceil(size.bytes());
    let len = HugeLen::new(size, pages).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let skip =
        |output: &mut dyn WorkerOutput, id: CheckId, why: &str| output.found(Finding::skip(id, size, why));
    let available = PoolCounters::new(task, size).read().map(|now| now.available());
    match available {
        Ok(available) if available >= pages => {}
        Ok(available) => {
            let why = format!("measuring needs {pages} pages; only {available} are available");
            skip(output, HP701, &why)?;
            return skip(output, HP702, &why);
        }
        Err(why) => {
            skip(output, HP701, &why)?;
            return skip(output, HP702, &why);
        }
    }
    let finding = bandwidth(len, output)?.unwrap_or_else(|error| Finding::skip(HP701, size, named(&error)));
    output.found(finding)?;
    let finding =
        random_reads(len, output)?.unwrap_or_else(|error| Finding::skip(HP702, size, named(&error)));
    output.found(finding)
}

// === HP701 ===

/// Populates, writes and reads `len`, with one thread and with several.
///
/// The first populate is reported separately, because in a virtual machine the host may allocate the memory only then.
fn bandwidth(len: HugeLen, output: &mut dyn WorkerOutput) -> io::Result<io::Result<Finding>> {
    let several = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    output.step(HP701, &format!("populate {} pages for the first time", len.pages()))?;
    let first = match once(len, 1) {
        Ok([populate, ..]) => per_second(len.bytes(), populate),
        Err(error) => return Ok(Err(error)),
    };
    let mut shown = vec![format!("first populate {first:.1} GB/s")];
    let mut finding = Finding::pass(HP701, len.size(), String::new())
        .with("bytes", len.bytes())
        .with("first_populate_gb_per_s", rounded(first));
    for threads in if several > 1 { vec![1, several] } else { vec![1] } {
        output.step(HP701, &format!("populate, write and read {} pages, threads: {threads}", len.pages()))?;
        let speeds = match once(len, threads) {
            Ok(speeds) => speeds,
            Err(error) => return Ok(Err(error)),
        };
        let [populate, write, read] = speeds.map(|time| per_second(len.bytes(), time));
        let by = count(threads, "thread");
        shown.push(format!("{by}: populate {populate:.1}, write {write:.1}, read {read:.1}"));
        let facts = serde_json::json!({
            "populate_gb_per_s": rounded(populate),
            "write_gb_per_s": rounded(write),
            "read_gb_per_s": rounded(read),
        });
        finding = finding.with(&format!("threads_{threads}"), facts);
    }
    finding.summary = shown.join("; ");
    Ok(Ok(finding))
}

/// Returns the times that `threads` threads take to populate, write and read.
fn once(len: HugeLen, threads: usize) -> io::Result<[Duration; 3]> {
    let file = HugeFile::new(FileSource::Memfd, len).map_err(io::Error::other)?;
    let mapping = Mapping::file(file.as_fd(), len, 0, Sharing::Shared, Fill::OnTouch)?;
    let pages = usize::try_from(len.pages()).map_err(io::Error::other)?;
    // A page is populated by one thread, however large it is.
    let populate = timed(threads.min(pages), pages, |part| populate(&mapping, part, len.size()))?;
    let bytes = mapping.volatile().len();
    let write = timed(threads, bytes, |part| copy(&mapping, part, |place, buffer| place.copy_from(buffer)))?;
    let read = timed(threads, bytes, |part| {
        copy(&mapping, part, |place, buffer| {
            place.copy_to(buffer);
        })
    })?;
    mapping.unmap()?;
    Ok([populate, write, read])
}

/// Divides 0..`whole` among threads and returns the time until all of them are done.
fn timed(
    threads: usize,
    whole: usize,
    work: impl Fn(Range<usize>) -> io::Result<()> + Sync,
) -> io::Result<Duration> {
    let share = whole.div_ceil(threads);
    let start = Instant::now();
    thread::scope(|scope| {
        let parts = (0..threads).map(|thread| (thread * share).min(whole)..((thread + 1) * share).min(whole));
        let running: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
        running.into_iter().try_for_each(|one| {
            one.join().unwrap_or_else(|_| Err(io::Error::other("a measuring thread panicked")))
        })
    })?;
    Ok(start.elapsed())
}

fn populate(mapping: &Mapping, part: Range<usize>, size: PageSize) -> io::Result<()> {
    let pages = part.start as u64..part.end as u64;
    if pages.is_empty() {
        return Ok(());
    }
    match mapping.populate_write(pages.clone()) {
        Err(error) if is_not_offered(&error) => {
            pages.into_iter().try_for_each(|page| touch(mapping, page, size))
        }
        answer => answer,
    }
}

fn copy(
    mapping: &Mapping,
    part: Range<usize>,
    move_chunk: impl Fn(&VolatileSlice<'_>, &mut [u8]),
) -> io::Result<()> {
    let memory = mapping.volatile();
    let mut buffer = vec![1; CHUNK];
    for start in part.clone().step_by(CHUNK) {
        let place = memory.subslice(start, CHUNK.min(part.end - start)).map_err(io::Error::other)?;
        move_chunk(&place, &mut buffer);
    }
    Ok(())
}

// === HP702 ===

/// Measures reads of which each depends on the previous one, alternately on ordinary and on huge pages. The better of
/// two rounds counts.
fn random_reads(len: HugeLen, output: &mut dyn WorkerOutput) -> io::Result<io::Result<Finding>> {
    output.step(HP702, &format!("random reads over {}", human_bytes(SPAN as u64)))?;
    let measured = || -> io::Result<[Duration; 2]> {
        let huge = Mapping::anonymous(len, Fill::OnTouch)?;
        populate(&huge, 0..usize::try_from(len.pages()).map_err(io::Error::other)?, len.size())?;
        let ordinary = Mapping::ordinary(SPAN)?;
        match ordinary.keep_pages_small() {
            Err(error) if !is_not_offered(&error) => return Err(error),
            _ => {}
        }
        let [huge_memory, ordinary_memory] = [&huge, &ordinary].map(|mapping| mapping.volatile());
        lay_path(&huge_memory)?;
        lay_path(&ordinary_memory)?;
        let mut best = [Duration::MAX; 2];
        for _ in 0..2 {
            for (best, memory) in best.iter_mut().zip([&ordinary_memory, &huge_memory]) {
                *best = (*best).min(follow_path(memory)?);
            }
        }
        huge.unmap()?;
        ordinary.unmap()?;
        Ok(best)
    };
    Ok(measured().map(|times| {
        let [ordinary, huge] = times.map(|time| time.as_secs_f64() * 1e9 / f64::from(HOPS));
        let ratio = ordinary / huge;
        let summary = format!(
            "random reads are {ratio:.1} times as fast as on ordinary pages: {huge:.0} ns and {ordinary:.0} ns"
        );
        Finding::pass(HP702, len.size(), summary)
            .with("bytes", SPAN)
            .with("reads", HOPS)
            .with("huge_ns", rounded(huge))
            .with("ordinary_ns", rounded(ordinary))
            .with("ratio", rounded(ratio))
    }))
}

/// Writes into each cache line the number of the next one.
fn lay_path(memory: &VolatileSlice<'_>) -> io::Result<()> {
    let lines = (SPAN / LINE) as u64;
    for line in 0..lines {
        at(memory, line)?.store(next(line));
    }
    Ok(())
}

/// Returns the line after `line` in a cycle through all lines, in an irregular order.
///
/// This is a linear congruential generator with full period (Hull and Dobell: odd increment, multiplier one more than a
/// multiple of four, modulus a power of two).
const fn next(line: u64) -> u64 {
    line.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f) % (SPAN / LINE) as u64
}

fn follow_path(memory: &VolatileSlice<'_>) -> io::Result<Duration> {
    let start = Instant::now();
    let mut line = 0;
    for _ in 0..HOPS {
        line = at(memory, line)?.load();
    }
    let time = start.elapsed();
    // The result depends on the last line, so that the compiler cannot remove any read.
    if line < (SPAN / LINE) as u64 { Ok(time) } else { Err(io::Error::other("the path was overwritten")) }
}

fn at<'a>(memory: &'a VolatileSlice<'_>, line: u64) -> io::Result<vm_memory::VolatileRef<'a, u64>> {
    let offset = usize::try_from(line).ok().and_then(|line| line.checked_mul(LINE));
    memory.get_ref(offset.unwrap_or(usize::MAX)).map_err(io::Error::other)
}

/// Returns the speed in gigabytes (10^9 bytes) per second.
fn per_second(bytes: u64, time: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss)] // three digits of the speed are enough
    let bytes = bytes as f64;
    bytes / time.as_secs_f64().max(1e-9) / 1e9
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_goes_through_every_line_once() {
        let lines = (SPAN / LINE) as u64;
        let mut seen = vec![false; SPAN / LINE];
        let mut line = 0_u64;
        for _ in 0..lines {
            let index = usize::try_from(line).unwrap();
            assert!(!std::mem::replace(&mut seen[index], true), "line {line} comes twice");
            line = next(line);
        }
        assert_eq!(line, 0);
    }

    #[test]
    fn work_is_divided_without_gap_or_overlap() {
        for (threads, whole) in [(1, 5), (2, 5), (4, 3), (3, 0)] {
            let done = std::sync::Mutex::new(Vec::new());
            timed(threads, whole, |part| {
                done.lock().unwrap().extend(part);
                Ok(())
            })
            .unwrap();
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            assert_eq!(done, (0..whole).collect::<Vec<_>>());
        }
    }
}
