//! Two processes share huge pages as vhost-user does it: the conversation, both roles, and the virtqueues.
//!
//! Synchronous, one thread, poll(2) with deadlines. Either side treats the other as hostile: whatever it sends ends in
//! an answer of the protocol or in an error that says what was wrong, within the deadline.
//!
//! Reading order: [`message`] is the wire format, [`channel`] carries it with its descriptors, [`table`] is the memory
//! as the receiver has it.

pub mod backend;
pub mod channel;
pub mod frame;
pub mod frontend;
pub mod message;
pub mod net;
pub mod peer;
pub mod ring;
pub mod role;
pub mod socket;
pub mod standalone;
pub mod table;

pub use role::{SessionTask, Source, run};
