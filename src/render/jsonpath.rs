//! `-o jsonpath=TEMPLATE`: kubectl's templates over the JSON of `nodes`.
//!
//! A template is text with expressions in braces: a path (`{.nodes[*].name}`), `{range PATH}` to `{end}`, and a quoted text
//! (`{"\n"}`). The paths are evaluated as RFC 9535 has them. kubectl's dialect differs in its names, which may have any
//! character and are escaped with a backslash (`.a\.b`), and is translated here.
//!
//! Source: k8s.io/client-go/util/jsonpath and <https://kubernetes.io/docs/reference/kubectl/jsonpath/>.

use std::io::{self, Write};

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::{QueryRef, js_path_process};
use serde::Serialize;
use serde_json::Value;

use super::Marks;
use super::text::clean;

/// A template that has been parsed.
#[derive(Debug)]
pub struct Template(Vec<Part>);

/// A path of which the first value counts, as that of `--sort-by`.
#[derive(Debug)]
pub struct Field(Path);

/// The reason why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("jsonpath: {0}")]
pub struct TemplateError(String);

#[derive(Debug)]
enum Part {
    Text(String),
    Values(Path),
    Range(Path, Vec<Part>),
}

#[derive(Debug)]
struct Path {
    query: JpQuery,
    /// Whether it begins at the root, not at the current item of a range.
    is_of_root: bool,
}

/// What an expression in braces means.
enum Expression {
    Part(Part),
    Range(Path),
    End,
}

// === impl Template ===

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// A brace, a `{range}` or a quote is not closed, or a path is invalid.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        // The parts of each range that is open; the first are those of the template.
        let mut open: Vec<(Option<Path>, Vec<Part>)> = vec![(None, Vec::new())];
        let mut rest = text;
        while !rest.is_empty() {
            let (part, after) = match rest.strip_prefix('{') {
                Some(inner) => {
                    let end = end_of_expression(inner)
                        .ok_or_else(|| TemplateError(format!("'{{{inner}' has no closing brace")))?;
                    let (inside, after) = inner.split_at_checked(end).unwrap_or((inner, ""));
                    match expression(inside.trim())? {
                        Expression::Part(part) => (part, after.get(1..).unwrap_or_default()),
                        Expression::Range(path) => {
                            open.push((Some(path), Vec::new()));
                            rest = after.get(1..).unwrap_or_default();
                            continue;
                        }
                        Expression::End => {
                            let Some((Some(path), parts)) = open.pop() else {
                                return Err(TemplateError("{end} without {range}".to_owned()));
                            };
                            (Part::Range(path, parts), after.get(1..).unwrap_or_default())
                        }
                    }
                }
                None => {
                    let end = rest.find('{').unwrap_or(rest.len());
                    let (text, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
                    (Part::Text(text.to_owned()), after)
                }
            };
            if let Some((_, parts)) = open.last_mut() {
                parts.push(part);
            }
            rest = after;
        }
        match (open.pop(), open.is_empty()) {
            (Some((None, parts)), true) => Ok(Self(parts)),
            _ => Err(TemplateError("{range} without {end}".to_owned())),
        }
    }

    /// Writes the template with the values of `root`. A path without a value is empty, as in kubectl. Control characters
    /// of values are escaped.
    ///
    /// # Errors
    ///
    /// Fails if writing to `out` fails.
    pub fn write(&self, root: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
        let root = serde_json::to_value(root)?;
        write_parts(&self.0, &root, &root, out)
    }
}

// === impl Field ===

impl Field {
    /// Parses a path. As in kubectl, the braces and the first dot may be missing: `{.a.b}`, `.a.b` and `a.b` are the same.
    ///
    /// # Errors
    ///
    /// The text is not one path.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let inside = match text.strip_prefix('{') {
            Some(inside) => {
                let end = end_of_expression(inside).filter(|end| end + 1 == inside.len());
                end.and_then(|end| inside.get(..end))
            }
            None => Some(text),
        };
        let inside = inside.map(str::trim).filter(|inside| !inside.is_empty());
        let inside = inside.ok_or_else(|| TemplateError(format!("'{text}' is not a path")))?;
        if inside.starts_with(['.', '[', '$', '@']) {
            return Path::parse(inside).map(Self);
        }
        Path::parse(&format!(".{inside}")).map(Self)
    }

    /// Returns the first value of the path in `root`.
    #[must_use]
    pub fn first<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.values(root, root).into_iter().next()
    }
}

