//! The file of rules that the page writes and a person may edit: its text, read and changed with its layout kept.
//!
//! Text in, text out: where the file is and when it is written is not known here.

use std::fmt;
use std::ops::Range;

use toml_edit::{Array, Document, DocumentMut, Item, RawString, Table, Value};

use crate::list::{Action, OwnRule};

/// A file that no one has written to yet.
const NEW: &str =
    "# The rules written on the page. You may edit this file; it takes effect when saved.\n[rules]\n";
/// The indent of a rule in an array that this program makes.
const INDENT: &str = "\n    ";

/// The text and the rules in it. A value of this type has been read without a fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RulesFile {
    text: String,
    rules: Vec<(Action, OwnRule, u32)>,
}

/// Where a file is wrong, and what was expected there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    line: usize,
    column: usize,
    message: String,
}

impl Default for RulesFile {
    fn default() -> Self {
        Self { text: NEW.to_owned(), rules: Vec::new() }
    }
}

impl RulesFile {
    pub(super) fn parse(text: String) -> Result<Self, Fault> {
        let fault = |span: Option<Range<usize>>, message: String| Fault::at(&text, span, message);
        let document = Document::parse(text.as_str())
            .map_err(|error| fault(error.span(), error.message().to_owned()))?;
        let mut rules = Vec::new();
        for (key, item) in document.as_table() {
            let span = document.as_table().key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
            let table = item.as_table_like().filter(|_| key == "rules");
            let table =
                table.ok_or_else(|| fault(span, format!("`{key}` is not known here; expected `[rules]`")))?;
            for (key, item) in table.iter() {
                let span = table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
                let action = [Action::Block, Action::Allow].into_iter().find(|&action| word(action) == key);
                let action = action.ok_or_else(|| {
                    fault(span, format!("`{key}` is not known here; expected `block` or `allow`"))
                })?;
                let array = item.as_array().ok_or_else(|| {
                    fault(item.span(), format!("expected a list of names: {key} = [\"pixel.example\"]"))
                })?;
                for value in array {
                    let written = value.as_str().ok_or_else(|| {
                        fault(value.span(), "expected a name in quotes: \"pixel.example\"".to_owned())
                    })?;
                    let rule =
                        OwnRule::parse(written).map_err(|error| fault(value.span(), error.to_string()))?;
                    rules.push((action, rule, line_of(&text, value.span())));
                }
            }
        }
        Ok(Self { text, rules })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The rules with their lines, in the order of the file.
    pub(super) fn rules(&self) -> &[(Action, OwnRule, u32)] {
        &self.rules
    }

    /// Whether the file says this of the rule's name and scope, and nothing else.
    pub(super) fn says(&self, action: Action, rule: &OwnRule) -> bool {
        let mut said = self.rules.iter().filter(|(_, written, _)| written == rule).peekable();
        said.peek().is_some() && said.all(|&(written, _, _)| written == action)
    }

    /// The file with this rule, in place of what it said of the same name and scope.
    pub(super) fn with(&self, action: Action, rule: &OwnRule) -> Result<Self, Fault> {
        let opposite = match action {
            Action::Allow => Action::Block,
            Action::Block => Action::Allow,
        };
        let there = self.rules.iter().any(|(written, known, _)| (*written, known) == (action, rule));
        self.change(|table| {
            if let Some(array) = table.get_mut(word(opposite)).and_then(Item::as_array_mut) {
                remove(array, rule);
            }
            if there {
                return;
            }
            let item = table.entry(word(action)).or_insert_with(|| Item::Value(Value::Array(new_array())));
            if let Some(array) = item.as_array_mut() {
                append(array, &rule.to_string());
            }
        })
    }

    /// The file without this rule, allowed or blocked; `None` when it is not in it.
    pub(super) fn without(&self, rule: &OwnRule) -> Option<Result<Self, Fault>> {
        self.rules.iter().any(|(_, known, _)| known == rule).then(|| {
            self.change(|table| {
                for action in [Action::Block, Action::Allow] {
                    if let Some(array) = table.get_mut(word(action)).and_then(Item::as_array_mut) {
                        remove(array, rule);
                    }
                }
            })
        })
    }

    fn change(&self, change: impl FnOnce(&mut dyn toml_edit::TableLike)) -> Result<Self, Fault> {
        let parsed = self.text.parse::<DocumentMut>();
        let mut document =
            parsed.map_err(|error| Fault::at(&self.text, error.span(), error.message().to_owned()))?;
        let table = document.entry("rules").or_insert_with(|| Item::Table(Table::new()));
        if let Some(table) = table.as_table_like_mut() {
            change(table);
        }
        // Read again: what is written is what will be read, and the lines have moved.
        Self::parse(document.to_string())
    }
}

/// `line 3, column 9: what was expected`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message } = self;
        write!(f, "line {line}, column {column}: {}", message.replace('\n', ", "))
    }
}

