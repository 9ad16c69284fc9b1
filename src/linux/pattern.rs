//! Writes a test pattern to shared or private memory and checks that the memory still holds it.
//!
//! Only 1 MiB at the start, in the middle and at the end of each page is written and read, not all of a 1 GiB page.

use std::ops::Range;

use vm_memory::VolatileSlice;

/// A location that does not hold what was written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The index of the page, from 0.
    pub page: usize,
    /// The byte offset within the page.
    pub offset: usize,
}

/// The size in bytes of each part of a page that is written and read.
const WINDOW: usize = 1 << 20;
/// The number of bytes that are copied at once.
const CHUNK: usize = 64 << 10;

/// Writes a pattern to all pages, then reads it back. Returns the number of bytes compared.
///
/// Every 8-byte word of the pattern is different, and all of it is written before any of it is read. Two virtual pages
/// that map to the same physical page are therefore detected. Every page must already be allocated.
///
/// # Errors
///
/// The first location that holds something else, or that is outside `memory`.
pub fn keeps(memory: &VolatileSlice<'_>, page_bytes: usize, seed: u64) -> Result<usize, Lost> {
    write(memory, page_bytes, seed)?;
    compare(memory, page_bytes, seed)
}

/// Writes the pattern of `seed`. Every page must already be allocated.
///
/// # Errors
///
/// A location outside `memory`. This does not happen, because the locations are computed from its length.
pub fn write(memory: &VolatileSlice<'_>, page_bytes: usize, seed: u64) -> Result<(), Lost> {
    let mut pattern = vec![0; CHUNK];
    for chunk in chunks(memory.len(), page_bytes) {
        let place = memory.subslice(chunk.start(), chunk.length).map_err(|_| chunk.lost(0))?;
        fill(&mut pattern, seed, chunk.start());
        place.copy_from(pattern.get(..chunk.length).unwrap_or_default());
    }
    Ok(())
}

/// Compares memory with the pattern of `seed`. Returns the number of bytes compared.
///
/// # Errors
///
/// The first location that holds something else.
pub fn compare(memory: &VolatileSlice<'_>, page_bytes: usize, seed: u64) -> Result<usize, Lost> {
    let mut wanted = vec![0; CHUNK];
    let mut found = vec![0; CHUNK];
    let mut looked_at = 0;
    for chunk in chunks(memory.len(), page_bytes) {
        let place = memory.subslice(chunk.start(), chunk.length).map_err(|_| chunk.lost(0))?;
        fill(&mut wanted, seed, chunk.start());
        place.copy_to(found.get_mut(..chunk.length).unwrap_or_default());
        // Compare whole chunks, which is fast. Compare single bytes only to find the location of the difference.
        if found.get(..chunk.length) != wanted.get(..chunk.length) {
            let at = found.iter().zip(&wanted).position(|(found, wanted)| found != wanted);
            return Err(chunk.lost(at.unwrap_or(0)));
        }
        looked_at += chunk.length;
    }
    Ok(looked_at)
}

/// Returns a digest of the bytes in the windows, whatever they hold. Two processes that map the same memory get the
/// same digest.
#[must_use]
pub fn digest(memory: &VolatileSlice<'_>, page_bytes: usize) -> u64 {
    let mut found = vec![0; CHUNK];
    chunks(memory.len(), page_bytes).fold(0, |sum, chunk| {
        let Ok(place) = memory.subslice(chunk.start(), chunk.length) else { return sum };
        let found = found.get_mut(..chunk.length).unwrap_or_default();
        place.copy_to(found);
        add_up(sum, found)
    })
}

/// Returns the digest of `bytes` bytes that hold the pattern of `seed`.
#[must_use]
pub fn digest_of(bytes: usize, page_bytes: usize, seed: u64) -> u64 {
    let mut pattern = vec![0; CHUNK];
    chunks(bytes, page_bytes).fold(0, |sum, chunk| {
        fill(&mut pattern, seed, chunk.start());
        add_up(sum, pattern.get(..chunk.length).unwrap_or_default())
    })
}

