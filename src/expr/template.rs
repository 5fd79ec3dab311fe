//! `https://{request.host}{request.path}`: text with places for what is known of an exchange.

use super::escape::{self, Place};
use super::{Escape, Facts, Variable};
use crate::value::{Problem, word};
use std::fmt;
use std::str::FromStr;

/// A text of the document that takes facts of the exchange between its braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: Box<str>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Variable { variable: Variable, place: Place },
}

word!(Template, "template", "A text that takes facts of the exchange, such as `{request.host}`.");

impl Template {
    /// Whether every rendering is the same.
    pub fn is_constant(&self) -> bool {
        self.constant().is_some()
    }

    /// The text if it holds no variable, unescaped and without allocation.
    pub fn constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The variables in the order written.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Variable { variable, .. } => Some(variable),
        })
    }

    /// Appends the text with the facts of one exchange; nothing is allocated but what `out` needs
    /// and the rare value that has to be escaped.
    ///
    /// In a URL only values are escaped, and no value names another host: neither by making a path
    /// begin with `//`, nor at the beginning, which stays a path. In a header the literal text
    /// loses its control characters too.
    pub fn render<F: Facts + ?Sized>(&self, facts: &F, escape: Escape, out: &mut String) {
        let start = out.len();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Variable { variable, place } => {
                    let value = out.len();
                    facts.write(variable, out);
                    match escape {
                        Escape::UrlPath => escape::encode(variable, *place, out, value),
                        Escape::UrlQuery => escape::encode(variable, Place::Query, out, value),
                        Escape::Line => escape::line(out, value),
                        Escape::Text | Escape::Header => {}
                    }
                }
            }
        }
        match escape {
            Escape::Header => escape::clean_header(out, start),
            Escape::UrlPath if self.begins_with_value() => escape::keep_path(out, start),
            Escape::UrlPath if !self.source.starts_with("//") => escape::keep_host(out, start),
            _ => {}
        }
    }

    /// Whether a value stands where a URL may name its scheme; not so in `{request.scheme}://`.
    fn begins_with_value(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Variable { .. })) && !self.source.contains("://")
    }
}

impl FromStr for Template {
    type Err = Problem;

    fn from_str(source: &str) -> Result<Self, Problem> {
        Self::read(source, str::parse)
    }
}

impl Template {
    /// Reads a template that may take what only the access log knows.
    pub fn of_log(source: &str) -> Result<Self, Problem> {
        Self::read(source, Variable::of_log)
    }

    fn read(
        source: &str,
        variable: impl Fn(&str) -> Result<Variable, Problem>,
    ) -> Result<Self, Problem> {
        let mut parts = Parts::default();
        let mut rest = source;
        while let Some((before, from_brace)) = rest.find(['{', '}']).map(|at| rest.split_at(at)) {
            parts.literal.push_str(before);
            rest = if let Some(after) = from_brace.strip_prefix("{{") {
                parts.literal.push('{');
                after
            } else if let Some(after) = from_brace.strip_prefix("}}") {
                parts.literal.push('}');
                after
            } else {
                let (name, after) = from_brace
                    .strip_prefix('{')
                    .ok_or_else(|| unpaired('}', source))?
                    .split_once('}')
                    .ok_or_else(|| unpaired('{', source))?;
                parts.push_variable(variable(name)?);
                after
            };
        }
        parts.literal.push_str(rest);
        Ok(Self { source: source.into(), parts: parts.finish() })
    }
}

/// The text as written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// The parts read so far and the literal text that follows them.
#[derive(Default)]
struct Parts {
    done: Vec<Part>,
    literal: String,
    place: Place,
}

impl Parts {
    fn push_variable(&mut self, variable: Variable) {
        self.end_literal();
        let place = self.place;
        if variable == Variable::RequestPath && place == Place::Authority {
            self.place = Place::Path;
        }
        self.done.push(Part::Variable { variable, place });
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.place = self.place.after(&self.literal);
            self.done.push(Part::Literal(std::mem::take(&mut self.literal).into()));
        }
    }

    fn finish(mut self) -> Vec<Part> {
        self.end_literal();
        self.done
    }
}

fn unpaired(brace: char, source: &str) -> Problem {
    let other = if brace == '{' { '}' } else { '{' };
    Problem::new(
        format!("a `{brace}` in `{source}` has no `{other}`"),
        format!("add it, or write `{brace}{brace}` for a literal brace"),
    )
}

#[cfg(test)]
mod tests;
