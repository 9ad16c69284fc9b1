//! How large the rings are: as large as the memory lets them be.

use super::FrontendError;
use super::memory::Area;
use super::traffic::Pair;

/// The sizes that are tried, in descriptors: from what virtio_user has by default to what fits into next to nothing.
const SIZES: [u16; 6] = [256, 128, 64, 32, 16, 8];

// === impl Pair ===

impl<'m> Pair<'m> {
    /// The largest pair of queues that fits into the areas, of which nothing is taken before.
    ///
    /// # Errors
    ///
    /// Not even the smallest fits.
    pub fn largest(areas: &mut [Area<'m>], features: u64) -> Result<Self, FrontendError> {
        let mut last = FrontendError::TooLittleMemory { size: 0 };
        for size in SIZES {
            areas.iter_mut().for_each(Area::clear);
            match Self::new(areas, size, features) {
                Ok(pair) => return Ok(pair),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Whether the backend has written to one of the rings: a sign that it has the memory.
    ///
    /// # Errors
    ///
    /// None that a peer can cause.
    pub fn is_written_to(&self) -> Result<bool, FrontendError> {
        let [receive, transmit] = self.queues().map(super::queue::Queue::is_written_to);
        Ok(receive? || transmit?)
    }
}