impl Fault {
    fn at(text: &str, span: Option<Range<usize>>, message: String) -> Self {
        let before = text.get(..span.map_or(0, |span| span.start)).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |position| position + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { line: before.matches('\n').count() + 1, column, message }
    }
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Block => "block",
        Action::Allow => "allow",
    }
}

fn line_of(text: &str, span: Option<Range<usize>>) -> u32 {
    let before = text.get(..span.map_or(0, |span| span.start)).unwrap_or_default();
    u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX)
}

fn new_array() -> Array {
    let mut array = Array::new();
    array.set_trailing_comma(true);
    array.set_trailing("\n");
    array
}

/// Adds a rule at the end, in the layout of what is there. A comment behind the last rule stays behind it.
fn append(array: &mut Array, rule: &str) {
    let mut indent = match array.iter().last() {
        Some(last) => last_line(prefix(last)).to_owned(),
        None => INDENT.to_owned(),
    };
    if array.len() == 1 && indent.is_empty() {
        indent = " ".to_owned();
    }
    let many_lines = indent.starts_with('\n');
    let trailing = raw(Some(array.trailing())).to_owned();
    let suffix = match array.len().checked_sub(1).and_then(|last| array.get_mut(last)) {
        Some(last) => {
            let suffix = raw(last.decor().suffix()).to_owned();
            last.decor_mut().set_suffix("");
            suffix
        }
        None => String::new(),
    };
    let comments = [suffix, trailing].concat();
    let before = if comments.contains('#') {
        let kept = comments.trim_end();
        format!("{kept}{}", if many_lines { indent.as_str() } else { INDENT })
    } else {
        indent
    };
    if many_lines || before.contains('\n') {
        array.set_trailing_comma(true);
        array.set_trailing("\n");
    }
    let mut value = Value::from(rule);
    *value.decor_mut() = toml_edit::Decor::new(before, "");
    array.push_formatted(value);
}

/// Removes a rule wherever it stands; the comments around it stay.
fn remove(array: &mut Array, rule: &OwnRule) {
    let mut index = 0;
    while let Some(value) = array.get(index) {
        if value.as_str().and_then(|written| OwnRule::parse(written).ok()).as_ref() != Some(rule) {
            index += 1;
            continue;
        }
        let removed = array.remove(index);
        let before = [prefix(&removed), raw(removed.decor().suffix())].concat();
        match array.get_mut(index) {
            Some(next) => {
                let own = prefix(next).to_owned();
                let joined = join(&before, &own);
                next.decor_mut().set_prefix(joined);
            }
            None => {
                if before.contains('#') {
                    let own = raw(Some(array.trailing())).to_owned();
                    array.set_trailing(join(&before, &own));
                }
            }
        }
    }
}

