//! Shares huge pages between two processes the way vhost-user does: the messages, both roles and the virtqueues.
//!
//! The code is synchronous: one thread, and poll(2) with deadlines. Each side treats the other as hostile. Whatever a
//! peer sends leads, before the deadline, to a protocol answer or to an error that names what was wrong.
//!
//! Reading order: [`message`] is the wire format, [`channel`] transports messages with their descriptors, and
//! [`table`] is the memory as the receiver sees it.

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
