//! The table of docs/howto/gate-nodes.md is that of tests/cluster/gates.txt, whose rows the cases of tests/cluster/cases/gates.rs
//! compare with what happens.

use super::{root, text};

const PAGE: &str = "docs/howto/gate-nodes.md";
const BEGIN: &str = "<!-- from tests/cluster/gates.txt -->\n";
const END: &str = "<!-- end -->\n";

/// The cells of each row.
fn rows() -> Vec<Vec<String>> {
    let table = text("tests/cluster/gates.txt");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The table as the page has it.
fn table() -> String {
    let mut table = String::from(
        "| state of the node | no gate | label | rule | preflight | injected | case |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows() {
        let cells: Vec<String> = row
            .iter()
            .map(|cell| if cell == "waits" { "**waits**".to_owned() } else { cell.clone() })
            .collect();
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

#[test]
fn the_table_of_gates_is_that_of_the_cases() {
    let page = text(PAGE);
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (kept, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        std::fs::write(root().join(PAGE), format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
        return;
    }
    assert_eq!(kept, table(), "{PAGE}: run `make docs`");
}

#[test]
fn every_row_has_a_case_and_every_case_a_row() {
    let cases = text("tests/cluster/cases/gates.rs");
    let mut named: Vec<String> = rows().iter().map(|row| row.last().unwrap().clone()).collect();
    let mut there: Vec<String> =
        cases.split("row(\"gates: ").skip(1).map(|rest| rest.split_once('"').unwrap().0.to_owned()).collect();
    named.sort();
    there.sort();
    assert_eq!(named, there);
    for row in rows() {
        assert_eq!(row.len(), 7, "{row:?}");
        assert!(row[1..6].iter().all(|cell| ["starts", "waits"].contains(&cell.as_str())), "{row:?}");
    }
}
