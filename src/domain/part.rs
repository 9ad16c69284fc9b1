//! A part: what one worker process says about its work, line by line, as it goes.
//!
//! JSON lines: each step is announced before it is tried, so that the parent knows what killed a worker; each finding
//! is written when it is known; the last line says that nothing is missing. A part comes from another process and is
//! read as data from a stranger: bounded, checked, and invalid as a whole if anything in it is.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::check::{CheckId, Finding};
use super::movement::Step;
use super::plan::Role;
use super::size::PageSize;

/// The longest part that is read, in bytes.
pub const PART_LIMIT: usize = 64 << 10;

/// The version of the lines below.
const VERSION: u8 = 1;

/// What the work says as it goes. Implemented by [`PartWriter`] for a worker's standard output.
pub trait WorkerOutput {
    /// Announces what is about to be tried, for which check.
    ///
    /// # Errors
    ///
    /// The reader is gone: stop and give back what is held.
    fn step(&mut self, id: CheckId, what: &str) -> io::Result<()>;

    /// Announces a step whose effect on the pool is documented. `walk` shows these, with the counters before and after.
    ///
    /// # Errors
    ///
    /// As [`WorkerOutput::step`].
    fn page_step(&mut self, id: CheckId, what: &str, effect: Step) -> io::Result<()> {
        let _ = effect;
        self.step(id, what)
    }

    /// Reports a finding.
    ///
    /// # Errors
    ///
    /// As [`WorkerOutput::step`].
    fn found(&mut self, finding: Finding) -> io::Result<()>;
}

/// Writes a part.
#[derive(Debug)]
pub struct PartWriter<W> {
    out: W,
    run: String,
    role: Role,
    size: Option<PageSize>,
}

/// A part as it was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Part {
    /// The findings, in order, each id once.
    pub findings: Vec<Finding>,
    /// The last step announced, and the check that it was for.
    pub last_step: Option<(CheckId, String)>,
    /// Whether the worker said that it was done.
    pub ended: bool,
}

/// A part that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// It is longer than [`PART_LIMIT`].
    #[error("longer than {PART_LIMIT} bytes")]
    TooLong,
    /// A line cannot be parsed.
    #[error("line {line} is malformed: {why}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// What serde says.
        why: String,
    },
    /// It speaks for another worker.
    #[error("line {line} is from another worker ({role} {size})")]
    Foreign {
        /// Counted from 1.
        line: usize,
        /// Whom it speaks for.
        role: Role,
        /// The size that it speaks of.
        size: String,
    },
    /// It belongs to another run.
    #[error("line {line} belongs to another run")]
    OtherRun {
        /// Counted from 1.
        line: usize,
    },
    /// One check is reported twice.
    #[error("{0} is reported twice")]
    Twice(CheckId),
    /// Something follows the end.
    #[error("line {line} comes after the end")]
    AfterEnd {
        /// Counted from 1.
        line: usize,
    },
    /// The reader of the part, a container, found it invalid, and why.
    #[error("{0}")]
    Reported(String),
    /// No part arrived: the message of the container that contains it is missing, or was rejected; why.
    #[error("{0}")]
    NotHeard(String),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    End(End),
    Step {
        v: u8,
        run: String,
        role: Role,
        size: Option<PageSize>,
        id: CheckId,
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        effect: Option<Step>,
    },
    Found {
        v: u8,
        run: String,
        role: Role,
        #[serde(flatten)]
        finding: Finding,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    end: bool,
}

// === impl PartWriter ===

impl<W: Write> PartWriter<W> {
    /// A part of `role` about `size`, in the run named `run`.
    pub fn new(out: W, run: impl Into<String>, role: Role, size: Option<PageSize>) -> Self {
        Self { out, run: run.into(), role, size }
    }

    /// Writes the last line.
    ///
    /// # Errors
    ///
    /// The reader is gone.
    pub fn end(mut self) -> io::Result<()> {
        self.line(&Line::End(End { end: true }))
    }

