//! Counts requests to the API server.

use super::error::{Resource, Verb};

/// Receives every completed request, with the HTTP status if there was an answer.
pub trait Meter: Send + Sync {
    /// Counts one request.
    fn request(&self, verb: Verb, resource: Resource, code: Option<u16>);

    /// Records that a request succeeded and that its answer could be parsed.
    fn succeeded(&self, verb: Verb, resource: Resource) {
        let _ = (verb, resource);
    }
}

/// A meter that counts nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unmetered;

impl Meter for Unmetered {
    fn request(&self, _: Verb, _: Resource, _: Option<u16>) {}
}
