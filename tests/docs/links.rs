//! Links between pages, and paths of the repository that texts name, lead somewhere.

use std::collections::BTreeSet;
use std::process::Command;

use super::{GENERATED, pages, prose, root, text};

/// Where the repository is on the web: links there are links to files of this tree.
const WEB: &str = "https://github.com/hugeprobe/hugeprobe/blob/main/";

/// The targets of the links in a line: `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

/// The anchors of a page, as GitHub and mdBook make them of its headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).into_iter().filter_map(|(_, line)| line.strip_prefix('#'));
    headings.map(|heading| slug(heading.trim_start_matches('#').trim())).collect()
}

fn slug(heading: &str) -> String {
    let shown = heading.to_lowercase().replace(' ', "-");
    shown.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// `path`, seen from the page `from`, without `..`.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let mut dead = String::new();
    for page in pages() {
        let content = text(&page);
        for (number, line) in prose(&content) {
            for target in targets(line) {
                let here = format!("{page}:{number}: {target}");
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let file = match path.strip_prefix(WEB) {
                    Some(file) => file.to_owned(),
                    None if path.contains("://") => continue,
                    None if path.is_empty() => page.clone(),
                    None => resolve(&page, path),
                };
                // In the book there is nothing outside docs/.
                if page.starts_with("docs/") && !file.starts_with("docs/") && !path.starts_with(WEB) {
                    dead += &format!("{here}: link to {WEB} instead\n");
                } else if !root().join(&file).exists() {
                    dead += &format!("{here}: no such file\n");
                } else if !anchor.is_empty() && !anchors(&text(&file)).contains(anchor) {
                    dead += &format!("{here}: no such heading\n");
                }
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{dead}");
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let summary = text("docs/SUMMARY.md");
    let listed: BTreeSet<_> = targets(&summary).map(|target| resolve("docs/SUMMARY.md", target)).collect();
    for page in pages().iter().filter(|page| page.starts_with("docs/") && *page != "docs/SUMMARY.md") {
        assert!(listed.contains(page), "{page} is not in docs/SUMMARY.md");
    }
}

/// Files of the repository that are text and name pages; `src` is left to its own move.
fn texts() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let Ok(output) = output else { return Vec::new() };
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    names
        .lines()
        .filter(|name| !name.starts_with("src/") && !name.starts_with("fuzz/seeds/"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_page_that_a_text_names_exists() {
    let mut dead = String::new();
    for file in texts().iter().filter(|file| !GENERATED.contains(&file.as_str())) {
        let Ok(content) = std::fs::read_to_string(root().join(file)) else { continue };
        for (index, line) in content.lines().enumerate() {
            for (start, _) in line.match_indices("docs/") {
                // A path of another project or site has something before it.
                let before = line[..start].trim_end_matches("../").trim_end_matches("blob/main/");
                let is_path = |c: char| c.is_ascii_alphanumeric() || "/-._".contains(c);
                let ours = !before.ends_with(is_path) || before.ends_with("hugeprobe/hugeprobe/");
                let name: String = line[start..].chars().take_while(|c| is_path(*c)).collect();
                let name = name.trim_end_matches(['.', '/']);
                let page = name.ends_with(".md") || name.ends_with(".json");
                if ours && page && !root().join(name).exists() {
                    dead += &format!("{file}:{}: {name} does not exist\n", index + 1);
                }
            }
        }
    }
    assert!(dead.is_empty(), "{dead}");
}

#[test]
fn every_source_file_that_the_tour_names_exists() {
    let tour = text("docs/internals/tour.md");
    let names = tour.split('`').skip(1).step_by(2).filter(|name| name.starts_with("src/"));
    let missing: Vec<_> = names.filter(|name| !root().join(name).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn anchors_are_those_of_github() {
    assert_eq!(slug("3. Run the check in the pod"), "3-run-the-check-in-the-pod");
    assert_eq!(slug("HP105 PagesHeldByNobody"), "hp105-pagesheldbynobody");
    assert_eq!(resolve("a/b/c.md", "../d/e.md"), "a/d/e.md");
}
