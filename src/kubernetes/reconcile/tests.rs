//! The reconciler in a small world: an API server, a kubelet and a machine that do what each test wants, second by second.

mod adoption;
mod calm;
mod life;
mod probes;
mod properties;
mod texts;
mod world;
mod writes;
