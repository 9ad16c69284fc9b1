//! Reads a compact message. It comes from a container: bounded, checked, and refused as a whole if anything in it is off.

use super::super::catalogue;
use super::super::check::{Because, CheckId, Finding, Outcome};
use super::super::merge::{Ending, WorkerReport};
use super::super::part::{Part, PartError};
use super::super::plan::Role;
use super::super::sharing::AGREED;
use super::super::size::PageSize;
use super::{Container, MESSAGE_LIMIT, Message, Run, SELF, sum};

/// A message that cannot be used. Says nothing of its text: that is not ours to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// It is longer than [`MESSAGE_LIMIT`].
    #[error("longer than {MESSAGE_LIMIT} bytes")]
    TooLong,
    /// It is not one of ours, or not whole: its beginning or its end is missing.
    #[error("no whole message of hugeprobe's")]
    Foreign,
    /// Its bytes are not those that were written.
    #[error("its checksum does not fit")]
    Checksum,
    /// It belongs to another run: somebody else's message was handed in.
    #[error("it belongs to another run")]
    OtherRun,
    /// It speaks for the other container, or of another size.
    #[error("it speaks for another container, or of another size")]
    Other,
    /// A line says what no container says.
    #[error("line {0} is none of a message")]
    Line(usize),
    /// It could have been written otherwise: nobody here did.
    #[error("it is not spelt as it is written")]
    Spelling,
}

// === impl Message ===

impl Message {
    /// Reads the message of `container` about `size` in run `run`.
    ///
    /// Of what passed, the words are the catalogue's, and the evidence is the digest of what both sides must agree on.
    ///
    /// # Errors
    ///
    /// See [`CompactError`].
    pub fn parse(text: &str, container: Container, size: PageSize, run: &Run) -> Result<Self, CompactError> {
        if text.len() > MESSAGE_LIMIT {
            return Err(CompactError::TooLong);
        }
        // Who hands it on may leave out the last newline.
        let text = text.strip_suffix('\n').unwrap_or(text);
        check_sum(text)?;
        let mut lines = text.lines().enumerate();
        check_head(lines.next().map(|(_, line)| line).unwrap_or_default(), container, size, run)?;
        let mut message = Self { container, size, run: run.clone(), findings: vec![], workers: vec![] };
        let mut own = None;
        for (index, line) in lines {
            let bad = || CompactError::Line(index + 1);
            if line.starts_with("verdict ") {
                continue;
            }
            if let Some(words) = line.strip_prefix(' ') {
                message.add_words(words).ok_or_else(bad)?;
                continue;
            }
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            if name == SELF {
                own = Some(()).filter(|()| own.is_none() && message.workers.is_empty());
                own.ok_or_else(bad)?;
                let about = |id| findings_size(id, size);
                message.findings = findings(rest, container.inspections(), about).ok_or_else(bad)?;
            } else {
                let worker = worker(name, rest, container, size).ok_or_else(bad)?;
                message.workers.push(worker);
            }
        }
        // Anything left out, doubled, out of order or between the lines shows here.
        if message.write().strip_suffix('\n') == Some(text) {
            Ok(message)
        } else {
            Err(CompactError::Spelling)
        }
    }

    /// The words of a line that begins with a space, for the line before it.
    fn add_words(&mut self, line: &str) -> Option<()> {
        let (label, words) = line.split_once(' ')?;
        let Some(worker) = self.workers.last_mut() else {
            return explain(&mut self.findings, label, words);
        };
        match label {
            "!" => match &mut worker.ending {
                Ending::BrokenOff(why) | Ending::NotStarted(why) => *why = words.to_owned(),
                Ending::Exited(_) | Ending::Signalled { .. } | Ending::Deadline => return None,
            },
            "?" => match &mut worker.part {
                Err(PartError::Told(why)) => *why = words.to_owned(),
                _ => return None,
            },
            _ => {
                let part = worker.part.as_mut().ok()?;
                match label.strip_prefix('@') {
                    Some(id) => part.last_step = Some((id.parse().ok()?, words.to_owned())),
                    None => return explain(&mut part.findings, label, words),
                }
            }
        }
        Some(())
    }
}

/// The sum at the end is over everything before it.
fn check_sum(text: &str) -> Result<(), CompactError> {
    if !text.starts_with("hugeprobe/1 ") {
        return Err(CompactError::Foreign);
    }
    let at = text.len().saturating_sub(sum::CRC_DIGITS);
    let (body, digits) = text.split_at_checked(at).ok_or(CompactError::Foreign)?;
    let last = body.lines().next_back().unwrap_or_default();
    if !last.starts_with("verdict ") || !last.ends_with(" crc32 ") {
        return Err(CompactError::Foreign);
    }
    if digits == format!("{:08x}", sum::crc32(body.as_bytes())) {
        Ok(())
    } else {
        Err(CompactError::Checksum)
    }
}

