//! A part: the report of one worker process, written line by line while it works.
//!
//! A part consists of JSON lines. Each step is announced before it is tried, so that the parent knows what killed a
//! worker. Each finding is written as soon as it is known. The last line shows that nothing is missing. A part comes
//! from another process and is not trusted: its length is limited, all of it is checked, and anything invalid in it
//! makes the whole part invalid.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::check::{CheckId, Finding};
use super::movement::Step;
use super::plan::Role;
use super::size::PageSize;

/// The maximum length of a part, in bytes.
pub const PART_LIMIT: usize = 64 << 10;

/// The version of the line format.
const VERSION: u8 = 1;

/// The output of a worker while it works. [`PartWriter`] implements it for the worker's standard output.
pub trait WorkerOutput {
    /// Announces the step that is about to be tried, and the check that it belongs to.
    ///
    /// # Errors
    ///
    /// The reader is gone. Stop, and release everything that is held.
    fn step(&mut self, id: CheckId, what: &str) -> io::Result<()>;

    /// Announces a step whose effect on the pool is documented. `walk` shows the counters before and after such a step.
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

/// Writes a part as JSON lines.
#[derive(Debug)]
pub struct PartWriter<W> {
    out: W,
    run: String,
    role: Role,
    size: Option<PageSize>,
}

/// A part that was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Part {
    /// The findings in the order in which they were written. Each id occurs once.
    pub findings: Vec<Finding>,
    /// The last step that was announced, and the check that it belongs to.
    pub last_step: Option<(CheckId, String)>,
    /// Whether the part has its end line.
    pub ended: bool,
}

/// Why a part cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The part is longer than [`PART_LIMIT`].
    #[error("longer than {PART_LIMIT} bytes")]
    TooLong,
    /// A line cannot be parsed.
    #[error("line {line} is malformed: {why}")]
    Malformed {
        /// The number of the line, counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A line is from another worker.
    #[error("line {line} is from another worker ({role} {size})")]
    Foreign {
        /// The number of the line, counted from 1.
        line: usize,
        /// The role in the line.
        role: Role,
        /// The page size in the line.
        size: String,
    },
    /// A line belongs to another run.
    #[error("line {line} belongs to another run")]
    OtherRun {
        /// The number of the line, counted from 1.
        line: usize,
    },
    /// One check is reported twice.
    #[error("{0} is reported twice")]
    Twice(CheckId),
    /// A line follows the end line.
    #[error("line {line} comes after the end")]
    AfterEnd {
        /// The number of the line, counted from 1.
        line: usize,
    },
    /// The container that read the part found it invalid; the text says why.
    #[error("{0}")]
    Reported(String),
    /// No part arrived, because the container message that contains it is missing or was rejected; the text says why.
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
    /// Creates a writer for the part of `role` about `size`, in the run named `run`.
    pub fn new(out: W, run: impl Into<String>, role: Role, size: Option<PageSize>) -> Self {
        Self { out, run: run.into(), role, size }
    }

    /// Writes the end line.
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

    /// Writes one line in a single write and flushes it, because the next step may kill this process.
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
    /// The description of the step.
    pub step: String,
    /// The documented effect on the pool, if there is one.
    pub effect: Option<Step>,
}

/// Returns the step that a line of a part announces; `None` for any other line. Used for progress and by `walk`; no
/// finding depends on it.
#[must_use]
pub fn announced(line: &[u8]) -> Option<Announced> {
    match serde_json::from_slice(line).ok()? {
        Line::Step { step, effect, .. } => Some(Announced { step, effect }),
        Line::End(_) | Line::Found { .. } => None,
    }
}

// === impl Part ===

impl Part {
    /// Reads a part of `role` about `size` in run `run`.
    ///
    /// A last line without its newline was cut off when the worker died, and is ignored. Any other invalid line makes
    /// the whole part invalid.
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
