//! The binary: see the library of the same name.
//!
//! Until the command line is built: `hugeprobe worker TASK`, the task as JSON, which writes its part to standard output.

use std::error::Error;
use std::io;

use hugeprobe::allocation::{self, Task};
use hugeprobe::domain::part::PartWriter;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some("worker") {
        return Err("write: hugeprobe worker TASK".into());
    }
    let task: Task = serde_json::from_str(&arguments.next().unwrap_or_default())?;
    let mut part = PartWriter::new(io::stdout(), "run", task.role, task.size);
    allocation::run(&task, &mut part)?;
    part.end()?;
    Ok(())
}
