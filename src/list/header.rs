//! What a list says of itself in the comments at its beginning: `! Title: ...`, `# Description: ...`.

/// So many lines are looked at; authors say such things first.
const LINES_MAX: u32 = 50;
/// How much of a title and of a description is kept, in characters.
const TITLE_LEN_MAX: usize = 100;
const DESCRIPTION_LEN_MAX: usize = 300;

/// A list's own words about itself, as a page can show them. They are the author's and prove nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// What it is called.
    pub title: Option<Box<str>>,
    /// What it is for.
    pub description: Option<Box<str>>,
}

impl Header {
    /// Reads a comment; `line` is its number, from 1. What was said first stays.
    pub(super) fn read(&mut self, line: u32, comment: &[u8]) {
        if LINES_MAX < line {
            return;
        }
        let text = String::from_utf8_lossy(comment);
        let text = text.trim_start_matches(|c: char| matches!(c, '!' | '#' | ';') || c.is_whitespace());
        let Some((word, value)) = text.split_once(':') else { return };
        let (field, len_max) = if word.trim().eq_ignore_ascii_case("title") {
            (&mut self.title, TITLE_LEN_MAX)
        } else if word.trim().eq_ignore_ascii_case("description") {
            (&mut self.description, DESCRIPTION_LEN_MAX)
        } else {
            return;
        };
        if field.is_none() {
            *field = tidy(value, len_max);
        }
    }
}

/// One line without what moves or hides other text; `None` when nothing is left.
fn tidy(text: &str, len_max: usize) -> Option<Box<str>> {
    let moves = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let plain: String =
        text.chars().filter(|c| !moves(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let tidy = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let tidy: String = tidy.chars().take(len_max).collect();
    (!tidy.is_empty()).then(|| tidy.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{ParseOptions, parse};

    #[track_caller]
    fn check(text: &str, title: Option<&str>, description: Option<&str>) {
        let header = parse(text.as_bytes(), ParseOptions::default()).report.header;
        assert_eq!((header.title.as_deref(), header.description.as_deref()), (title, description), "{text}");
    }

    #[test]
    fn a_list_says_what_it_is() {
        check(
            "! Title: EasyPrivacy\n! Description: Stops  it.\n||a.example^",
            Some("EasyPrivacy"),
            Some("Stops it."),
        );
        check("#\n# TITLE : A list: of names \r\n0.0.0.0 a.example", Some("A list: of names"), None);
        check("; Title: Zone\n; title: Other\n", Some("Zone"), None);
        check("# Title:\n# Title:\u{202e}\u{7} x\n", Some("x"), None);
        check("a.example\n# Titles: no\n# Untitled\n", None, None);
        check(&format!("{}# Title: late\n", "a.example\n".repeat(60)), None, None);
        check(&format!("# Title: {}\n", "ä".repeat(500)), Some(&"ä".repeat(TITLE_LEN_MAX)), None);
    }
}
