//! Frames that can be recognized as lost, duplicated, altered or foreign.
//!
//! Each frame is an Ethernet frame of a local experimental type (IEEE 802, 0x88B5). It has a sequence number, the
//! run's seed, a digest over everything else, and filler bytes that depend on both numbers. A real switch on the path
//! may forward such frames.

use serde::{Deserialize, Serialize};

/// The length of the shortest Ethernet frame in bytes, without its checksum.
pub const SHORTEST: usize = 60;
/// The length of the longest frame sent here in bytes: the usual 1514 and the 4 of a VLAN tag.
pub const LONGEST: usize = 1518;

/// Destination, source (both locally administered unicast addresses) and type.
const HEADER: [u8; 14] = [0x02, 0x68, 0x70, 0, 0, 2, 0x02, 0x68, 0x70, 0, 0, 1, 0x88, 0xB5];
const TYPE: [u8; 2] = [0x88, 0xB5];
/// The other local experimental type (IEEE 802), used for probe frames ("knocks"), which are not counted.
const KNOCK: [u8; 2] = [0x88, 0xB6];
const TYPE_AT: usize = 12;
const LENGTH_AT: usize = 14;
const SEQUENCE_AT: usize = 16;
const SEED_AT: usize = 24;
const DIGEST_AT: usize = 32;
const FILLING_AT: usize = 40;
/// 2^64 divided by the golden ratio: an odd number whose bits are well spread.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// How many sequence numbers back a frame is remembered: as many as two rings of the largest size hold.
const WINDOW: u64 = 1 << 16;

/// What frames hold, and what is done with those that arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Each frame has a number and a digest, and every byte of a received frame is verified.
    #[default]
    Checked,
    /// All frames have the same bytes. Received frames are counted and not read, as testpmd does in its modes txonly,
    /// rxonly and io.
    Plain,
}

/// Generates frames, one after the other.
#[derive(Debug, Clone)]
pub struct Source {
    content: Content,
    seed: u64,
    next: u64,
    frame: Vec<u8>,
}

/// Verifies and counts received frames.
#[derive(Debug)]
pub struct Tracker {
    content: Content,
    seed: u64,
    /// The highest sequence number received, plus one.
    next: u64,
    seen: Vec<u64>,
    /// Copies of the first frame that may still come and are not counted.
    first_again: u64,
    tally: Tally,
}

/// The counts of received frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Frames of this run that arrived unchanged, each counted once.
    pub intact: u64,
    /// Bytes of the intact and of the unread frames.
    pub bytes: u64,
    /// Frames of the same Ethernet type that were altered, or that belong to another run.
    pub altered: u64,
    /// Frames of this run that had arrived before, or that arrived too late to know.
    pub doubled: u64,
    /// Frames of another Ethernet type, such as those of a switch or a guest.
    pub foreign: u64,
    /// Frames that were counted and not read: with [`Content::Plain`], all of them.
    pub unread: u64,
}

/// Returns a probe frame, which shows whether the peer sends frames back. It is not one of the counted frames.
#[must_use]
pub fn knock() -> [u8; SHORTEST] {
    let mut frame = [0; SHORTEST];
    put(&mut frame, 0, &HEADER);
    put(&mut frame, TYPE_AT, &KNOCK);
    frame
}

/// Returns whether this is a [`knock`] that came back.
#[must_use]
pub fn is_knock(frame: &[u8]) -> bool {
    frame.get(TYPE_AT..LENGTH_AT) == Some(&KNOCK)
}

// === impl Source ===

impl Source {
    /// Creates a source of frames of `length` bytes. The length is clamped to [`SHORTEST`] and [`LONGEST`].
    #[must_use]
    pub fn new(seed: u64, length: usize) -> Self {
        let mut frame = vec![0; length.clamp(SHORTEST, LONGEST)];
        put(&mut frame, 0, &HEADER);
        put(&mut frame, LENGTH_AT, &u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
        put(&mut frame, SEED_AT, &seed.to_le_bytes());
        Self { content: Content::Checked, seed, next: 0, frame }
    }

    /// Returns the source for frames of this content.
    #[must_use]
    pub fn with(self, content: Content) -> Self {
        Self { content, ..self }
    }

    /// Generates the next frame.
    #[must_use]
    pub fn make(&mut self) -> &[u8] {
        let sequence = self.next;
        self.next += 1;
        if self.content == Content::Plain {
            return &self.frame;
        }
        let mut word = (self.seed ^ sequence).wrapping_mul(SPREAD);
        let mut next = || {
            word = word.rotate_left(29).wrapping_add(SPREAD);
            word.to_le_bytes()
        };
        let (words, rest) = self.frame.get_mut(FILLING_AT..).unwrap_or_default().as_chunks_mut::<8>();
        for filling in words {
            *filling = next();
        }
        for (to, from) in rest.iter_mut().zip(next()) {
            *to = from;
        }
        put(&mut self.frame, SEQUENCE_AT, &sequence.to_le_bytes());
        let digest = digest(&self.frame);
        put(&mut self.frame, DIGEST_AT, &digest.to_le_bytes());
        &self.frame
    }

    /// Takes back the last frame, which was not sent. The next frame gets its sequence number.
    pub const fn take_back(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// Returns how many frames were generated.
    #[must_use]
    pub const fn made(&self) -> u64 {
        self.next
    }

    /// Returns the length of each frame in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.frame.len()
    }
}

// === impl Tracker ===

impl Tracker {
    /// Creates a tracker for the frames generated with `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let words = usize::try_from(WINDOW / 64).unwrap_or(1);
        Self {
            content: Content::Checked,
            seed,
            next: 0,
            seen: vec![0; words],
            first_again: 0,
            tally: Tally::default(),
        }
    }

