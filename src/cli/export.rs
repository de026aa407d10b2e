//! `pixelsink export`: single questions as a file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::CliError;
use super::client::Daemon;
use crate::config::Config;

/// What is exported.
#[derive(clap::Args, Clone, Debug)]
pub struct ExportArguments {
    /// CSV for spreadsheets, or JSON lines for programs.
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    format: ExportFormat,
    /// Questions of one device: its MAC or IP address.
    #[arg(long)]
    device: Option<String>,
    /// Blocked ones only.
    #[arg(long)]
    blocked: bool,
    /// Those whose name contains this text.
    #[arg(long)]
    name: Option<String>,
    /// Those from this moment on (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those before this moment.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The file to write; it must not exist yet. Without one, it is printed.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// A form of export.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated values.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

pub(super) async fn run(arguments: &ExportArguments, config: &Config) -> Result<(), CliError> {
    let format = match arguments.format {
        ExportFormat::Csv => "csv",
        ExportFormat::Jsonl => "jsonl",
    };
    let mut query = vec![("format", format)];
    let said = [
        ("device", &arguments.device),
        ("name_contains", &arguments.name),
        ("from", &arguments.since),
        ("until", &arguments.until),
    ];
    query.extend(said.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))));
    if arguments.blocked {
        query.push(("hits_only", "true"));
    }
    let daemon = Daemon::find(config)?;
    let Some(file) = &arguments.to else {
        return daemon.download("events/export", &query, &mut io::stdout().lock()).await;
    };
    let cannot = |error: io::Error| CliError::Usage(format!("{}: {error}", file.display()));
    // What a home asked is for its owner only.
    let mut target =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(cannot)?;
    let written = daemon.download("events/export", &query, &mut target).await;
    if let Err(error) = written.and_then(|()| target.flush().map_err(cannot)) {
        // Half of it would be taken for all of it.
        let _ = std::fs::remove_file(file);
        return Err(error);
    }
    Ok(())
}
