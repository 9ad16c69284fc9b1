//! Parses the rows of known failures. The comment at the top of `rows.txt` describes the format.

use super::{Chapter, Kind, KnownFailure, MetAs, Pattern};

/// The error for a line of the rows that the format does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the rows: {what}")]
pub struct RowError {
    line: usize,
    what: String,
}

/// A key with its value and its line number.
struct Entry {
    line: usize,
    key: &'static str,
    value: Value,
}

/// A value of one line, or several lines joined.
enum Value {
    One(&'static str),
    Joined(String),
}

/// Parses the chapters in `text`.
///
/// # Errors
///
/// Returns the first line that the format does not allow.
pub(super) fn chapters(text: &'static str) -> Result<Vec<Chapter>, RowError> {
    let mut chapters: Vec<Chapter> = Vec::new();
    let mut row: Option<(usize, &'static str, Vec<Entry>)> = None;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let error = |what: &str| RowError { line: number, what: what.to_owned() };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("== ") {
            finish(row.take(), &mut chapters)?;
            chapters.push(Chapter { title, failures: Vec::new() });
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            finish(row.take(), &mut chapters)?;
            row = Some((number, name, Vec::new()));
        } else {
            let (_, _, entries) = row.as_mut().ok_or_else(|| error("a key outside a row"))?;
            if let Some(more) = line.strip_prefix("  ") {
                entries.last_mut().ok_or_else(|| error("a continuation without a key"))?.append(more);
            } else {
                let (key, value) =
                    line.split_once(": ").ok_or_else(|| error("neither key nor continuation"))?;
                entries.push(Entry { line: number, key, value: Value::One(value) });
            }
        }
    }
    finish(row, &mut chapters)?;
    Ok(chapters)
}

/// Adds a row to the last chapter.
fn finish(row: Option<(usize, &'static str, Vec<Entry>)>, chapters: &mut [Chapter]) -> Result<(), RowError> {
    let Some((line, name, entries)) = row else { return Ok(()) };
    let chapter = chapters
        .last_mut()
        .ok_or_else(|| RowError { line, what: "a row before the first chapter".to_owned() })?;
    chapter.failures.push(failure(line, name, entries)?);
    Ok(())
}

/// Builds the failure of a row. Its `[name]` is on line `line`.
fn failure(line: usize, name: &'static str, entries: Vec<Entry>) -> Result<KnownFailure, RowError> {
    let (mut met_as, mut kind, mut beside, mut cause, mut remedy, mut checks) =
        (None, None, None, None, None, None);
    let (mut patterns, mut unless, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        let repeated = match entry.key {
            "line" => met_as.replace(MetAs::Line(entry.one()?)).is_some(),
            "symptom" => met_as.replace(MetAs::Symptom(entry.joined())).is_some(),
            "match" => {
                patterns.push(entry.pattern()?);
                false
            }
            "beside" => beside.replace(entry.pattern()?).is_some(),
            "unless" => {
                unless.push(entry.pattern()?);
                false
            }
            "kind" => kind.replace(entry.kind()?).is_some(),
            "checks" => checks.replace(entry.checks()?).is_some(),
            "seen" => {
                sources.push(entry.one()?);
                false
            }
            "cause" => cause.replace(entry.joined()).is_some(),
            "remedy" => remedy.replace(entry.joined()).is_some(),
            _ => return Err(entry.error("unknown key")),
        };
        if repeated {
            return Err(RowError { line, what: format!("[{name}] has a key twice") });
        }
    }
    let without = |key: &str| RowError { line, what: format!("[{name}] has no {key}") };
    let met_as = met_as.ok_or_else(|| without("line or symptom"))?;
    match (&met_as, patterns.is_empty()) {
        (MetAs::Line(_), true) => return Err(without("match for its line")),
        (MetAs::Symptom(_), false) => return Err(without("line for its match")),
        _ => {}
    }
    if sources.is_empty() {
        return Err(without("seen"));
    }
    Ok(KnownFailure {
        name,
        met_as,
        kind: kind.unwrap_or(Kind::Cause),
        patterns,
        beside,
        unless,
        cause: cause.ok_or_else(|| without("cause"))?,
        remedy: remedy.ok_or_else(|| without("remedy"))?,
        checks: checks.ok_or_else(|| without("checks"))?,
        sources,
    })
}

impl Entry {
    fn append(&mut self, more: &str) {
        let before = std::mem::replace(&mut self.value, Value::One(""));
        let before = match before {
            Value::One(text) => text.to_owned(),
            Value::Joined(text) => text,
        };
        self.value = Value::Joined(format!("{before} {more}"));
    }

    fn error(&self, what: &str) -> RowError {
        RowError { line: self.line, what: format!("{what} ('{}')", self.key) }
    }

    /// Returns the value, which must be on one line.
    fn one(&self) -> Result<&'static str, RowError> {
        match self.value {
            Value::One(text) => Ok(text),
            Value::Joined(_) => Err(self.error("this key takes one line")),
        }
    }

    fn joined(self) -> String {
        match self.value {
            Value::One(text) => text.to_owned(),
            Value::Joined(text) => text,
        }
    }

    fn pattern(&self) -> Result<Pattern, RowError> {
        Pattern::parse(self.one()?).ok_or_else(|| self.error("an empty piece"))
    }

    fn kind(&self) -> Result<Kind, RowError> {
        match self.one()? {
            "consequence" => Ok(Kind::Consequence),
            "harmless" => Ok(Kind::Harmless),
            _ => Err(self.error("neither consequence nor harmless")),
        }
    }

    /// Parses the value as ids of the catalogue, or `none`.
    fn checks(&self) -> Result<Vec<crate::check::CheckId>, RowError> {
        match self.one()? {
            "none" => Ok(Vec::new()),
            ids => ids
                .split(' ')
                .map(str::parse)
                .collect::<Result<_, _>>()
                .map_err(|_| self.error("unknown check")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str =
        "== A\n\n[a]\nline: x y\nmatch: x\ncause: one\n  two\nremedy: r\nchecks: none\nseen: here\n";

    #[test]
    fn a_row_is_read_with_its_continuations() {
        let chapters = chapters(ROW).unwrap();
        let failure = &chapters[0].failures[0];
        assert_eq!((chapters[0].title, failure.name, failure.cause.as_str()), ("A", "a", "one two"));
        assert_eq!(failure.met_as, MetAs::Line("x y"));
    }

    #[test]
    fn an_error_names_its_line() {
        for (from, to, line) in [
            ("cause: one", "caus: one", 6),
            ("cause: one", "cause:one", 6),
            ("match: x", "match: x**y", 5),
            ("match: x\n", "", 3),
            ("checks: none", "checks: HP999", 9),
            ("checks: none", "checks: none\nkind: odd", 10),
            ("seen: here", "seen: here\n  and there", 10),
            ("seen: here\n", "", 3),
            ("remedy: r", "remedy: r\nremedy: s", 3),
            ("remedy: r\n", "", 3),
            ("== A\n", "", 2),
            ("line: x y", "symptom: x y", 3),
            ("[a]", "key: a", 3),
        ] {
            let text = ROW.replacen(from, to, 1);
            let error = chapters(Box::leak(text.into_boxed_str())).unwrap_err();
            assert_eq!(error.line, line, "{from} -> {to}: {error}");
        }
    }
}
