//! What runs in the two containers of a probe pod, and what the agent makes of what they leave behind.
//!
//! Each container is an orchestrator like `check`: it reads its own mount and limits, starts one worker after another, and
//! reports their results at the end. For a session each starts one of the pair, and the two meet at a socket in a
//! directory that both see, one socket for each session. A session's socket is there only once the backend's worker of
//! the session before has been reaped, and a worker is started only when the two have met: so never more than one
//! session holds pages, whatever happened in the last.
//!
//! [`probe`] and [`conclude`] are pure: the agent has the same plan as the containers and merges what they say as `check`
//! does. [`serve`] is the orchestrator.

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
