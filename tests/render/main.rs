//! What is shown of a report: each form against the text that is kept beside this file, the schema, and generated
//! reports of any kind. `UPDATE=1 cargo test --test render` writes the kept texts and docs/reference/checks.md anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test states its expectation by panicking"
)]

mod docs;
mod forms;
mod hostile;
#[cfg(feature = "support")]
mod html;
mod samples;
mod schema;
mod tables;

/// Compares `text` with the file at `path`, under the repository's root; with `UPDATE=1`, writes it.
fn compare(path: &str, text: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        std::fs::write(&file, text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == text,
        "{path} is not what is made now; look at both, and if the new one is right run\n\
         UPDATE=1 cargo test --test render\n--- kept\n{kept}\n--- now\n{text}"
    );
}
