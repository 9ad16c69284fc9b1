//! Judges facts that were read: one file per group of the catalogue, each a pure function from inventory and request
//! to findings.
