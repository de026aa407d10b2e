//! `pixelsink check`: all that is wrong with a configuration file.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::output::{print, print_json};
use super::{Options, Output, load_config};
use crate::config::{Config, ConfigError, DEFAULT_FILE};
use crate::feed::{Origin, read_catalogue_file};
use crate::local::read_hosts;

/// What `check` says to programs.
#[derive(Serialize)]
struct Checked {
    file: Option<String>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Problem {
    line: usize,
    column: usize,
    key: String,
    message: String,
}

pub(super) fn run(options: &Options, output: Output) -> ExitCode {
    let loaded = load_config(options);
    let good = loaded.is_ok();
    match output {
        Output::Json => {
            let checked = match &loaded {
                Ok(config) => {
                    Checked { file: file(config), problems: Vec::new(), warnings: warnings(config) }
                }
                Err(error) => Checked {
                    file: Some(error.file.display().to_string()),
                    problems: problems(error),
                    warnings: Vec::new(),
                },
            };
            let _ = print_json(&checked);
        }
        Output::Table => match loaded {
            Ok(config) => {
                for warning in warnings(&config) {
                    print(&format!("warning: {warning}"));
                }
                match file(&config) {
                    Some(file) => print(&format!("{file}: nothing is wrong")),
                    None => print(&format!("there is no {DEFAULT_FILE}; everything is as it comes")),
                }
            }
            Err(error) => {
                let mut stderr = io::stderr().lock();
                let colour = stderr.is_terminal();
                let count = error.problems.len();
                let noun = if count == 1 { "problem" } else { "problems" };
                let _ =
                    writeln!(stderr, "{}\n\n{}: {count} {noun}", error.render(colour), error.file.display());
            }
        },
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn file(config: &Config) -> Option<String> {
    config.file.as_ref().map(|file| file.display().to_string())
}

fn problems(error: &ConfigError) -> Vec<Problem> {
    let problem = |problem: &crate::config::Problem| {
        let (line, column) = error.position(problem);
        Problem { line, column, key: problem.key.clone(), message: problem.message.clone() }
    };
    error.problems.iter().map(problem).collect()
}

/// What is wrong with the person's own catalogues of trackers.
fn mistakes(config: &Config) -> Vec<String> {
    let read = |path: &std::path::PathBuf| match read_catalogue_file(path) {
        Ok((_, mistakes)) => mistakes,
        Err(problem) => vec![problem],
    };
    config.catalogue_files.iter().flat_map(read).collect()
}

/// Opens what is a file; opening a pipe would wait for its writer.
fn readable(path: &std::path::Path) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    std::fs::File::open(path).map(drop)
}

/// What the daemon would start with, but not as the person meant it.
fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = config.warnings();
    warnings.extend(mistakes(config));
    for list in &config.lists {
        if let Origin::File(path) = &list.origin
            && let Err(error) = readable(path)
        {
            warnings.push(format!("list `{}`: {} can't be read: {error}", list.name, path.display()));
        }
    }
    warnings.extend(config.unusable_authorities());
    for path in &config.local.hosts {
        match readable(path).and_then(|()| std::fs::read(path)) {
            Err(error) => warnings.push(format!("local.hosts: {} can't be read: {error}", path.display())),
            Ok(text) => {
                let hosts = read_hosts(&text);
                let wrong = hosts.problems.iter().map(|problem| format!("{}, {problem}", path.display()));
                warnings.extend(wrong);
                let untold = hosts.mistakes - hosts.problems.len();
                if untold != 0 {
                    warnings.push(format!("{}: {untold} more words are wrong", path.display()));
                }
            }
        }
    }
    if config.lists.is_empty() && config.builtin_levels.is_empty() && config.own_rules.is_empty() {
        warnings.push("there is no list and no rule: nothing will be blocked".to_owned());
    }
    warnings
}
