//! One run: reads the facts, plans, starts workers, merges their parts and judges. Synchronous: poll(2) with deadlines,
//! no threads.
//!
//! docs/internals/architecture.md says which process does what. The process that the user starts never maps pages,
//! every worker is a re-exec of this program, and every fork is followed by exec.

pub mod assignment;
#[cfg(feature = "bundle")]
pub mod bundle;
pub mod check;
pub mod container;
pub mod gather;
pub mod guardian;
pub mod planning;
pub mod standalone;
pub mod supervisor;
pub mod walk;
pub mod worker;
