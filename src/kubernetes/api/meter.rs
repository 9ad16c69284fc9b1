//! Counts requests.

use super::error::{Resource, Verb};

/// Gets every completed request: what it was, and the status of the answer, if there was one.
pub trait Meter: Send + Sync {
    /// Counts one request.
    fn request(&self, verb: Verb, resource: Resource, code: Option<u16>);

    /// A request succeeded, and its answer was understood.
    fn succeeded(&self, verb: Verb, resource: Resource) {
        let _ = (verb, resource);
    }
}

/// Counts nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unmetered;

impl Meter for Unmetered {
    fn request(&self, _: Verb, _: Resource, _: Option<u16>) {}
}
