//! Plans a run, starts its processes, and merges what they say. Knows `domain`, `linux` and `allocation`.

pub mod guardian;
