//! Lines that stand as they are, and texts that share what is left.

use super::super::check::Outcome;

/// The longest share of a single text: a whole story belongs in the container's log.
const TEXT_LIMIT: usize = 480;

/// What every text may have before the graver ones get more.
const FLOOR: usize = 24;

/// A message before its texts are cut.
#[derive(Default)]
pub(super) struct Draft {
    lines: Vec<Line>,
}

enum Line {
    Whole(String),
    Text { label: String, rank: Rank, text: String },
}

/// Whose text comes first when there is not enough room for all. Within a rank the short ones are kept whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Skip,
    Warn,
    Unknown,
    Fail,
    /// What ended a worker explains everything that it left out.
    Ending,
}

// === impl Rank ===

impl Rank {
    pub(super) const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Skip | Outcome::Pass => Self::Skip,
            Outcome::Warn => Self::Warn,
            Outcome::Unknown => Self::Unknown,
            Outcome::Fail => Self::Fail,
        }
    }
}

// === impl Draft ===

impl Draft {
    /// A line that must not be cut.
    pub(super) fn line(&mut self, line: &str) {
        self.lines.push(Line::Whole(format!("{line}\n")));
    }

    /// A text that may be.
    pub(super) fn text(&mut self, label: &str, rank: Rank, text: &str) {
        let text = text.split('\t').map(printable).collect::<Vec<_>>().join("\t");
        let text = cut(text.trim_end(), TEXT_LIMIT);
        self.lines.push(Line::Text { label: label.to_owned(), rank, text });
    }

    /// All of it in `limit` bytes. What is not text always fits: the message's own tests hold that for the most there can be.
    pub(super) fn finish(self, limit: usize) -> String {
        let fixed: usize = self.lines.iter().map(Line::overhead).sum();
        let wishes: Vec<(Rank, usize)> = self.lines.iter().filter_map(Line::wish).collect();
        let mut room = limit.saturating_sub(fixed);
        let floors: Vec<usize> = wishes.iter().map(|(_, wish)| FLOOR.min(*wish)).collect();
        let floor = FLOOR.min(fair_share(floors.clone(), room));
        room -= floors.iter().map(|wish| floor.min(*wish)).sum::<usize>();
        // What a text of each rank may have beyond that.
        let mut shares: Vec<(Rank, usize)> = Vec::new();
        for rank in [Rank::Ending, Rank::Fail, Rank::Unknown, Rank::Warn, Rank::Skip] {
            let of_rank = wishes.iter().filter(|(its, _)| *its == rank);
            let more: Vec<usize> = of_rank.map(|(_, wish)| wish.saturating_sub(floor)).collect();
            let share = fair_share(more.clone(), room);
            room -= more.iter().map(|wish| share.min(*wish)).sum::<usize>();
            shares.push((rank, share));
        }
        let more = |rank: Rank| shares.iter().find(|(its, _)| *its == rank).map_or(0, |(_, share)| *share);
        let share = |rank: Rank| more(rank).saturating_add(floor);
        self.lines.iter().map(|line| line.finish(&share)).collect()
    }
}

// === impl Line ===

impl Line {
    fn overhead(&self) -> usize {
        match self {
            Self::Whole(line) => line.len(),
            // Two spaces and the end of the line.
            Self::Text { label, .. } => label.len() + 3,
        }
    }

    fn wish(&self) -> Option<(Rank, usize)> {
        match self {
            Self::Whole(_) => None,
            Self::Text { rank, text, .. } => Some((*rank, text.len())),
        }
    }

    fn finish(&self, share: &dyn Fn(Rank) -> usize) -> String {
        match self {
            Self::Whole(line) => line.clone(),
            Self::Text { label, rank, text } => match cut(text, share(*rank)) {
                text if text.is_empty() => String::new(),
                text => format!(" {label} {text}\n"),
            },
        }
    }
}

/// The most that each may have so that all together have no more than `room`.
fn fair_share(mut wishes: Vec<usize>, mut room: usize) -> usize {
    wishes.sort_unstable();
    for (index, wish) in wishes.iter().enumerate() {
        let share = room / (wishes.len() - index);
        if *wish > share {
            return share;
        }
        room -= wish;
    }
    usize::MAX
}

/// The text, or its beginning and two dots.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let kept = text.get(..most.saturating_sub(2)).unwrap_or_default().trim_end();
    if kept.is_empty() { String::new() } else { format!("{kept}..") }
}

/// In printable ASCII: one byte to a character, and nothing that a terminal or a line would take for more than text.
pub(super) fn printable(text: impl AsRef<str>) -> String {
    let shown = text.as_ref().trim().chars().map(|c| match c {
        ' '..='~' => c,
        c if c.is_whitespace() => ' ',
        _ => '?',
    });
    // What was trimmed above was whitespace in Unicode; what is left may end in a space that was a control character.
    shown.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(texts: &[(Rank, usize)]) -> Draft {
        let mut draft = Draft::default();
        draft.line("head");
        texts.iter().for_each(|(rank, length)| draft.text("HP501", *rank, &"x".repeat(*length)));
        draft
    }

    fn lengths(texts: &[(Rank, usize)], limit: usize) -> Vec<usize> {
        let text = draft(texts).finish(limit);
        assert!(text.len() <= limit.max(5), "{} of {limit}", text.len());
        text.lines().skip(1).map(|line| line.len() - 7).collect()
    }

    #[test]
    fn short_texts_are_whole_and_long_ones_share_the_rest() {
        let texts = [(Rank::Fail, 10), (Rank::Fail, 400), (Rank::Fail, 400)];
        assert_eq!(lengths(&texts, 2000), [10, 400, 400]);
        assert_eq!(lengths(&texts, 5 + 3 * 8 + 210), [10, 100, 100]);
        assert!(lengths(&texts, 5 + 3 * 8 + 6).is_empty(), "nothing but dots is nothing");
    }

    #[test]
    fn the_graver_comes_first() {
        let texts = [(Rank::Skip, 50), (Rank::Fail, 50), (Rank::Unknown, 50), (Rank::Ending, 50)];
        assert_eq!(lengths(&texts, 5 + 4 * 8 + 148), [24, 50, 24, 50]);
        assert_eq!(lengths(&texts, 5 + 4 * 8 + 80), [20, 20, 20, 20]);
    }

    #[test]
    fn no_text_is_longer_than_its_limit() {
        assert_eq!(lengths(&[(Rank::Skip, 10_000)], 10_000), [TEXT_LIMIT]);
    }

    #[test]
    fn texts_are_printable() {
        assert_eq!(printable(" a\tb\nc\u{1b}[31m\u{e9}\u{a0} "), "a b c?[31m?");
        assert_eq!(printable("\u{1}"), "?");
    }
}