fn add_up(sum: u64, bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks::<8>().0;
    words.iter().fold(sum, |sum, word| {
        (sum.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// Returns whether the windows hold only zeroes.
#[must_use]
pub fn is_zero(memory: &VolatileSlice<'_>, page_bytes: usize) -> bool {
    let mut found = vec![0; CHUNK];
    chunks(memory.len(), page_bytes).all(|chunk| {
        let Ok(place) = memory.subslice(chunk.start(), chunk.length) else { return false };
        let found = found.get_mut(..chunk.length).unwrap_or_default();
        place.copy_to(found);
        found.iter().all(|byte| *byte == 0)
    })
}

/// A part of a window, at most [`CHUNK`] bytes long.
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

/// Returns the chunks of all windows of all pages. A remainder at the end counts as a shorter page.
fn chunks(bytes: usize, page_bytes: usize) -> impl Iterator<Item = Chunk> {
    let page_bytes = page_bytes.max(1);
    let offsets = move |window: Range<usize>| {
        let end = window.end;
        window.step_by(CHUNK).map(move |offset| (offset, CHUNK.min(end - offset)))
    };
    (0..bytes.div_ceil(page_bytes)).flat_map(move |page| {
        let left = bytes.saturating_sub(page * page_bytes).min(page_bytes);
        windows(left).flat_map(offsets).map(move |(offset, length)| Chunk {
            page,
            page_bytes,
            offset,
            length,
        })
    })
}

/// Returns the windows of a page: its start, its middle and its end, or the whole page if these would overlap.
fn windows(page_bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let all = (page_bytes <= 3 * WINDOW).then_some(0..page_bytes);
    let three = all.is_none().then(|| {
        let middle = page_bytes / 2 - WINDOW / 2;
        [0..WINDOW, middle..middle + WINDOW, page_bytes - WINDOW..page_bytes]
    });
    all.into_iter().chain(three.into_iter().flatten())
}

/// Fills `buffer` with the pattern for the bytes from offset `at` on.
///
/// The words are multiples of an odd number, which are all different modulo 2^64, so no two locations hold the same
/// word. This costs one addition per word, because the CPU may be one that a workload uses.
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

    fn memory(bytes: usize) -> Vec<u8> {
        vec![0; bytes]
    }

    #[test]
    fn good_memory_keeps_what_is_written() {
        for (shift, pages, looked_at) in [(16, 3, 3 << 16), (21, 2, 2 << 21), (23, 2, 6 << 20)] {
            let mut bytes = memory((pages << shift).try_into().unwrap());
            let slice = VolatileSlice::from(&mut bytes[..]);
            assert_eq!(keeps(&slice, 1 << shift, 7), Ok(looked_at), "{shift}");
        }
    }

    #[test]
    fn every_window_is_written_and_the_rest_is_not() {
        let mut bytes = memory(1 << 23);
        keeps(&VolatileSlice::from(&mut bytes[..]), 1 << 23, 7).unwrap();
        for (at, written) in
            [(0, true), ((1 << 20) - 8, true), (1 << 20, false), (1 << 22, true), ((1 << 23) - 8, true)]
        {
            assert_eq!(bytes[at..at + 8] != [0; 8], written, "{at}");
        }
    }

    #[test]
    fn one_changed_byte_is_found_where_it_is() {
        let mut bytes = memory(2 << 23);
        write(&VolatileSlice::from(&mut bytes[..]), 1 << 23, 7).unwrap();
        let offset = (1 << 22) + 5;
        bytes[(1 << 23) + offset] ^= 1;
        assert_eq!(compare(&VolatileSlice::from(&mut bytes[..]), 1 << 23, 7), Err(Lost { page: 1, offset }));
    }

    #[test]
    fn what_is_no_whole_page_is_looked_at_too() {
        let mut bytes = memory((1 << 16) + 100);
        assert_eq!(keeps(&VolatileSlice::from(&mut bytes[..]), 1 << 16, 7), Ok((1 << 16) + 100));
        assert_eq!(keeps(&VolatileSlice::from(&mut bytes[..100]), 1 << 30, 7), Ok(100));
    }

    #[test]
    fn a_digest_is_that_of_the_bytes_and_zeroes_are_zeroes() {
        let mut bytes = memory(1 << 17);
        let of = |bytes: &mut [u8]| digest(&VolatileSlice::from(bytes), 1 << 16);
        assert!(is_zero(&VolatileSlice::from(&mut bytes[..]), 1 << 16));
        write(&VolatileSlice::from(&mut bytes[..]), 1 << 16, 7).unwrap();
        let (before, mut other) = (of(&mut bytes), bytes.clone());
        other[99_999] ^= 1;
        assert_ne!(of(&mut other), before);
        assert_eq!((of(&mut bytes), digest_of(1 << 17, 1 << 16, 7)), (before, before));
        assert!(!is_zero(&VolatileSlice::from(&mut bytes[..]), 1 << 16));
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
