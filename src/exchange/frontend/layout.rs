//! Chooses the largest ring size that fits in the memory.

use super::FrontendError;
use super::memory::Area;
use super::traffic::Pair;

/// The ring sizes to try, in descriptors: from virtio_user's default down to a size that needs very little memory.
const SIZES: [u16; 6] = [256, 128, 64, 32, 16, 8];

// === impl Pair ===

impl<'m> Pair<'m> {
    /// Creates the largest pair of queues that fits in the areas. Releases everything taken from the areas before.
    ///
    /// # Errors
    ///
    /// Not even the smallest size fits.
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

    /// Returns whether the backend has written to one of the rings, a sign that it has mapped the memory.
    ///
    /// # Errors
    ///
    /// Fails only on internal errors, never on what the peer sends.
    pub fn is_written_to(&self) -> Result<bool, FrontendError> {
        let [receive, transmit] = self.queues().map(super::queue::Queue::is_written_to);
        Ok(receive? || transmit?)
    }
}