fn write_parts(parts: &[Part], root: &Value, item: &Value, out: &mut dyn Write) -> io::Result<()> {
    for part in parts {
        match part {
            Part::Text(text) => out.write_all(text.as_bytes())?,
            Part::Values(path) => {
                let texts: Vec<_> = path.values(root, item).into_iter().map(shown).collect();
                out.write_all(texts.join(" ").as_bytes())?;
            }
            Part::Range(path, parts) => {
                for item in path.values(root, item) {
                    write_parts(parts, root, item, out)?;
                }
            }
        }
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text, Marks::Unicode),
        Value::Null => String::new(),
        other => clean(&other.to_string(), Marks::Unicode),
    }
}

// === parsing ===

/// Returns where the expression ends: at the first brace that is not in quotes or in brackets.
fn end_of_expression(text: &str) -> Option<usize> {
    let mut scan = Scan::default();
    text.char_indices().find(|(_, c)| scan.step(*c) && *c == '}').map(|(at, _)| at)
}

fn expression(text: &str) -> Result<Expression, TemplateError> {
    if text == "end" {
        return Ok(Expression::End);
    }
    if let Some(path) = text.strip_prefix("range ") {
        return Ok(Expression::Range(Path::parse(path.trim())?));
    }
    if text.starts_with(['"', '\'']) {
        return Ok(Expression::Part(Part::Text(quoted(text)?)));
    }
    Ok(Expression::Part(Part::Values(Path::parse(text)?)))
}

/// Returns the text between quotes.
fn quoted(text: &str) -> Result<String, TemplateError> {
    let wrong = || TemplateError(format!("{text} is not a quoted text"));
    let mut chars = text.chars();
    let quote = chars.next().ok_or_else(wrong)?;
    let inside = chars.as_str().strip_suffix(quote).ok_or_else(wrong)?;
    let mut plain = String::new();
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next().ok_or_else(wrong)? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            },
            c if c == quote => return Err(wrong()),
            c => c,
        });
    }
    Ok(plain)
}

/// Follows a text and knows whether a character is in quotes or brackets.
#[derive(Default)]
struct Scan {
    quote: Option<char>,
    depth: usize,
    is_escaped: bool,
}

// === impl Scan, Path ===

impl Scan {
    /// Takes a character. Returns whether it is outside quotes and brackets.
    fn step(&mut self, c: char) -> bool {
        if std::mem::take(&mut self.is_escaped) {
            return false;
        }
        match (c, self.quote) {
            ('\\', _) => self.is_escaped = true,
            (c, Some(quote)) if c == quote => self.quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => self.quote = Some(c),
            ('[' | '(', None) => self.depth += 1,
            (']' | ')', None) => self.depth = self.depth.saturating_sub(1),
            (_, None) => return self.depth == 0,
        }
        false
    }
}

impl Path {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let (steps, is_of_root) = match text.strip_prefix('$') {
            Some(steps) => (steps, true),
            None => (text.strip_prefix('@').unwrap_or(text), false),
        };
        if !steps.is_empty() && !steps.starts_with(['.', '[']) {
            return Err(TemplateError(format!(
                "'{text}' is not a path: a path begins with a dot, as .nodes[*].name"
            )));
        }
        let query = parse_json_path(&translated(steps))
            .map_err(|error| TemplateError(format!("'{text}' is not a path: {error}")))?;
        Ok(Self { query, is_of_root })
    }

    fn values<'a>(&self, root: &'a Value, item: &'a Value) -> Vec<&'a Value> {
        let value = if self.is_of_root { root } else { item };
        // The only errors are those of parsing.
        let found = js_path_process(&self.query, value).unwrap_or_default();
        found.into_iter().map(QueryRef::val).collect()
    }
}

