//! What is wrong with a configuration, shown where it stands.

use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The key, for instance `upstream.servers[1]`; empty where the text is not TOML.
    pub key: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// Where it stands, in octets of the text.
    pub span: Range<usize>,
}

/// A configuration that can't be used, with all that is wrong with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Its text; empty when it could not be read.
    pub text: String,
    /// All that is wrong, in the order of the text.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// A file that can't be read at all.
    pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        Self::of_the_whole(file, format!("can't be read: {error}; check the path and its permissions"))
    }

    pub(super) fn emptied(file: &Path) -> Self {
        let message =
            "there is nothing in it, as while it is being saved; to have all defaults, leave a comment in it";
        Self::of_the_whole(file, message.to_owned())
    }

    fn of_the_whole(file: &Path, message: String) -> Self {
        let problem = Problem { key: String::new(), message, span: 0..0 };
        Self { file: file.to_owned(), text: String::new(), problems: vec![problem] }
    }

    /// Line and column of a problem, from 1.
    pub fn position(&self, problem: &Problem) -> (usize, usize) {
        let before = self.text.get(..problem.span.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// One line for each problem: file, line, column, key, what is wrong.
    pub fn lines(&self) -> Vec<String> {
        let line = |problem: &Problem| {
            let file = self.file.display();
            if self.text.is_empty() {
                return format!("{file}: {}", problem.message);
            }
            let (line, column) = self.position(problem);
            let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
            format!("{file}:{line}:{column}: {key}{}", problem.message)
        };
        self.problems.iter().map(line).collect()
    }

    /// All problems with the lines of the file that they are about, as compilers show them.
    pub fn render(&self, colour: bool) -> String {
        if self.text.is_empty() {
            return self.lines().join("\n");
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let path = self.file.display().to_string();
        let shown = self.problems.iter().map(|problem| {
            let title = if problem.key.is_empty() { "not valid TOML" } else { problem.key.as_str() };
            // A mark of at least one character, whole ones only.
            let end = self.text.ceil_char_boundary(problem.span.end.max(problem.span.start + 1));
            let span = self.text.floor_char_boundary(problem.span.start.min(end))..end;
            let annotation = AnnotationKind::Primary.span(span).label(problem.message.as_str());
            let snippet = Snippet::source(self.text.as_str()).path(path.as_str()).annotation(annotation);
            renderer.render(&[Level::ERROR.primary_title(title).element(snippet)])
        });
        shown.collect::<Vec<_>>().join("\n\n")
    }
}

impl std::error::Error for ConfigError {}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}