/// What stands before a value after the value before it is gone.
fn join(removed: &str, own: &str) -> String {
    match (removed.contains('#'), own.contains('#')) {
        (false, false) => removed.to_owned(),
        (false, true) => {
            // The comment that stood behind the removed rule gets a line of its own.
            let indent = last_line(removed);
            format!("{indent}{}", own.trim_start_matches([' ', '\t']))
        }
        (true, false) if own.contains('\n') => format!("{}{own}", removed.trim_end()),
        (true, false) => removed.to_owned(),
        // Each comment keeps its line.
        (true, true) => format!("{removed}{}", own.trim_start_matches([' ', '\t'])),
    }
}

fn prefix(value: &Value) -> &str {
    raw(value.decor().prefix())
}

fn raw(text: Option<&RawString>) -> &str {
    text.and_then(RawString::as_str).unwrap_or_default()
}

/// The last line feed and what follows it, or all when there is none.
fn last_line(space: &str) -> &str {
    space.rfind('\n').and_then(|position| space.get(position..)).unwrap_or(space)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> OwnRule {
        OwnRule::parse(text).unwrap()
    }

    /// Adds (`+block x`), (`+allow x`) or removes (`-x`) and compares the whole file.
    #[track_caller]
    fn check(before: &str, change: &str, after: &str) {
        let file = RulesFile::parse(before.to_owned()).unwrap();
        let changed = match change.split_once(' ') {
            Some(("+block", name)) => file.with(Action::Block, &rule(name)),
            Some(("+allow", name)) => file.with(Action::Allow, &rule(name)),
            _ => file.without(&rule(change.trim_start_matches('-'))).unwrap(),
        };
        assert_eq!(changed.unwrap().text(), after);
    }

    #[test]
    fn a_new_file_says_what_it_is() {
        check(NEW, "+block pixel.example", &format!("{NEW}block = [\n    \"pixel.example\",\n]\n"));
        check("", "+allow good.example", "[rules]\nallow = [\n    \"good.example\",\n]\n");
    }

    #[test]
    fn comments_and_layout_of_a_person_stay() {
        let file = "# mine\n[rules]\nblock = [\n  # the television\n  \"a.example\", # evil\n  \"b.example\", # worse\n]\n\n# end\n";
        check(
            file,
            "+block c.example",
            "# mine\n[rules]\nblock = [\n  # the television\n  \"a.example\", # evil\n  \"b.example\", # worse\n  \"c.example\",\n]\n\n# end\n",
        );
        check(
            file,
            "-b.example",
            "# mine\n[rules]\nblock = [\n  # the television\n  \"a.example\", # evil\n  # worse\n]\n\n# end\n",
        );
        check(
            file,
            "-a.example",
            "# mine\n[rules]\nblock = [\n  # the television\n  # evil\n  \"b.example\", # worse\n]\n\n# end\n",
        );
        check(
            file,
            "+allow a.example",
            "# mine\n[rules]\nblock = [\n  # the television\n  # evil\n  \"b.example\", # worse\n]\nallow = [\n    \"a.example\",\n]\n\n# end\n",
        );
    }

    #[test]
    fn a_rule_on_one_line_with_others() {
        check(
            "[rules]\nblock = [\"a.example\"]\n",
            "+block b.example",
            "[rules]\nblock = [\"a.example\", \"b.example\"]\n",
        );
        check(
            "[rules]\nblock = [\"a.example\", \"b.example\"]\n",
            "+block c.example",
            "[rules]\nblock = [\"a.example\", \"b.example\", \"c.example\"]\n",
        );
        check(
            "[rules]\nblock = [\"a.example\", \"b.example\"]\n",
            "-a.example",
            "[rules]\nblock = [\"b.example\"]\n",
        );
        check(
            "[rules]\nblock = [\"a.example\", \"b.example\"]\n",
            "-||B.example^",
            "[rules]\nblock = [\"a.example\"]\n",
        );
        check("[rules]\nblock = [\"a.example\"]\n", "-a.example", "[rules]\nblock = []\n");
        check(
            "rules = { block = [\"a.example\"] }\n",
            "+block b.example",
            "rules = { block = [\"a.example\", \"b.example\"] }\n",
        );
        check(
            "[rules]\nblock = [\n  \"a.example\" # last\n]\n",
            "+block b.example",
            "[rules]\nblock = [\n  \"a.example\", # last\n  \"b.example\",\n]\n",
        );
    }

    #[test]
    fn the_same_name_with_another_scope_is_another_rule() {
        check(
            "[rules]\nblock = [\"a.example\"]\n",
            "+allow =a.example",
            "[rules]\nblock = [\"a.example\"]\nallow = [\n    \"=a.example\",\n]\n",
        );
    }

    #[test]
    fn a_fault_is_told_with_its_place_and_what_was_expected() {
        for (text, expected) in [
            ("[rules]\nblock = [\"a.example\"\n", "line "),
            (
                "[rules]\nblok = []\n",
                "line 2, column 1: `blok` is not known here; expected `block` or `allow`",
            ),
            ("block = []\n", "line 1, column 1: `block` is not known here; expected `[rules]`"),
            ("[rules]\nblock = \"a.example\"\n", "line 2, column 9: expected a list of names"),
            ("[rules]\nblock = [\n  7,\n]\n", "line 3, column 3: expected a name in quotes"),
            (
                "[rules]\nblock = [\"ä\", \"a b\"]\n",
                "line 2, column 15: ` ` does not belong into a domain name; write",
            ),
            ("[rules]\nblock = []\nblock = []\n", "line 3, column 1: "),
        ] {
            let fault = RulesFile::parse(text.to_owned()).unwrap_err().to_string();
            assert!(fault.contains(expected), "{fault}");
        }
    }
    proptest! {
        /// Whatever is added and taken back on the page: the rules are those, and no comment is lost.
        #[test]
        fn no_change_loses_a_comment_or_a_rule(
            written in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 0..5),
            (last_comma, after_last, crlf) in any::<(bool, bool, bool)>(),
            changes in proptest::collection::vec((0..3, 0..7_usize), 1..12),
        ) {
            let mut text = "# head\n[rules] # table\nallow = [] # none\nblock = [ # begin\n".to_owned();
            let mut model = std::collections::BTreeMap::new();
            for (index, (above, behind, same_line)) in written.iter().enumerate() {
                if *above {
                    text.push_str(&format!("  # above{index}\n"));
                }
                let comma = if index + 1 < written.len() || last_comma { "," } else { "" };
                text.push_str(&format!("  \"n{index}.example\"{comma}"));
                if *behind {
                    text.push_str(&format!(" # behind{index}"));
                }
                text.push_str(if *same_line && !*behind { " " } else { "\n" });
                model.insert(format!("n{index}.example"), Action::Block);
            }
            text.push_str(if after_last { "  # last\n] # end\n" } else { "] # end\n" });
            if crlf {
                text = text.replace('\n', "\r\n");
            }
            let comments: Vec<String> = text.lines().filter_map(|line| line.split_once('#'))
                .map(|(_, comment)| comment.trim().to_owned()).collect();
            let mut file = RulesFile::parse(text).unwrap();
            for (change, index) in changes {
                let name = format!("n{index}.example");
                file = match change {
                    0 => file.without(&rule(&name)).unwrap_or(Ok(file)).unwrap(),
                    1 => file.with(Action::Block, &rule(&name)).unwrap(),
                    _ => file.with(Action::Allow, &rule(&name)).unwrap(),
                };
                match change {
                    0 => model.remove(&name),
                    1 => model.insert(name, Action::Block),
                    _ => model.insert(name, Action::Allow),
                };
                let mut found: Vec<_> =
                    file.rules().iter().map(|(action, rule, _)| (rule.to_string(), *action)).collect();
                found.sort();
                prop_assert_eq!(found, model.clone().into_iter().collect::<Vec<_>>(), "{}", file.text());
                for comment in &comments {
                    prop_assert!(file.text().contains(comment), "{} is lost in\n{}", comment, file.text());
                }
            }
        }
    }
}
