//! `nodes --watch`: all nodes first, and then each again when it changes.

use std::io::{self, Write};

use jiff::Timestamp;

use super::{Table, TableView, name, short_line};
use crate::jsonpath::Template;
use crate::style::Style;
use crate::{json, yaml};
use hugeprobe_domain::published::{Fleet, FleetNode};

/// The form in which a node is written, whether it is one of the first or has changed. As in kubectl, the nodes are not
/// in a list.
#[derive(Debug)]
pub enum Each {
    /// The lines of a table, with the columns that the first nodes need.
    Table(Table),
    /// A line for grep and awk.
    Short,
    /// An object.
    Json,
    /// A document after a line of `---`.
    Yaml,
    /// The name alone.
    Name,
    /// A template over the object of the node.
    JsonPath(Template),
}

// === impl Each ===

impl Each {
    /// Returns a table, whose columns are not known before the first nodes are.
    #[must_use]
    pub fn table(view: TableView, style: Style) -> Self {
        Self::Table(Table::new(view, style))
    }

    /// Writes the first nodes. `all` are those that a table has to have room for; only `shown` are written.
    ///
    /// # Errors
    ///
    /// Fails if writing to `out` fails.
    pub fn first(&mut self, all: &Fleet, shown: &Fleet, out: &mut dyn Write) -> io::Result<()> {
        if let Self::Table(table) = self {
            table.fit(all);
            return table.write(shown, out);
        }
        shown.nodes.iter().try_for_each(|node| self.node(node, shown.at, out))
    }

    /// Writes one node.
    ///
    /// # Errors
    ///
    /// Fails if writing to `out` fails.
    pub fn node(&self, node: &FleetNode, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Table(table) => table.node(node, now, out),
            Self::Short => short_line(node, out),
            Self::Json => json::value(node, out),
            Self::Yaml => {
                writeln!(out, "---")?;
                yaml::value(node, out)
            }
            Self::Name => name(node, out),
            Self::JsonPath(template) => template.write(node, out),
        }
    }
}
