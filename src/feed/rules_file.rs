//! The file of rules that the page writes and a person may edit: its text, read and changed with its layout kept.
//!
//! Text in, text out: where the file is and when it is written is not known here.

use std::fmt;
use std::ops::Range;

use jiff::Timestamp;
use toml_edit::{Array, Datetime, Document, DocumentMut, InlineTable, Item, RawString, Table, Value};

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
    rules: Vec<Written>,
}

/// A rule as it stands in the file: `"pixel.example"`, or `{ rule = "pixel.example", until = 2026-11-28T14:35:00Z }`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Written {
    pub(super) action: Action,
    pub(super) rule: OwnRule,
    /// Its line, from 1.
    pub(super) line: u32,
    /// When it is to be taken back.
    pub(super) until: Option<Timestamp>,
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
                    let (rule, until) = entry(value).map_err(|message| fault(value.span(), message))?;
                    rules.push(Written { action, rule, line: line_of(&text, value.span()), until });
                }
            }
        }
        Ok(Self { text, rules })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The rules with their lines, in the order of the file.
    pub(super) fn rules(&self) -> &[Written] {
        &self.rules
    }

    /// What the file says of the rule's name, scope and device.
    pub(super) fn about<'a>(&'a self, rule: &'a OwnRule) -> impl Iterator<Item = &'a Written> + Clone {
        self.rules.iter().filter(move |written| written.rule == *rule)
    }

    /// Whether the file says this of the rule's name, scope and device for good, and nothing else.
    pub(super) fn says(&self, action: Action, rule: &OwnRule) -> bool {
        let mut said = self.about(rule);
        self.about(rule).next().is_some()
            && said.all(|written| written.action == action && written.until.is_none())
    }

    /// The file with this rule, in place of what it said of the same name, scope and device.
    pub(super) fn with(&self, action: Action, rule: &OwnRule) -> Result<Self, Fault> {
        let opposite = match action {
            Action::Allow => Action::Block,
            Action::Block => Action::Allow,
        };
        let there = self.about(rule).any(|written| written.action == action && written.until.is_none());
        self.change(|table| {
            if let Some(array) = table.get_mut(word(opposite)).and_then(Item::as_array_mut) {
                remove(array, |written, _| written == rule);
            }
            if let Some(array) = table.get_mut(word(action)).and_then(Item::as_array_mut) {
                remove(array, |written, until| written == rule && until.is_some());
            }
            if !there {
                add(table, action, Value::from(rule.to_string()));
            }
        })
    }

    /// The file with this rule until a moment, beside what it says of the same for good: that counts again afterwards.
    pub(super) fn with_until(&self, action: Action, rule: &OwnRule, until: Timestamp) -> Result<Self, Fault> {
        let until =
            datetime(until).ok_or_else(|| Fault::at(&self.text, None, format!("{until} is no time")))?;
        self.change(|table| {
            remove_from_both(table, |written, until| written == rule && until.is_some());
            let fields = [("rule", Value::from(rule.to_string())), ("until", Value::from(until))];
            add(table, action, Value::from(InlineTable::from_iter(fields)));
        })
    }

    /// The file without this rule, allowed or blocked; `None` when it is not in it. Of a rule that has an end, what is said
    /// for good stays.
    pub(super) fn without(&self, rule: &OwnRule) -> Option<Result<Self, Fault>> {
        let has_end = self.about(rule).any(|written| written.until.is_some());
        self.about(rule).next().is_some().then(|| {
            self.change(|table| {
                remove_from_both(table, |written, until| written == rule && (!has_end || until.is_some()));
            })
        })
    }

    /// The file without rules whose time is over.
    pub(super) fn without_ended(&self, ended: &[Written]) -> Result<Self, Fault> {
        let is_ended = |rule: &OwnRule, until: Option<Timestamp>| {
            until.is_some() && ended.iter().any(|ended| ended.rule == *rule && ended.until == until)
        };
        self.change(|table| remove_from_both(table, is_ended))
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

/// Reads one entry of an array, or says what was expected.
fn entry(value: &Value) -> Result<(OwnRule, Option<Timestamp>), String> {
    let read = |written: &str| OwnRule::parse(written).map_err(|error| error.to_string());
    if let Some(written) = value.as_str() {
        return Ok((read(written)?, None));
    }
    let expected = || "expected a name in quotes: \"pixel.example\"".to_owned();
    let fields = value.as_inline_table().ok_or_else(expected)?;
    if let Some((key, _)) = fields.iter().find(|(key, _)| !matches!(*key, "rule" | "until")) {
        return Err(format!("`{key}` is not known here; expected `rule` and `until`"));
    }
    let rule = read(fields.get("rule").and_then(Value::as_str).ok_or_else(expected)?)?;
    let until = fields.get("until").and_then(Value::as_datetime).and_then(|at| at.to_string().parse().ok());
    let until = until.ok_or("expected a time with its zone: until = 2026-11-28T14:35:00Z")?;
    Ok((rule, Some(until)))
}

/// A moment as TOML has it, to the second.
fn datetime(at: Timestamp) -> Option<Datetime> {
    let second = Timestamp::from_second(at.as_second()).ok()?;
    second.to_string().parse().ok()
}

fn add(table: &mut dyn toml_edit::TableLike, action: Action, value: Value) {
    let item = table.entry(word(action)).or_insert_with(|| Item::Value(Value::Array(new_array())));
    if let Some(array) = item.as_array_mut() {
        append(array, value);
    }
}

fn remove_from_both(
    table: &mut dyn toml_edit::TableLike,
    is_meant: impl Fn(&OwnRule, Option<Timestamp>) -> bool,
) {
    for action in [Action::Block, Action::Allow] {
        if let Some(array) = table.get_mut(word(action)).and_then(Item::as_array_mut) {
            remove(array, &is_meant);
        }
    }
}

/// Adds a rule at the end, in the layout of what is there. A comment behind the last rule stays behind it.
fn append(array: &mut Array, mut value: Value) {
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
    *value.decor_mut() = toml_edit::Decor::new(before, "");
    array.push_formatted(value);
}

/// Removes the rules that are meant wherever they stand; the comments around them stay.
fn remove(array: &mut Array, is_meant: impl Fn(&OwnRule, Option<Timestamp>) -> bool) {
    let mut index = 0;
    while let Some(value) = array.get(index) {
        if !entry(value).is_ok_and(|(rule, until)| is_meant(&rule, until)) {
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

    /// Adds (`+block x`, `+allow x`, `+until x`) or removes (`-x`) and compares the whole file.
    #[track_caller]
    fn check(before: &str, change: &str, after: &str) {
        let file = RulesFile::parse(before.to_owned()).unwrap();
        let changed = match change.split_once(' ') {
            Some(("+block", name)) => file.with(Action::Block, &rule(name)),
            Some(("+allow", name)) => file.with(Action::Allow, &rule(name)),
            Some(("+until", name)) => {
                file.with_until(Action::Allow, &rule(name), "2026-11-28T14:35:00.7Z".parse().unwrap())
            }
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
    fn a_rule_with_an_end_stands_beside_what_is_said_for_good() {
        let timed = "{ rule = \"a.example$client=192.168.1.7\", until = 2026-11-28T14:35:00Z }";
        check(
            "[rules]\n",
            "+until a.example$client=192.168.1.7",
            &format!("[rules]\nallow = [\n    {timed},\n]\n"),
        );
        let both = format!(
            "[rules]\nblock = [\"a.example$client=192.168.1.7\"]\nallow = [\n    # for now\n    {timed}, # here\n]\n"
        );
        check(
            &both,
            "-a.example$client=192.168.1.7",
            "[rules]\nblock = [\"a.example$client=192.168.1.7\"]\nallow = [\n    # for now\n    # here\n]\n",
        );
        check(
            &both,
            "+allow a.example$client=192.168.1.7",
            "[rules]\nblock = []\nallow = [\n    # for now\n    # here\n    \"a.example$client=192.168.1.7\",\n]\n",
        );
        let file = RulesFile::parse(both).unwrap();
        let until = Some("2026-11-28T14:35:00Z".parse().unwrap());
        let [block, allow] = file.rules() else { panic!("{file:?}") };
        assert_eq!((block.until, allow.until, allow.line), (None, until, 5));
        assert!(!file.says(Action::Block, &block.rule) && !file.says(Action::Allow, &block.rule));
        let ended = file.without_ended(std::slice::from_ref(allow)).unwrap();
        assert_eq!(ended.rules(), std::slice::from_ref(block));
        assert_eq!(file.without_ended(&[Written { until: None, ..allow.clone() }]).unwrap(), file);
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
            (
                "[rules]\nallow = [{ rule = \"a.example\", until = 2026-11-28T14:35:00 }]\n",
                "line 2, column 10: expected a time with its zone: until = 2026-11-28T14:35:00Z",
            ),
            ("[rules]\nallow = [{ rule = \"a.example\" }]\n", "line 2, column 10: expected a time"),
            (
                "[rules]\nallow = [{ until = 2026-11-28T14:35:00Z }]\n",
                "line 2, column 10: expected a name in quotes",
            ),
            (
                "[rules]\nallow = [{ rule = \"a.example\", unitl = 1 }]\n",
                "line 2, column 10: `unitl` is not known",
            ),
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
                    file.rules().iter().map(|written| (written.rule.to_string(), written.action)).collect();
                found.sort();
                prop_assert_eq!(found, model.clone().into_iter().collect::<Vec<_>>(), "{}", file.text());
                for comment in &comments {
                    prop_assert!(file.text().contains(comment), "{} is lost in\n{}", comment, file.text());
                }
            }
        }
    }
}
