//! Reads and touches the machine; knows `domain` alone.

pub mod root;