    /// Allows one more copy of the first frame, because it was sent again.
    pub const fn allow_first_again(&mut self) {
        self.first_again += 1;
    }

    /// Returns the tracker for frames of this content.
    #[must_use]
    pub fn with(self, content: Content) -> Self {
        Self { content, ..self }
    }

    /// Returns whether [`Tracker::look`] reads the frames.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.content == Content::Checked
    }

    /// Counts a frame of this length without reading it.
    pub const fn count(&mut self, length: usize) {
        self.tally.unread += 1;
        self.tally.bytes += length as u64;
    }

    /// Verifies and counts a frame.
    pub fn look(&mut self, frame: &[u8]) {
        if !self.reads() {
            return self.count(frame.len());
        }
        if frame.get(TYPE_AT..LENGTH_AT) != Some(&TYPE) {
            self.tally.foreign += 1;
            return;
        }
        let fields = (word(frame, SEQUENCE_AT), word(frame, SEED_AT), word(frame, DIGEST_AT));
        match fields {
            (Some(sequence), Some(seed), Some(its_digest))
                if seed == self.seed && its_digest == digest(frame) && frame.len() >= SHORTEST =>
            {
                if self.is_new(sequence) {
                    self.tally.intact += 1;
                    self.tally.bytes += frame.len() as u64;
                } else if sequence == 0 && self.first_again > 0 {
                    self.first_again -= 1;
                } else {
                    self.tally.doubled += 1;
                }
            }
            _ => self.tally.altered += 1,
        }
    }

    /// Returns the counts so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    fn is_new(&mut self, sequence: u64) -> bool {
        if sequence >= self.next {
            // Forget the sequence numbers that drop out of the window, or all of them after a large jump.
            for passed in (self.next..=sequence).rev().take(self.seen.len() * 64) {
                if let Some((word, bit)) = self.slot(passed) {
                    *word &= !bit;
                }
            }
            self.next = sequence.saturating_add(1);
        } else if self.next - sequence > WINDOW {
            return false;
        }
        match self.slot(sequence) {
            Some((word, bit)) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }

    fn slot(&mut self, sequence: u64) -> Option<(&mut u64, u64)> {
        let at = usize::try_from(sequence % WINDOW / 64).ok()?;
        Some((self.seen.get_mut(at)?, 1 << (sequence % 64)))
    }
}

// === impl Tally ===

impl Tally {
    /// Returns whether all of `sent` frames came back exactly once and unchanged, as far as they were read.
    #[must_use]
    pub const fn is_whole(&self, sent: u64) -> bool {
        self.intact + self.unread == sent && self.altered == 0 && self.doubled == 0
    }

    /// Returns how many frames of hugeprobe's type arrived, altered and duplicate ones and those that were not read included.
    #[must_use]
    pub const fn ours(&self) -> u64 {
        self.intact + self.altered + self.doubled + self.unread
    }

    /// Returns how many of `sent` frames did not arrive, neither intact nor altered.
    #[must_use]
    pub const fn lost(&self, sent: u64) -> u64 {
        sent.saturating_sub(self.intact + self.altered + self.unread)
    }
}

// === bytes ===

/// Returns a digest of everything but the digest field itself. It depends on each bit and its position.
fn digest(frame: &[u8]) -> u64 {
    let head = frame.get(..DIGEST_AT).unwrap_or(frame);
    let tail = frame.get(FILLING_AT..).unwrap_or_default();
    let mut sum = (frame.len() as u64).wrapping_mul(SPREAD);
    let mut add = |word: u64| sum = (sum.rotate_left(5) ^ word).wrapping_mul(SPREAD);
    for part in [head, tail] {
        let (words, rest) = part.as_chunks::<8>();
        for word in words {
            add(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            add(u64::from_le_bytes(last));
        }
    }
    // Multiplication carries only towards higher bits, so mix the high bits into the low ones.
    sum ^ sum >> 32
}

fn word(frame: &[u8], at: usize) -> Option<u64> {
    frame.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests;
