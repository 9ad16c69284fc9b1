//! Tests the reconciler in a simulated world: an API server, a kubelet and a machine that behave as each test
//! requires, second by second.

mod adoption;
mod calm;
mod life;
mod probes;
mod properties;
mod recheck;
mod texts;
mod world;
mod writes;
