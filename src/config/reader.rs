//! A TOML table, read key by key, so that every problem is found and not only the first.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;

/// Where the readers of all tables put what they find.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    /// Every key that was asked for, with `[]` for the elements of an array of tables.
    known: RefCell<BTreeSet<String>>,
}

impl Findings {
    pub(super) fn add(&self, key: impl Into<String>, span: Range<usize>, message: impl Into<String>) {
        let problem = Problem { key: key.into(), message: message.into(), span };
        self.problems.borrow_mut().push(problem);
    }

    /// All problems in the order of the text, and all keys that there are.
    pub(super) fn finish(self) -> (Vec<Problem>, BTreeSet<String>) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.span.start);
        (problems, self.known.into_inner())
    }
}

/// A table that is being read. What nobody asked for when it is dropped is an unknown key.
pub(super) struct Section<'a> {
    path: String,
    table: Option<&'a DeTable<'a>>,
    asked: Vec<&'static str>,
    findings: &'a Findings,
    /// Where the table stands, for what is missing in it.
    pub(super) span: Range<usize>,
}

/// A value with its place.
pub(super) struct Value<'a> {
    pub(super) key: String,
    pub(super) value: &'a DeValue<'a>,
    pub(super) span: Range<usize>,
    findings: &'a Findings,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a Spanned<DeTable<'a>>, findings: &'a Findings) -> Self {
        Self { path: String::new(), table: Some(table.get_ref()), asked: Vec::new(), findings, span: 0..0 }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of `key`, if the table has it.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        let path = self.path_of(key);
        let general = path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
        self.findings.known.borrow_mut().insert(general.collect::<Vec<_>>().join("[]"));
        let value = self.table?.get(key)?;
        Some(Value { key: path, value: value.get_ref(), span: value.span(), findings: self.findings })
    }

    /// The table `key`; an absent one reads as an empty one.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let path = self.path_of(key);
        let value = self.get(key);
        let span = value.as_ref().map_or(0..0, |value| value.span.clone());
        let table = value.and_then(|value| value.table());
        Self { path, table, asked: Vec::new(), findings: self.findings, span }
    }

    /// The tables of the array `key`, or one absent table when there is none, so that its keys are known.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let value = self.get(key);
        let mut sections = Vec::new();
        for value in value.iter().flat_map(Value::elements) {
            let table = value.table();
            if table.is_some() {
                let Value { key: path, span, findings, .. } = value;
                sections.push(Self { path, table, asked: Vec::new(), findings, span });
            }
        }
        if sections.is_empty() {
            let path = self.path_of(&format!("{key}[]"));
            sections.push(Self { path, table: None, asked: Vec::new(), findings: self.findings, span: 0..0 });
        }
        sections
    }

    /// Whether the file has this table.
    pub(super) const fn exists(&self) -> bool {
        self.table.is_some()
    }

    /// Tells that something is wrong with the table as a whole.
    pub(super) fn complain(&self, message: impl Into<String>) {
        self.findings.add(self.path.clone(), self.span.clone(), message);
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let Some(table) = self.table else { return };
        for (key, _) in table.iter().filter(|(key, _)| !self.asked.contains(&key.get_ref().as_ref())) {
            let mut known = self.asked.clone();
            known.sort_unstable();
            let message = format!("there is no such key here; expected one of: {}", known.join(", "));
            self.findings.add(self.path_of(key.get_ref()), key.span(), message);
        }
    }
}

impl<'a> Value<'a> {
    /// Tells what was expected instead.
    pub(super) fn complain(&self, message: impl Into<String>) {
        self.findings.add(self.key.clone(), self.span.clone(), message);
    }

    fn wrong_type(&self, expected: &str) {
        self.complain(format!("expected {expected}, found {}", article(self.value.type_str())));
    }

    fn table(&self) -> Option<&'a DeTable<'a>> {
        let table = self.value.as_table();
        if table.is_none() {
            self.wrong_type("a table");
        }
        table
    }

    /// The text, or a complaint that says what kind of text was expected.
    pub(super) fn text(&self, expected: &str) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type(expected);
        }
        text
    }

    /// The text, read by `read`, whose error is told.
    pub(super) fn parse<T, E: Display>(
        &self,
        expected: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(expected)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.complain(error.to_string());
                None
            }
        }
    }

    /// A whole number within `range`.
    pub(super) fn integer(&self, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(integer) = self.value.as_integer() else {
            self.wrong_type(&expected);
            return None;
        };
        let number = u32::from_str_radix(&integer.as_str().replace('_', ""), integer.radix());
        let number = number.ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.complain(format!("expected {expected}"));
        }
        number
    }

    /// Yes or no.
    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.wrong_type("true or false");
        }
        value
    }

    /// The elements of an array, each with its place.
    pub(super) fn elements(&self) -> Vec<Self> {
        let Some(array) = self.value.as_array() else {
            self.wrong_type("an array");
            return Vec::new();
        };
        let element = |(index, value): (usize, &'a Spanned<DeValue<'a>>)| Value {
            key: format!("{}[{index}]", self.key),
            value: value.get_ref(),
            span: value.span(),
            findings: self.findings,
        };
        array.iter().enumerate().map(element).collect()
    }

    /// The elements of an array of texts, each read by `read`; those that can't be read are told and left out.
    pub(super) fn list<T, E: Display>(&self, expected: &str, read: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
        self.elements().iter().filter_map(|element| element.parse(expected, &read)).collect()
    }

    /// The value as a table, when it is one.
    pub(super) fn as_section(&self) -> Option<Section<'a>> {
        let table = self.value.as_table()?;
        let (path, span) = (self.key.clone(), self.span.clone());
        Some(Section { path, table: Some(table), asked: Vec::new(), findings: self.findings, span })
    }
}

/// The name of a TOML type with its article.
fn article(type_name: &str) -> String {
    match type_name {
        "integer" | "array" => format!("an {type_name}"),
        "boolean" => "true or false".to_owned(),
        _ => format!("a {type_name}"),
    }
}
