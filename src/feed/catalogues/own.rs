//! The person's own catalogue files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::feed::disk::{self, Mark};
use crate::tracker::Part;

/// A larger file was not written by a person, in octets.
const SIZE_MAX: u64 = 8 << 20;
/// How many mistakes are told one by one.
const MISTAKES_SHOWN: usize = 3;

/// One file: what it says, and what is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct OwnFile {
    pub(super) path: PathBuf,
    pub(super) part: Arc<Part>,
    pub(super) problem: Option<String>,
    mark: Option<Mark>,
    /// Whether it was ever looked at.
    is_known: bool,
}

impl OwnFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, part: Arc::default(), problem: None, mark: None, is_known: false }
    }

    /// Reads the file when it changed; whether it says something else now. One that can't be read changes nothing.
    pub(super) fn look(&mut self) -> bool {
        let mark = Mark::of(&self.path).ok();
        if self.is_known && mark == self.mark {
            return false;
        }
        (self.is_known, self.mark) = (true, mark);
        let problem = match read(&self.path) {
            Ok((part, mistakes)) => {
                let is_new = part != *self.part;
                self.part = Arc::new(part);
                self.tell(told(&mistakes));
                return is_new;
            }
            Err(problem) if self.part.names() == 0 => format!("{problem}. Nothing of it is in force."),
            Err(problem) => format!("{problem}. What it said before stays in force."),
        };
        self.tell(Some(problem));
        false
    }

    fn tell(&mut self, problem: Option<String>) {
        if let Some(problem) = problem.as_ref().filter(|problem| self.problem.as_ref() != Some(problem)) {
            tracing::warn!(%problem, "a catalogue of trackers has mistakes");
        }
        self.problem = problem;
    }
}

/// Reads a catalogue file; with it all lines that can't be read, each told with file, line and value.
///
/// # Errors
/// When the file as a whole can't be read.
pub fn read(path: &Path) -> Result<(Part, Vec<String>), String> {
    let shown = path.display();
    let content =
        disk::read_bounded(path, SIZE_MAX).map_err(|error| format!("{shown} can't be read: {error}"))?;
    let text = String::from_utf8(content).map_err(|_| format!("{shown} is not UTF-8; save it as UTF-8"))?;
    let (part, errors) = Part::parse(&text);
    Ok((part, errors.iter().map(|error| format!("{shown}, {error}")).collect()))
}

/// The first mistakes, in whole sentences.
fn told(mistakes: &[String]) -> Option<String> {
    if mistakes.is_empty() {
        return None;
    }
    let first = mistakes.iter().take(MISTAKES_SHOWN).map(|mistake| format!("{mistake}.")).collect::<Vec<_>>();
    let more = match mistakes.len().saturating_sub(MISTAKES_SHOWN) {
        0 => String::new(),
        more => format!(" {more} more lines can't be read; `pixelsink check` tells them all."),
    };
    Some(format!("{}{more} The rest of the file is in force.", first.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_leaves_what_it_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine.txt");
        let mut file = OwnFile::new(path.clone());
        let shown = |file: &OwnFile| {
            let problem = file.problem.clone().unwrap_or_default();
            problem.replace(&directory.path().display().to_string(), "DIR")
        };
        assert!(!file.look());
        insta::assert_snapshot!(shown(&file), @"DIR/mine.txt can't be read: No such file or directory (os error 2). Nothing of it is in force.");
        std::fs::write(
            &path,
            "[A]\ncompany A\nkind other\npixel a.example\npixel a..b\nx y\nz\nq r\n{A}\nb c",
        )
        .unwrap();
        assert!(file.look() && !file.look());
        insta::assert_snapshot!(shown(&file), @"DIR/mine.txt, line 5: `a..b`: a label is empty or longer than 63 octets. DIR/mine.txt, line 6: `x` is none of company, parent, kind, reports, privacy, pixel, links, shared. DIR/mine.txt, line 7: expected a word and a value. 2 more lines can't be read; `pixelsink check` tells them all. The rest of the file is in force.");
        std::fs::write(&path, b"\xff").unwrap();
        assert!(!file.look());
        insta::assert_snapshot!(shown(&file), @"DIR/mine.txt is not UTF-8; save it as UTF-8. What it said before stays in force.");
        assert_eq!(file.part.names(), 1);
        std::fs::write(&path, "").unwrap();
        assert!(file.look() && file.problem.is_none());
    }
}
