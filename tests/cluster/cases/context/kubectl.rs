//! kubectl: what a person would type, with its JSON taken apart. A command that must work panics with what kubectl said.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::script;

/// Runs kubectl; what it printed, or what it complained of.
pub(crate) fn run(arguments: &[&str]) -> Result<String, String> {
    finish(script("kubectl").args(arguments), "")
}

/// Runs kubectl, which must succeed.
pub(crate) fn must(arguments: &[&str]) -> String {
    run(arguments).unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")))
}

/// Runs kubectl and shows what a person would see.
pub(crate) fn show(arguments: &[&str]) -> String {
    let text = must(arguments);
    println!("    $ kubectl {}", arguments.join(" "));
    for line in text.lines() {
        println!("    {line}");
    }
    text
}

/// `kubectl get ... -o json`; `None` for what is not there.
pub(crate) fn get(arguments: &[&str]) -> Option<Value> {
    let text =
        must(&[&["get", "--ignore-not-found", "--show-managed-fields", "-o", "json"], arguments].concat());
    if text.trim().is_empty() {
        return None;
    }
    Some(serde_json::from_str(&text).unwrap())
}

/// The items of a list.
pub(crate) fn list(arguments: &[&str]) -> Vec<Value> {
    get(arguments).and_then(|list| list["items"].as_array().cloned()).unwrap_or_default()
}

/// Applies one object or several.
pub(crate) fn apply(object: &Value) {
    try_apply(object, &[]).unwrap_or_else(|error| panic!("kubectl apply: {error}\n{object:#}"));
}

/// Creates or applies as somebody else may: what the API server said.
pub(crate) fn try_apply(object: &Value, arguments: &[&str]) -> Result<String, String> {
    finish(script("kubectl").args(["apply", "-f", "-"]).args(arguments), &object.to_string())
}

/// `kubectl create` of one object.
pub(crate) fn create(object: &Value, arguments: &[&str]) -> Result<String, String> {
    finish(script("kubectl").args(["create", "-f", "-"]).args(arguments), &object.to_string())
}

/// A change that is taken back when this goes: two commands of kubectl.
#[derive(Debug)]
#[must_use]
pub(crate) struct Guard(Vec<String>);

/// Removes at the end of a case what it applied, whether it passed or not.
#[derive(Debug)]
pub(crate) struct Removed(Vec<String>);

/// Applies an object that goes when the case ends.
pub(crate) fn apply_for_now(object: &Value) -> Removed {
    apply(object);
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut words = vec![text("/kind"), text("/metadata/name")];
    if let Some(namespace) = object.pointer("/metadata/namespace").and_then(Value::as_str) {
        words.push(format!("--namespace={namespace}"));
    }
    Removed(words)
}

/// Runs a command with `input`; what it printed, or what it complained of.
pub(crate) fn finish(command: &mut Command, input: &str) -> Result<String, String> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that ends before it has read its input says why itself.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr).trim().to_owned())
    }
}

// === impl Guard ===

impl Guard {
    /// Runs `first`, and `last` when it goes.
    pub(crate) fn run(first: &[&str], last: &[&str]) -> Self {
        must(first);
        Self(last.iter().map(|&word| word.to_owned()).collect())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let arguments: Vec<&str> = self.0.iter().map(String::as_str).collect();
        if let Err(error) = run(&arguments) {
            println!("    not taken back: kubectl {}: {error}", self.0.join(" "));
        }
    }
}

// === impl Removed ===

impl Drop for Removed {
    fn drop(&mut self) {
        let mut arguments = vec!["delete", "--ignore-not-found", "--grace-period=1", "--timeout=60s"];
        arguments.extend(self.0.iter().map(String::as_str));
        if let Err(error) = run(&arguments) {
            println!("    left behind: {}: {error}", self.0.join(" "));
        }
    }
}
