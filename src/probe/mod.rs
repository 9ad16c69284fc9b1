//! One run: read, plan, start workers, merge, judge. Synchronous: poll(2) with deadlines, no threads.
//!
//! Which process does what: docs/internals/architecture.md. Nothing maps pages in the process that the user typed, every worker
//! is a re-exec of this program, and nothing forks without exec.

pub mod assignment;
pub mod check;
pub mod container;
pub mod gather;
pub mod guardian;
pub mod planning;
pub mod standalone;
pub mod supervisor;
pub mod walk;
pub mod worker;
