//! The page of the table. Each section is written or compared by one case.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::context::program::Run;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/peers.md");
const COLUMNS: &str =
    "| peer | version | negotiated | pages proved by | frames | afterwards |\n|---|---|---|---|---|---|\n";

/// A row of the table: the result of a session with one peer.
pub(super) struct Line {
    pub(super) peer: String,
    pub(super) version: String,
    pub(super) negotiated: String,
    /// How the session proved that the peer uses the pages.
    pub(super) proof: String,
    pub(super) frames: String,
    /// What the peer did after the session.
    pub(super) afterwards: &'static str,
}

// === impl Line ===

impl Line {
    /// Creates a row from a run of `check --peer`.
    pub(super) fn of_check(
        peer: impl Into<String>,
        version: String,
        run: &Run,
        afterwards: &'static str,
    ) -> Self {
        let report = run.report();
        let entry = |id: &str| {
            let entries = report["checks"].as_array().unwrap().iter();
            entries.clone().find(|entry| entry["id"] == id).unwrap_or_else(|| panic!("{id}: {run:?}"))
        };
        let agreed = &entry("HP612")["evidence"]["negotiated"];
        let words = |name: &str| {
            let words = agreed[name].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
            let words: Vec<_> = words.collect();
            if words.is_empty() { "none".to_owned() } else { words.join(" ") }
        };
        let mut negotiated = format!("{}; protocol {}", words("features"), words("protocol_features"));
        if let Some(pairs) = agreed["queue_pairs"].as_u64() {
            write!(negotiated, "; GET_QUEUE_NUM {pairs}").unwrap();
        }
        let table = entry("HP613");
        let proof = match (table["outcome"].as_str(), table["evidence"]["proof"].as_str()) {
            (Some("pass"), Some(proof)) => format!("HP613 pass: {proof}"),
            (outcome, _) => format!("HP613 {}: it has no REPLY_ACK", outcome.unwrap()),
        };
        let frames = match entry("HP615")["outcome"].as_str().unwrap() {
            "pass" => "HP615 pass".to_owned(),
            outcome => format!("HP615 {outcome}: not a network device"),
        };
        Self { peer: peer.into(), version, negotiated, proof, frames, afterwards }
    }

    fn cells(&self) -> [&str; 6] {
        [&self.peer, &self.version, &self.negotiated, &self.proof, &self.frames, self.afterwards]
    }
}

/// Returns the first number with a dot in the output of `program --version`, if there is such a program.
pub(super) fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split(|letter: char| letter.is_whitespace() || "(),v".contains(letter));
    let is_number =
        |word: &&str| word.contains('.') && word.starts_with(|letter: char| letter.is_ascii_digit());
    Some(words.find(is_number).unwrap_or("unknown").to_owned())
}

/// Writes or compares the section with this heading. Versions, and what was negotiated, may differ.
pub(super) fn section(heading: &str, lines: &[Line]) {
    let mut table = COLUMNS.to_owned();
    for line in lines {
        writeln!(table, "| {} |", line.cells().join(" | ")).unwrap();
    }
    let page = fs::read_to_string(FILE).unwrap();
    let heading = format!("## {heading}\n");
    let (before, rest) = page.split_once(&heading).unwrap_or_else(|| panic!("{FILE} has no {heading}"));
    let begin = rest.find(COLUMNS).unwrap_or_else(|| panic!("{FILE}: {heading} has no table"));
    let end = begin + rest[begin..].find("\n\n").map_or(rest.len() - begin, |end| end + 1);
    if std::env::var_os("UPDATE").is_some() {
        let page = [before, &heading, &rest[..begin], &table, &rest[end..]].concat();
        fs::write(FILE, page).unwrap();
        return;
    }
    let outcomes = |table: &str| -> Vec<String> {
        let cells = |row: &str| {
            let cells: Vec<String> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
            [0, 3, 4, 5].map(|cell| cells.get(cell + 1).cloned().unwrap_or_default()).join(" | ")
        };
        table.lines().map(cells).collect()
    };
    assert_eq!(outcomes(&table), outcomes(&rest[begin..end]), "{heading}: run this case with UPDATE=1");
}
