//! Whether pages keep what is written: 1 MiB at both ends and in the middle of each, not the gigabyte.

use std::ops::Range;

use vm_memory::VolatileSlice;

use crate::domain::size::HugeLen;

/// A place that did not keep what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    /// The page, from 0.
    pub(super) page: usize,
    /// The byte within it.
    pub(super) offset: usize,
}

/// How much is looked at in one place, in bytes.
const WINDOW: usize = 1 << 20;
/// What is copied at once.
const CHUNK: usize = 64 << 10;

/// Writes a pattern that differs in every eight bytes of every page, and only then reads it all back, so that two pages
/// which are one would show. Every page must be there already. `Ok` holds the bytes looked at.
pub(super) fn keeps(memory: &VolatileSlice<'_>, len: HugeLen, seed: u64) -> Result<usize, Lost> {
    write(memory, len, seed)?;
    compare(memory, len, seed)
}

fn write(memory: &VolatileSlice<'_>, len: HugeLen, seed: u64) -> Result<(), Lost> {
    let mut pattern = vec![0; CHUNK];
    for chunk in chunks(len) {
        let place = memory.subslice(chunk.start(), chunk.length).map_err(|_| chunk.lost(0))?;
        fill(&mut pattern, seed, chunk.start());
        place.copy_from(pattern.get(..chunk.length).unwrap_or_default());
    }
    Ok(())
}

fn compare(memory: &VolatileSlice<'_>, len: HugeLen, seed: u64) -> Result<usize, Lost> {
    let mut wanted = vec![0; CHUNK];
    let mut found = vec![0; CHUNK];
    let mut looked_at = 0;
    for chunk in chunks(len) {
        let place = memory.subslice(chunk.start(), chunk.length).map_err(|_| chunk.lost(0))?;
        fill(&mut wanted, seed, chunk.start());
        place.copy_to(found.get_mut(..chunk.length).unwrap_or_default());
        // Compared whole: byte by byte only to say where.
        if found.get(..chunk.length) != wanted.get(..chunk.length) {
            let at = found.iter().zip(&wanted).position(|(found, wanted)| found != wanted);
            return Err(chunk.lost(at.unwrap_or(0)));
        }
        looked_at += chunk.length;
    }
    Ok(looked_at)
}

/// A piece of a window.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    page: usize,
    page_bytes: usize,
    offset: usize,
    length: usize,
}

impl Chunk {
    const fn start(self) -> usize {
        self.page * self.page_bytes + self.offset
    }

    const fn lost(self, at: usize) -> Lost {
        Lost { page: self.page, offset: self.offset + at }
    }
}

/// The chunks of all windows of all pages. A length fits `isize`, so no product of it overflows.
fn chunks(len: HugeLen) -> impl Iterator<Item = Chunk> {
    let page_bytes = usize::try_from(len.size().bytes()).unwrap_or(usize::MAX);
    let pages = usize::try_from(len.pages()).unwrap_or(0);
    let offsets = move |window: Range<usize>| {
        let end = window.end;
        window.step_by(CHUNK).map(move |offset| (offset, CHUNK.min(end - offset)))
    };
    (0..pages).flat_map(move |page| {
        windows(page_bytes).flat_map(offsets).map(move |(offset, length)| Chunk {
            page,
            page_bytes,
            offset,
            length,
        })
    })
}

/// Both ends and the middle of a page; all of it if they would overlap.
fn windows(page_bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let all = (page_bytes <= 3 * WINDOW).then_some(0..page_bytes);
    let three = all.is_none().then(|| {
        let middle = page_bytes / 2 - WINDOW / 2;
        [0..WINDOW, middle..middle + WINDOW, page_bytes - WINDOW..page_bytes]
    });
    all.into_iter().chain(three.into_iter().flatten())
}

/// The pattern for the bytes from `at` on: multiples of an odd number, which are all different modulo 2^64, so that no
/// two places have the same. One addition a word: the CPU may be that of a workload.
fn fill(buffer: &mut [u8], seed: u64, at: usize) {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut value = seed.wrapping_add((at as u64 / 8).wrapping_mul(STEP));
    for word in buffer.as_chunks_mut::<8>().0 {
        *word = value.to_le_bytes();
        value = value.wrapping_add(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::size::PageSize;

    fn memory(bytes: usize) -> Vec<u8> {
        vec![0; bytes]
    }

    fn len(shift: u32, pages: u64) -> HugeLen {
        HugeLen::new(PageSize::from_bytes(1 << shift).unwrap(), pages).unwrap()
    }

    #[test]
    fn good_memory_keeps_what_is_written() {
        for (shift, pages, looked_at) in [(16, 3, 3 << 16), (21, 2, 2 << 21), (23, 2, 6 << 20)] {
            let mut bytes = memory((pages << shift).try_into().unwrap());
            let slice = VolatileSlice::from(&mut bytes[..]);
            assert_eq!(keeps(&slice, len(shift, pages), 7), Ok(looked_at), "{shift}");
        }
    }

    #[test]
    fn every_window_is_written_and_the_rest_is_not() {
        let mut bytes = memory(1 << 23);
        keeps(&VolatileSlice::from(&mut bytes[..]), len(23, 1), 7).unwrap();
        for (at, written) in
            [(0, true), ((1 << 20) - 8, true), (1 << 20, false), (1 << 22, true), ((1 << 23) - 8, true)]
        {
            assert_eq!(bytes[at..at + 8] != [0; 8], written, "{at}");
        }
    }

    #[test]
    fn one_changed_byte_is_found_where_it_is() {
        let len = len(23, 2);
        let mut bytes = memory(2 << 23);
        write(&VolatileSlice::from(&mut bytes[..]), len, 7).unwrap();
        let offset = (1 << 22) + 5;
        bytes[(1 << 23) + offset] ^= 1;
        assert_eq!(compare(&VolatileSlice::from(&mut bytes[..]), len, 7), Err(Lost { page: 1, offset }));
    }

    #[test]
    fn memory_that_is_too_short_is_lost_not_a_panic() {
        let mut bytes = memory(1 << 16);
        let lost = keeps(&VolatileSlice::from(&mut bytes[..]), len(16, 2), 7);
        assert_eq!(lost, Err(Lost { page: 1, offset: 0 }));
    }

    #[test]
    fn no_two_places_hold_the_same() {
        let mut bytes = memory(1 << 18);
        fill(&mut bytes, 7, 0);
        let mut words: Vec<_> = bytes.chunks(8).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), bytes.len() / 8);
        let mut later = memory(64);
        fill(&mut later, 7, 128);
        assert_eq!(later, bytes[128..192]);
    }
}
