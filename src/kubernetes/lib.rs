//! The DaemonSet: what the agent observes, decides and publishes.
//!
//! A pure reconciler takes observations and returns actions. A thin runtime around it makes the API calls. No code in
//! this module maps a page; the probe pods do that.
//!
//! [`config`] is the agent's configuration and [`names`] holds all keys and labels. [`reconcile`] decides.
//! [`probe_pod`] builds the pod that the agent creates, and [`pod_outcome`] reads its result. [`publication`] and
//! [`event`] build what is published about the Node.

pub mod agent;
pub mod api;
pub mod backoff;
pub mod cleanup;
pub mod config;
pub mod event;
pub mod fits;
pub mod follow;
pub mod names;
pub mod node_report;
pub mod nodes;
pub mod object_events;
pub mod order;
pub mod pod_outcome;
pub mod pod_requests;
pub mod policies;
pub mod probe_pod;
pub mod publication;
pub mod quantity;
pub mod recheck;
pub mod reconcile;
pub mod slim;
pub mod who;
pub mod why;
