//! A chain of descriptors, as the device sees it: pieces of the driver's memory.

use vm_memory::VolatileSlice;

/// A chain of descriptors: the driver's buffers, of which the readable ones come first.
#[derive(Debug, Default)]
pub struct Chain<'m> {
    /// The memory that the device reads.
    pub readable: Vec<VolatileSlice<'m>>,
    /// The memory that the device writes.
    pub writable: Vec<VolatileSlice<'m>>,
    /// The number of descriptors in the ring, including those of no bytes.
    pub descriptors: u16,
    /// The number of descriptors in indirect tables.
    pub indirect: u32,
}

// === impl Chain ===

impl Chain<'_> {
    /// Removes everything.
    pub(super) fn clear(&mut self) {
        self.readable.clear();
        self.writable.clear();
        self.descriptors = 0;
        self.indirect = 0;
    }

    /// Returns the number of readable bytes.
    #[must_use]
    pub fn readable_bytes(&self) -> usize {
        self.readable.iter().map(VolatileSlice::len).sum()
    }

    /// Returns the number of writable bytes.
    #[must_use]
    pub fn writable_bytes(&self) -> usize {
        self.writable.iter().map(VolatileSlice::len).sum()
    }

    /// Copies the readable bytes after the first `skip` to `out`, as far as it has room. Returns the number of bytes
    /// copied.
    pub fn read(&self, skip: usize, out: &mut [u8]) -> usize {
        let (mut skip, mut done) = (skip, 0);
        for piece in &self.readable {
            let from = skip.min(piece.len());
            skip -= from;
            if let (Ok(piece), Some(room)) = (piece.offset(from), out.get_mut(done..)) {
                done += piece.copy_to(room);
            }
        }
        done
    }

    /// Copies `bytes` to the writable memory after its first `skip` bytes, as far as it has room. Returns the number
    /// of bytes copied.
    pub fn write(&self, skip: usize, bytes: &[u8]) -> usize {
        let (mut skip, mut done) = (skip, 0);
        for piece in &self.writable {
            let from = skip.min(piece.len());
            skip -= from;
            if let (Ok(piece), Some(rest)) = (piece.offset(from), bytes.get(done..)) {
                piece.copy_from(rest);
                done += rest.len().min(piece.len());
            }
        }
        done
    }
}
