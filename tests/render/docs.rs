//! docs/checks.md says what the catalogue says, docs/troubleshooting.md what `explain --log` does.

#[test]
fn the_page_about_the_checks_is_the_catalogue() {
    super::compare("docs/checks.md", &hugeprobe::render::explain::catalogue_markdown());
}

#[test]
fn the_page_about_failures_is_the_table() {
    super::compare("docs/troubleshooting.md", &hugeprobe::render::troubleshooting::page());
}
