//! The pages of a pool, on the machine and on each NUMA node: a bar each, with its numbers beside it.

use maud::{Markup, html};

use super::shown;
use hugeprobe_domain::inventory::{NumaPool, Pool};
use hugeprobe_domain::reading::Reading;

/// The length of a whole bar, in units of the picture.
const WHOLE: u64 = 1000;

/// The counters of one place.
struct Row<'a> {
    name: String,
    total: &'a Reading<u64>,
    free: &'a Reading<u64>,
    /// `None` for a NUMA node: the kernel counts reserved pages of the machine only.
    reserved: Option<&'a Reading<u64>>,
    surplus: &'a Reading<u64>,
    overcommit: Option<&'a Reading<u64>>,
}

/// The parts of a bar, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts {
    total: u64,
    used: u64,
    reserved: u64,
    surplus: u64,
}

/// Returns the patterns that tell the parts of a bar apart without colour.
pub(super) fn patterns() -> Markup {
    html! {
        svg.defs aria-hidden="true" width="0" height="0" {
            defs {
                pattern id="stripes" width="8" height="8" patternUnits="userSpaceOnUse" {
                    rect width="8" height="8" class="ground" {}
                    path d="M-2,2 l4,-4 M0,8 l8,-8 M6,10 l4,-4" class="line" {}
                }
                pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse" {
                    rect width="6" height="6" class="ground" {}
                    circle cx="3" cy="3" r="1.6" class="dot" {}
                }
            }
        }
    }
}

/// Returns the figures of a pool.
pub(super) fn figures(pool: Option<&Pool>) -> Markup {
    let Some(pool) = pool else { return html! { p.note { "There are no counters of this size." } } };
    let machine = Row {
        name: "machine".to_owned(),
        total: &pool.total,
        free: &pool.free,
        reserved: Some(&pool.reserved),
        surplus: &pool.surplus,
        overcommit: Some(&pool.overcommit),
    };
    let most = pool.numa.iter().filter_map(|node| node.total.get()).max().unwrap_or(0);
    html! {
        figure.pool {
            figcaption { "Pages of the pool" }
            ul.bars {
                (row(&machine, pool.total.get().unwrap_or(0)))
                @for node in &pool.numa { (row(&of_node(node), most)) }
            }
            (legend())
        }
    }
}

fn of_node(node: &NumaPool) -> Row<'_> {
    Row {
        name: format!("node{}", node.node),
        total: &node.total,
        free: &node.free,
        reserved: None,
        surplus: &node.surplus,
        overcommit: None,
    }
}

/// Returns the line of one place. `most` is the number of pages of a whole bar.
fn row(row: &Row<'_>, most: u64) -> Markup {
    html! {
        li {
            span.place { (row.name) }
            @if let Some(parts) = row.parts() { (bar(parts, most)) } @else { span.bar.nobar { "not known" } }
            span.numbers { (row.numbers()) }
        }
    }
}

fn bar(parts: Parts, most: u64) -> Markup {
    let scale = |pages| scaled(pages, most);
    let [total, used, reserved, surplus] =
        [parts.total, parts.used, parts.reserved, parts.surplus].map(scale);
    html! {
        svg.bar viewBox=(format!("0 0 {WHOLE} 24")) preserveAspectRatio="none" aria-hidden="true" {
            rect.free x="0" y="0" width=(total) height="24" {}
            rect.used x="0" y="0" width=(used) height="24" {}
            rect.reserved x=(used) y="0" width=(reserved) height="24" {}
            @if surplus > 0 { rect.surplus x=(total.saturating_sub(surplus)) y="16" width=(surplus) height="8" {} }
        }
    }
}

/// Returns the length of a part. A part that has pages is never too short to be seen.
fn scaled(pages: u64, most: u64) -> u64 {
    const LEAST: u128 = 8;
    let length = u128::from(pages) * u128::from(WHOLE) / u128::from(most.max(1));
    let length = if pages > 0 { length.max(LEAST) } else { 0 };
    u64::try_from(length).unwrap_or(WHOLE).min(WHOLE)
}

fn legend() -> Markup {
    let swatch = |class: &str| {
        html! { svg.swatch viewBox="0 0 24 24" aria-hidden="true" { rect width="24" height="24" class=(class) {} } }
    };
    html! {
        p.legend {
            span { (swatch("used")) " used" }
            span { (swatch("reserved")) " free, but reserved" }
            span { (swatch("free")) " free" }
            span { (swatch("surplus")) " surplus, beyond the persistent pool" }
        }
    }
}

// === impl Row ===

impl Row<'_> {
    /// Returns the parts of the bar; `None` if the number of pages or of free pages is not known.
    fn parts(&self) -> Option<Parts> {
        let (total, free) = (self.total.get()?, self.free.get()?);
        let used = total.saturating_sub(free);
        let reserved = self.reserved.and_then(Reading::get).unwrap_or(0).min(total.saturating_sub(used));
        Some(Parts { total, used, reserved, surplus: self.surplus.get().unwrap_or(0).min(total) })
    }

    /// Returns the numbers in words, and why a number is not known.
    fn numbers(&self) -> String {
        let used = match (self.total.get(), self.free.get()) {
            (Some(total), Some(free)) => total.saturating_sub(free).to_string(),
            _ => "?".to_owned(),
        };
        let mut parts =
            vec![format!("{} of {} free", number(self.free), number(self.total)), format!("{used} used")];
        parts.extend(self.reserved.map(|reserved| format!("{} reserved", number(reserved))));
        parts.push(format!("{} surplus", number(self.surplus)));
        let overcommit = self.overcommit.filter(|overcommit| overcommit.get() != Some(0));
        parts.extend(overcommit.map(|most| format!("{} surplus allowed", number(most))));
        let all = [Some(self.total), Some(self.free), self.reserved, Some(self.surplus), self.overcommit];
        let why = all.into_iter().flatten().filter(|one| one.is_trouble()).filter_map(Reading::why_unknown);
        parts.extend(why.map(shown));
        parts.join(", ")
    }
}

fn number(reading: &Reading<u64>) -> String {
    reading.get().map_or_else(|| "?".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_in_proportion_and_never_invisible() {
        assert_eq!([0, 256, 512].map(|pages| scaled(pages, 512)), [0, 500, 1000]);
        assert_eq!(scaled(1, 1_000_000), 8);
        assert_eq!(scaled(u64::MAX, 1), 1000);
        assert_eq!(scaled(0, 0), 0);
    }

    #[test]
    fn reserved_pages_are_among_the_free_ones() {
        let known = Reading::Known;
        let row = |free, reserved| {
            let [total, free, reserved, surplus] = [known(16), free, reserved, known(99)];
            let row = Row {
                name: String::new(),
                total: &total,
                free: &free,
                reserved: Some(&reserved),
                surplus: &surplus,
                overcommit: None,
            };
            row.parts()
        };
        let parts = |used, reserved| Some(Parts { total: 16, used, reserved, surplus: 16 });
        assert_eq!(row(known(12), known(3)), parts(4, 3));
        assert_eq!(row(known(2), known(9)), parts(14, 2), "counters are read one after another");
        assert_eq!(row(known(99), known(0)), parts(0, 0));
        assert_eq!(row(Reading::Absent, known(0)), None);
    }
}
