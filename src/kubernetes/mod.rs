//! The DaemonSet: what the agent sees, decides and publishes.
//!
//! A pure core takes observations in and gives actions out; a thin runtime around it makes the calls. Nothing here maps
//! a page: that is done by the probe pods.
