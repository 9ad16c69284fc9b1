//! The columns of the table of nodes.

use std::collections::BTreeSet;
use std::io::{self, Write};

use jiff::Timestamp;

use super::{TableView, ago, reasons};
use crate::style::{BOLD, Style, verdict_color};
use crate::text::{clean, columns, shorten};
use hugeprobe_domain::published::{Fleet, FleetNode};
use hugeprobe_domain::size::PageSize;

/// The length of the longest node name that is shown in full.
const LONGEST_NAME: usize = 48;
const GAP: &str = "  ";

/// The columns of a table: lines that are written later have the same.
#[derive(Debug, Clone)]
pub struct Table {
    sizes: Vec<PageSize>,
    widths: Vec<usize>,
    view: TableView,
    style: Style,
}

// === impl Table ===

impl Table {
    /// Returns a table without page sizes and without room for a node.
    #[must_use]
    pub const fn new(view: TableView, style: Style) -> Self {
        Self { sizes: Vec::new(), widths: Vec::new(), view, style }
    }

    /// Makes the columns such that all nodes of the fleet fit into them.
    pub fn fit(&mut self, fleet: &Fleet) {
        let sizes: BTreeSet<PageSize> =
            fleet.nodes.iter().flat_map(|node| node.published.sizes.keys().copied()).collect();
        self.sizes = sizes.into_iter().collect();
        self.widths = self.head().iter().map(|text| columns(text)).collect();
        for node in &fleet.nodes {
            let row = self.row(node, fleet.at);
            for (width, text) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(columns(&text));
            }
        }
    }

    /// Writes the names of the columns, if the view has them, and a line for each node with the reasons below it.
    ///
    /// # Errors
    ///
    /// Fails if writing to `out` fails.
    pub fn write(&self, fleet: &Fleet, out: &mut dyn Write) -> io::Result<()> {
        if self.view.headers {
            self.line(&self.head(), None, out)?;
        }
        fleet.nodes.iter().try_for_each(|node| self.node(node, fleet.at, out))
    }

    /// Writes the line of one node, and the reasons below it.
    ///
    /// # Errors
    ///
    /// Fails if writing to `out` fails.
    pub fn node(&self, node: &FleetNode, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        self.line(&self.row(node, now), Some(node), out)?;
        reasons(node, out, self.style)
    }

    fn head(&self) -> Vec<String> {
        let mut row = vec!["NODE".to_owned(), "VERDICT".to_owned()];
        row.extend(self.sizes.iter().map(ToString::to_string));
        row.push("CHECKED".to_owned());
        if self.view.is_wide {
            row.extend(self.sizes.iter().map(|size| format!("{size} PAGES")));
            row.extend(["VALID UNTIL", "PROFILE", "VERSION"].map(str::to_owned));
        }
        row
    }

    fn row(&self, node: &FleetNode, now: Timestamp) -> Vec<String> {
        let (marks, published) = (self.style.marks, &node.published);
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let mut row = vec![shorten(&clean(&node.name, marks), LONGEST_NAME, marks), node.state.word()];
        let verdict = |size: &PageSize| or_none(node.size(*size).map(|verdict| verdict.to_string()));
        row.extend(self.sizes.iter().map(verdict));
        row.push(or_none(published.checked_at.map(|at| ago(at, now))));
        if self.view.is_wide {
            let pool = |size: &PageSize| or_none(published.pools.get(size).map(ToString::to_string));
            row.extend(self.sizes.iter().map(pool));
            row.push(or_none(published.valid_until.map(|at| at.to_string())));
            let texts = [&published.profile, &published.version];
            row.extend(texts.map(|text| or_none((!text.is_empty()).then(|| clean(text, marks)))));
        }
        row
    }

    /// Writes one line. Each cell is padded to the width of its column; only the word is coloured, not the padding.
    fn line(&self, row: &[String], node: Option<&FleetNode>, out: &mut dyn Write) -> io::Result<()> {
        for (column, (text, width)) in row.iter().zip(&self.widths).enumerate() {
            let padding = " ".repeat(width.saturating_sub(columns(text)));
            let gap = if column == 0 { "" } else { GAP };
            match (column, node) {
                (_, None) => write!(out, "{gap}{}", self.style.paint(BOLD, text))?,
                (1, Some(node)) => {
                    let color = verdict_color(node.state.verdict());
                    write!(out, "{gap}{}", self.style.paint(color, text))?;
                }
                _ => write!(out, "{gap}{text}")?,
            }
            if column + 1 < row.len() {
                write!(out, "{padding}")?;
            }
        }
        writeln!(out)
    }
}
