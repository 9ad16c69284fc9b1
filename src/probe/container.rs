//! The program that runs in the two containers of a probe pod, and the agent's evaluation of the messages they leave.
//!
//! Each container runs an orchestrator like `check`: it reads its own mount and limits, starts one worker after
//! another, and reports their results at the end. For a session each container starts one worker of the pair. The two
//! workers meet at a socket in a directory that both containers see, with one socket for each session. The backend
//! creates the socket of a session only after it has reaped its worker of the previous session, and a worker is started
//! only after the two containers have connected. Therefore at most one session holds pages, however the previous one
//! ended.
//!
//! [`probe`] and [`conclude`](mod@conclude) are pure: the agent makes the same plan as the containers and merges their
//! messages as `check` merges parts. [`serve`] is the orchestrator.

pub mod conclude;
pub mod error;
mod log;
mod meeting;
pub mod probe;
mod round;
mod rounds;
pub mod serve;

pub use conclude::{Conclusion, Terminated, conclude};
pub use probe::{Place, Probe};
