//! docs/checks.md says what the catalogue says.

#[test]
fn the_page_about_the_checks_is_the_catalogue() {
    super::compare("docs/checks.md", &hugeprobe::render::explain::catalogue_markdown());
}