    fn announce(&mut self, id: CheckId, what: &str, effect: Option<Step>) -> io::Result<()> {
        let (run, role, size) = (self.run.clone(), self.role, self.size);
        self.line(&Line::Step { v: VERSION, run, role, size, id, step: what.to_owned(), effect })
    }

    /// One line, in one write and flushed: the next thing may kill this process.
    fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.out.write_all(&text)?;
        self.out.flush()
    }
}

impl<W: Write> WorkerOutput for PartWriter<W> {
    fn step(&mut self, id: CheckId, what: &str) -> io::Result<()> {
        self.announce(id, what, None)
    }

    fn page_step(&mut self, id: CheckId, what: &str, effect: Step) -> io::Result<()> {
        self.announce(id, what, Some(effect))
    }

    fn found(&mut self, finding: Finding) -> io::Result<()> {
        let (run, role) = (self.run.clone(), self.role);
        self.line(&Line::Found { v: VERSION, run, role, finding })
    }
}

/// A step that a worker is about to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// What it is.
    pub step: String,
    /// What it does to the pool, where that is documented.
    pub effect: Option<Step>,
}

/// The step that one line of a part announces; `None` for every other line. For progress and for `walk`: no finding
/// depends on it.
#[must_use]
pub fn announced(line: &[u8]) -> Option<Announced> {
    match serde_json::from_slice(line).ok()? {
        Line::Step { step, effect, .. } => Some(Announced { step, effect }),
        Line::End(_) | Line::Found { .. } => None,
    }
}

// === impl Part ===