/// Returns the path as RFC 9535 has it, with each name in brackets.
fn translated(steps: &str) -> String {
    let mut path = String::from("$");
    let mut chars = steps.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '[' {
            path.push(c);
            let mut scan = Scan { depth: 1, ..Scan::default() };
            while scan.depth > 0 {
                let Some(c) = chars.next() else { break };
                scan.step(c);
                path.push(c);
            }
            continue;
        }
        if chars.next_if_eq(&'.').is_some() {
            path.push_str("..");
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| !matches!(c, '.' | '[')) {
            name.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
        }
        match name.as_str() {
            // `..[` and a single dot, which is the item itself.
            "" => {}
            "*" => path.push_str("[*]"),
            name => path.push_str(&format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fleet() -> Value {
        json!({
            "verdict": "fail",
            "nodes": [
                {"name": "a", "verdict": "pass", "sizes": [{"size": "2Mi"}, {"size": "1Gi"}], "hugeprobe.io/x": 1},
                {"name": "b", "verdict": "fail", "why": null, "checks": [{"id": "HP105", "text": "no\u{1b}[2J page"}]},
            ],
        })
    }

    fn shown(template: &str) -> String {
        let mut out = Vec::new();
        Template::parse(template).unwrap().write(&fleet(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn templates_are_those_of_kubectl() {
        for (template, expected) in [
            ("{.nodes[*].name}", "a b"),
            ("{.nodes[0].name}", "a"),
            ("{.nodes[-1:].name}", "b"),
            ("{.nodes[0,1].name}", "a b"),
            ("{$.verdict}", "fail"),
            ("{.nodes[?(@.verdict==\"fail\")].name}", "b"),
            ("{.nodes[?(@.verdict != 'pass')].checks[*].id}", "HP105"),
            ("{..size}", "2Mi 1Gi"),
            ("{.nodes[*]['name','verdict']}", "a b pass fail"),
            ("{.nodes[0].hugeprobe\\.io/x}", "1"),
            ("{.nodes[0]['hugeprobe.io/x']}", "1"),
            ("{.nodes[1].why}{.nodes[0].missing}", ""),
            ("{.nodes[0].sizes}", "[{\"size\":\"2Mi\"},{\"size\":\"1Gi\"}]"),
            ("all: {.verdict}{\"\\n\"}", "all: fail\n"),
            ("{range .nodes[*]}{.name}{\"\\t\"}{@.verdict}{'; '}{end}", "a\tpass; b\tfail; "),
            (
                "{range .nodes[*]}{.name}={range .sizes[*]}{.size},{end}{$.verdict} {end}",
                "a=2Mi,1Gi,fail b=fail ",
            ),
            ("{.nodes[1].checks[0].text}", "no\\u{1b}[2J page"),
            ("", ""),
        ] {
            assert_eq!(shown(template), expected, "{template}");
        }
        assert!(shown("{@}").starts_with("{\"verdict\":\"fail\""), "{}", shown("{@}"));
    }

    #[test]
    fn what_is_not_a_template_is_named() {
        for (template, expected) in [
            ("{.nodes", "'{.nodes' has no closing brace"),
            ("{nodes}", "'nodes' is not a path: a path begins with a dot"),
            ("{.nodes[}", "has no closing brace"),
            ("{.nodes[x]}", "'.nodes[x]' is not a path"),
            ("{range .nodes[*]}", "{range} without {end}"),
            ("{end}", "{end} without {range}"),
            ("{\"a}", "has no closing brace"),
            ("{'a' 'b'}", "is not a quoted text"),
        ] {
            let error = Template::parse(template).unwrap_err().to_string();
            assert!(error.contains(expected), "{template}: {error}");
        }
    }

    #[test]
    fn a_field_may_be_written_as_in_kubectl() {
        let fleet = fleet();
        for text in
            [".nodes[0].name", "{.nodes[0].name}", "nodes[0].name", "{ nodes[*].name }", "$.nodes[0].name"]
        {
            assert_eq!(Field::parse(text).unwrap().first(&fleet), Some(&json!("a")), "{text}");
        }
        let escaped = Field::parse("nodes[0].hugeprobe\\.io/x").unwrap();
        assert_eq!(escaped.first(&fleet), Some(&json!(1)));
        assert_eq!(Field::parse(".missing").unwrap().first(&fleet), None);
        for text in ["", "{}", ".nodes[", "{.a}{.b}", ".a[x]"] {
            Field::parse(text).unwrap_err();
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[{}.*$@\"'\\\\a\\[\\]()?,:0 ]{0,24}") {
            if let Ok(template) = Template::parse(&text) {
                template.write(&fleet(), &mut Vec::new()).unwrap();
            }
            if let Ok(field) = Field::parse(&text) {
                let _ = field.first(&fleet());
            }
        }
    }
}