fn check_head(line: &str, container: Container, size: PageSize, run: &Run) -> Result<(), CompactError> {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, its_container, its_size, its_run] = words.as_slice() else { return Err(CompactError::Foreign) };
    if *its_run != run.to_string() {
        return Err(CompactError::OtherRun);
    }
    if (*its_container, *its_size) != (container.to_string().as_str(), size.to_string().as_str()) {
        return Err(CompactError::Other);
    }
    Ok(())
}

/// What a check of the catalogue is about: this size, or the machine.
fn findings_size(id: CheckId, size: PageSize) -> Option<PageSize> {
    catalogue::find(id).filter(|check| check.per_size).map(|_| size)
}

fn worker(name: &str, rest: &str, container: Container, size: PageSize) -> Option<WorkerReport> {
    let role = container.roles().find(|role| role.to_string() == name)?;
    let (ending, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (ending, ended, invalid) = match (ending.strip_suffix('+'), ending.strip_suffix('?')) {
        (Some(ending), _) => (ending, true, false),
        (None, Some(ending)) => (ending, false, true),
        (None, None) => (ending, false, false),
    };
    let ending = read_ending(ending)?;
    let size = Some(size).filter(|_| role != Role::Syscalls);
    let findings = findings(rest, role.checks(), |_| size)?;
    let part = match invalid {
        true => Err(PartError::Told(String::new())),
        false => Ok(Part { findings, last_step: None, ended }),
    };
    Some(WorkerReport { role, size, part, ending, log: String::new() })
}

fn read_ending(word: &str) -> Option<Ending> {
    let signalled =
        |name: &str, raised_by_kernel| Ending::Signalled { name: name.to_owned(), raised_by_kernel };
    Some(match word.split_once(':') {
        Some(("exit", code)) => Ending::Exited(code.parse().ok()?),
        Some(("fault", name)) => signalled(name, true),
        Some(("signal", name)) => signalled(name, false),
        Some(_) => return None,
        None => match word {
            "deadline" => Ending::Deadline,
            "broken" => Ending::BrokenOff(String::new()),
            "unstarted" => Ending::NotStarted(String::new()),
            _ => return None,
        },
    })
}

/// `HP501p HP601p~8c3ef0b2a9d14e77`, of `known` alone.
fn findings(
    words: &str,
    known: &[CheckId],
    about: impl Fn(CheckId) -> Option<PageSize>,
) -> Option<Vec<Finding>> {
    words.split(' ').filter(|word| !word.is_empty()).map(|word| finding(word, known, &about)).collect()
}

fn finding(word: &str, known: &[CheckId], about: &impl Fn(CheckId) -> Option<PageSize>) -> Option<Finding> {
    let (word, digest) = match word.split_once('~') {
        Some((word, digest)) => (word, Some(digest)),
        None => (word, None),
    };
    let (id, letter) = word.split_at_checked(word.len().checked_sub(1)?)?;
    let id: CheckId = id.parse().ok()?;
    if !known.contains(&id) || digest.is_some_and(|digest| letter != "p" || !sum::is_digest(digest)) {
        return None;
    }
    let not_pass = |outcome| Finding::not_pass(id, about(id), outcome, "", Because::new("", ""));
    Some(match letter {
        "p" => {
            let title = catalogue::find(id).map_or("", |check| check.title);
            let finding = Finding::pass(id, about(id), title);
            digest.map_or(finding.clone(), |digest| finding.with(AGREED, digest))
        }
        "s" => Finding::skip(id, about(id), ""),
        "w" => not_pass(Outcome::Warn),
        "u" => not_pass(Outcome::Unknown),
        "f" => not_pass(Outcome::Fail),
        _ => return None,
    })
}

/// Gives the finding that `label` names its words.
fn explain(findings: &mut [Finding], label: &str, words: &str) -> Option<()> {
    let id: CheckId = label.parse().ok()?;
    let finding = findings.iter_mut().find(|finding| finding.id == id && finding.outcome != Outcome::Pass)?;
    let mut fields = words.splitn(4, '\t').map(str::to_owned);
    finding.summary = fields.next()?;
    finding.seen = fields.next().unwrap_or_default();
    finding.expected = fields.next().unwrap_or_default();
    if let Some(remedy) = fields.next() {
        finding.remedy = remedy;
    }
    Some(())
}
