//! `nodes --sort-by PATH`: the order by what a path finds in each Node, as kubectl has it.

use std::collections::BTreeMap;

use super::Trouble;
use super::args::cluster::{Nodes, SortBy};
use hugeprobe_domain::published::Fleet;
use hugeprobe_kubernetes::api::Api;
use hugeprobe_kubernetes::nodes;
use hugeprobe_kubernetes::order::Key;
use hugeprobe_render::jsonpath::Field;

/// The path of an order.
pub(super) struct Order<'a> {
    text: &'a str,
    field: Field,
}

/// The keys of the nodes by their names; a node without a value is not among them.
pub(super) struct Keys(BTreeMap<String, Key>);

// === impl Order ===

impl<'a> Order<'a> {
    /// Returns the order that is asked for, if it is a path.
    pub(super) fn of(options: &'a Nodes) -> Result<Option<Self>, Trouble> {
        let SortBy::Field(text) = &options.sort_by else { return Ok(None) };
        let field = Field::parse(text).map_err(|error| Trouble::usage(&format!("--sort-by: {error}")))?;
        Ok(Some(Self { text, field }))
    }

    /// Reads the keys of all nodes.
    pub(super) async fn read(&self, api: &Api, selector: Option<&str>) -> Result<Keys, Trouble> {
        let key = |node: &_| Some(self.field.first(node).and_then(Key::of));
        let read = nodes::fields(api, selector, key).await.map_err(|error| Trouble::unknown(&error))?;
        let are_there_nodes = !read.is_empty();
        let keys: BTreeMap<_, _> = read.into_iter().filter_map(|(name, key)| Some((name, key?))).collect();
        if keys.is_empty() && are_there_nodes {
            return Err(Trouble::usage(&format!(
                "--sort-by: no Node has the field '{}'; the columns are name, verdict and age",
                self.text
            )));
        }
        Ok(Keys(keys))
    }
}

// === impl Keys ===

impl Keys {
    /// Returns the nodes in this order. Those without a value are first, and those with the same stay as they are.
    pub(super) fn sorted(&self, mut fleet: Fleet) -> Fleet {
        fleet.nodes.sort_by_key(|node| self.0.get(&node.name));
        fleet
    }
}
