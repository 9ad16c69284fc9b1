//! Texts for users contain none of the phrases of phrases.txt: pages, string literals of the source, and help.
//!
//! To hold another text to the list, add its file to `TEXTS`.

use super::{GENERATED, literals, pages, prose, text};

/// The phrases, and what to write instead.
const PHRASES: &str = include_str!("phrases.txt");

/// Texts for users that are not pages.
const TEXTS: &[&str] = &[
    "src/domain/troubleshooting/rows.txt",
    "docs/reference/report.schema.json",
    "charts/hugeprobe/Chart.yaml",
    "charts/hugeprobe/README.md.gotmpl",
    "charts/hugeprobe/files/alerts.yaml",
    "charts/hugeprobe/templates/NOTES.txt",
    "charts/hugeprobe/templates/_validate.tpl",
    "charts/hugeprobe/values.yaml",
];

/// Phrases that look like one of the list and are plain English.
const PLAIN: &[&str] = &["there is no", "is no longer"];

fn phrases() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = PHRASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(" => ").unwrap_or_else(|| panic!("phrases.txt: no ' => ' in '{line}'")))
}

/// Whether `phrase` occurs in `line` as whole words.
fn has(line: &str, phrase: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(phrase).any(|(start, _)| {
        !is_word(line[..start].chars().next_back()) && !is_word(line[start + phrase.len()..].chars().next())
    })
}

/// The phrases in a line, each with what to write instead.
fn found(line: &str) -> Vec<(&'static str, &'static str)> {
    let line = PLAIN.iter().fold(line.to_lowercase(), |line, plain| line.replace(plain, ""));
    phrases().filter(|(phrase, _)| has(&line, phrase)).collect()
}

#[test]
fn texts_for_users_are_plain() {
    let mut bad = String::new();
    for file in pages().iter().map(String::as_str).chain(TEXTS.iter().copied()) {
        if GENERATED.contains(&file) {
            continue;
        }
        let content = text(file);
        // In the rows, `line` and `match` quote other programs.
        let quotes = |line: &str| {
            file.ends_with("rows.txt") && (line.starts_with("line: ") || line.starts_with("match: "))
        };
        for (number, line) in prose(&content).into_iter().filter(|(_, line)| !quotes(line)) {
            for (phrase, instead) in found(line) {
                bad += &format!("{file}:{number}: '{phrase}': write {instead}\n");
            }
        }
    }
    assert!(bad.is_empty(), "phrases that readers stumble over:\n{bad}");
}

#[test]
fn what_the_program_prints_is_plain() {
    let mut bad = String::new();
    for file in literals::sources() {
        for literal in literals::of(&file).into_iter().chain(literals::help(&file)) {
            // A placeholder is no word.
            let text = without_placeholders(&literal.text);
            for (phrase, instead) in found(&text) {
                bad += &format!("{file}:{}: '{phrase}': write {instead}\n", literal.line);
            }
        }
    }
    assert!(bad.is_empty(), "phrases that readers stumble over:\n{bad}");
}

/// The text of a format string with `{}` for each placeholder.
fn without_placeholders(text: &str) -> String {
    let mut pieces = text.split('{');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + "{}" + piece.split_once('}').map_or("", |(_, after)| after))
}

#[test]
fn a_phrase_is_found_as_whole_words_in_either_letter_case() {
    assert_eq!(found("Whoever may").len(), 1);
    assert_eq!(found("the pool IS NO pool").len(), 1);
    assert!(found("there is no pool; it is no longer there; this notion; understands").is_empty());
}
