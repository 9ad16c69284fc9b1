//! Reads and touches the machine; knows `domain` alone.

pub mod directory;
pub mod mountinfo;
pub mod mounts;
pub mod root;