impl Part {
    /// Reads a part of `role` about `size` in run `run`. A last line without its newline was cut off by the worker's
    /// death and is left out; anything else that does not fit makes the whole part invalid.
    ///
    /// # Errors
    ///
    /// See [`PartError`].
    pub fn parse(bytes: &[u8], run: &str, role: Role, size: Option<PageSize>) -> Result<Self, PartError> {
        if bytes.len() > PART_LIMIT {
            return Err(PartError::TooLong);
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut part = Self::default();
        for (index, text) in
            bytes.get(..whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n').enumerate()
        {
            let line = index + 1;
            if part.ended {
                return Err(PartError::AfterEnd { line });
            }
            let parsed = serde_json::from_slice(text)
                .map_err(|error| PartError::Malformed { line, why: error.to_string() })?;
            let check_head = |v: u8, its_run: &str, its_role: Role, its_size: Option<PageSize>| {
                if v != VERSION {
                    Err(PartError::Malformed { line, why: format!("version {v} instead of {VERSION}") })
                } else if its_run != run {
                    Err(PartError::OtherRun { line })
                } else if (its_role, its_size) != (role, size) {
                    let size = its_size.map_or_else(|| "no size".to_owned(), |size| size.to_string());
                    Err(PartError::Foreign { line, role: its_role, size })
                } else {
                    Ok(())
                }
            };
            match parsed {
                Line::End(End { end: true }) => part.ended = true,
                Line::End(_) => {
                    return Err(PartError::Malformed { line, why: "end is false".to_owned() });
                }
                Line::Step { v, run, role, size, id, step, effect: _ } => {
                    check_head(v, &run, role, size)?;
                    part.last_step = Some((id, step));
                }
                Line::Found { v, run, role, finding } => {
                    check_head(v, &run, role, finding.size)?;
                    if part.findings.iter().any(|other| other.id == finding.id) {
                        return Err(PartError::Twice(finding.id));
                    }
                    part.findings.push(finding);
                }
            }
        }
        Ok(part)
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{HP501, HP502};
    use super::*;
    use proptest::prelude::*;

    const RUN: &str = "a-run";

    fn size() -> Option<PageSize> {
        PageSize::from_bytes(2 << 20)
    }

    fn written(ended: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = PartWriter::new(&mut out, RUN, Role::Memfd, size());
        writer.step(HP501, "map 2 pages").unwrap();
        writer.found(Finding::pass(HP501, size(), "reserve +2").with("pages", 2)).unwrap();
        writer.step(HP502, "write one byte").unwrap();
        if ended {
            writer.end().unwrap();
        }
        out
    }

    fn parse(bytes: &[u8]) -> Result<Part, PartError> {
        Part::parse(bytes, RUN, Role::Memfd, size())
    }

    #[test]
    fn what_is_written_is_read() {
        let part = parse(&written(true)).unwrap();
        assert!(part.ended);
        assert_eq!(part.last_step, Some((HP502, "write one byte".to_owned())));
        assert_eq!(part.findings, [Finding::pass(HP501, size(), "reserve +2").with("pages", 2)]);
    }

    #[test]
    fn a_step_is_announced_with_its_effect_on_the_pool() {
        let mut out = Vec::new();
        let mut writer = PartWriter::new(&mut out, RUN, Role::Memfd, size());
        let effect = Step::Release { touched: 1, unused: 1, held: 0 };
        writer.step(HP501, "look").unwrap();
        writer.page_step(HP502, "unmap", effect).unwrap();
        writer.found(Finding::pass(HP501, size(), "reserve +2")).unwrap();
        writer.end().unwrap();
        let heard: Vec<_> = out.split(|byte| *byte == b'\n').map(announced).collect();
        let step = |step: &str, effect| Some(Announced { step: step.to_owned(), effect });
        assert_eq!(heard, [step("look", None), step("unmap", Some(effect)), None, None, None]);
        assert_eq!(parse(&out).unwrap().last_step, Some((HP502, "unmap".to_owned())));
    }

    #[test]
    fn a_worker_that_died_leaves_what_it_had_said() {
        let whole = written(true);
        for length in 0..whole.len() {
            let part = parse(&whole[..length]).unwrap();
            assert!(!part.ended, "cut at {length}");
        }
    }

    #[test]
    fn a_part_that_is_not_this_workers_is_invalid() {
        let bytes = written(true);
        assert!(matches!(
            Part::parse(&bytes, "other", Role::Memfd, size()),
            Err(PartError::OtherRun { line: 1 })
        ));
        assert!(matches!(Part::parse(&bytes, RUN, Role::Anonymous, size()), Err(PartError::Foreign { .. })));
        assert!(matches!(Part::parse(&bytes, RUN, Role::Memfd, None), Err(PartError::Foreign { .. })));
    }

    #[test]
    fn anything_that_does_not_fit_makes_the_part_invalid() {
        let with = |line: &str| [&written(false)[..], line.as_bytes(), b"\n{\"end\":true}\n"].concat();
        for (line, error) in [
            ("", "line 4 is malformed"),
            ("null", "line 4 is malformed"),
            ("{}", "line 4 is malformed"),
            (r#"{"end":false}"#, "line 4 is malformed"),
            (r#"{"end":true}"#, "after the end"),
            (r#"{"v":2,"run":"a-run","role":"memfd","size":"2Mi","id":"HP503","step":"x"}"#, "version 2"),
            (
                r#"{"v":1,"run":"a-run","role":"memfd","size":"2Mi","id":"HP999","step":"x"}"#,
                "line 4 is malformed",
            ),
            (
                r#"{"v":1,"run":"a-run","role":"memfd","size":"2Mi","id":"HP501","outcome":"pass","summary":"x"}"#,
                "twice",
            ),
            (
                r#"{"v":1,"run":"a-run","role":"memfd","size":"2Mi","id":"HP503","outcome":"fine","summary":"x"}"#,
                "line 4",
            ),
        ] {
            let text = parse(&with(line)).unwrap_err().to_string();
            assert!(text.contains(error), "{line}: {text}");
        }
        assert_eq!(parse(&vec![b' '; PART_LIMIT + 1]), Err(PartError::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_changed_byte_never_adds_a_finding(at in 0_usize..400, byte: u8) {
            let mut bytes = written(true);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(part) = parse(&bytes) {
                prop_assert!(part.findings.len() <= 1);
            }
        }
    }
}
