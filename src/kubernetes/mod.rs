//! The DaemonSet: what the agent sees, decides and publishes.
//!
//! A pure reconciler takes observations in and gives actions out; a thin runtime around it makes the calls. Nothing here maps
//! a page: that is done by the probe pods.
//!
//! [`config`] and [`names`] are its configuration and the names of its keys; [`reconcile`] decides;
//! [`probe_pod`] is the pod that it creates, [`pod_outcome`] the result; [`publication`] and [`event`] are what the Node
//! shows of it.

pub mod agent;
pub mod api;
pub mod backoff;
pub mod cleanup;
pub mod config;
pub mod event;
pub mod names;
pub mod nodes;
pub mod pod_outcome;
pub mod pod_requests;
pub mod probe_pod;
pub mod publication;
pub mod quantity;
pub mod reconcile;
pub mod slim;
