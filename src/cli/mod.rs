//! One file for each subcommand.
//!
//! The command line speaks the JSON API of the page over the daemon's Unix socket; there is nothing that only one of them
//! can do. It prints tables for people and, with `--output json`, the API's own answers for programs.

mod cache;
mod check;
mod client;
mod companies;
mod devices;
mod doctor;
mod erase;
mod explain;
mod export;
mod fix;
mod lists;
mod local;
mod log;
mod manual;
mod news;
mod output;
mod passwd;
mod progress;
mod report;
mod revisions;
mod rules;
mod status;
mod tokens;
mod trackers;
mod upstreams;

pub use client::{SOCKET_NAME, socket_candidates};
pub use erase::EraseArguments;
pub use export::{ExportArguments, ExportFormat};

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Config, ConfigError, DEFAULT_FILE};

/// Blocks tracking pixels for your whole network, and shows which device was tracked by whom.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = false)]
pub struct Arguments {
    /// The options that every subcommand takes.
    #[command(flatten)]
    pub options: Options,
    /// What to do; without one, the daemon is run.
    #[command(subcommand)]
    pub command: Option<Subcommands>,
}

/// The options that every subcommand takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The configuration file; without one, and where the default does not exist, everything is as it comes.
    #[arg(long, global = true, value_name = "FILE", help = format!("The configuration file [default: {DEFAULT_FILE}, if it exists]"))]
    pub config: Option<PathBuf>,
    /// Tables for people, or JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t = Dress::Table)]
    pub output: Dress,
}

/// How the output looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Dress {
    /// Tables and text, for people.
    #[value(alias = "text")]
    Table,
    /// JSON, for programs.
    Json,
    /// HTML, for mail; `report` only.
    Html,
}

/// For whom the output is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Output {
    /// People.
    Table,
    /// Programs.
    Json,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Subcommands {
    /// Run the daemon in the foreground.
    Run,
    /// Tell all that is wrong with a configuration file.
    Check,
    /// Tell which rule of which list at which line blocks a name, or why it is not blocked.
    Explain {
        /// The domain name.
        name: String,
        /// When this device asks: its name, MAC or IP address.
        #[arg(long)]
        device: Option<String>,
    },
    /// Show the lists; add, refresh, compare and return to earlier ones.
    Lists {
        /// What to do with them; without one, their state is shown.
        #[command(subcommand)]
        command: Option<ListsCommand>,
    },
    /// Show the catalogues that tell whose names are; have public ones downloaded.
    Trackers {
        /// What to do with them; without one, their state is shown.
        #[command(subcommand)]
        command: Option<TrackersCommand>,
    },
    /// Let a name through, whatever the lists say.
    Allow {
        /// `name` (and all below it), `=name` (that name only) or `*.name` (what is below it).
        rule: String,
        /// On this device only: its name, MAC or IP address.
        #[arg(long)]
        device: Option<String>,
        /// For so long only, for instance 15m or 2h; then what was said before counts again.
        #[arg(long = "for", value_name = "TIME", value_parser = read_duration)]
        duration: Option<Duration>,
    },
    /// Block a name.
    Block {
        /// `name` (and all below it), `=name` (that name only) or `*.name` (what is below it).
        rule: String,
        /// On this device only: its name, MAC or IP address.
        #[arg(long)]
        device: Option<String>,
    },
    /// Let a name through for good that was let through for a while.
    Keep {
        /// The rule, as it was written.
        rule: String,
        /// The device that it is for: its name, MAC or IP address.
        #[arg(long)]
        device: Option<String>,
    },
    /// Take back a rule that `allow`, `block` or the page wrote.
    Forget {
        /// The rule, as it was written.
        rule: String,
        /// The device that it is for: its name, MAC or IP address.
        #[arg(long)]
        device: Option<String>,
    },
    /// Show your own rules.
    Rules,
    /// Something does not work on a device: show what was blocked on it lately, the likeliest cause first.
    Fix {
        /// Its name, MAC or IP address.
        device: String,
        /// How far to look back.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1440))]
        minutes: u32,
    },
    /// Show every device and how it was tracked in the last day; name devices, say what they are, merge and forget them.
    Devices {
        /// What to do with them; without one, they are shown.
        #[command(subcommand)]
        command: Option<DevicesCommand>,
    },
    /// Show the companies that tried to track, and what changed since the week before.
    Companies {
        /// Those that one device met: its name, MAC or IP address.
        #[arg(long)]
        device: Option<String>,
        /// Over how many hours.
        #[arg(long, default_value_t = 168, value_parser = clap::value_parser!(u32).range(1..=8784))]
        hours: u32,
    },
    /// Show one company: what it is, which devices it sees, by which names.
    Company {
        /// What it is called, or a domain.
        name: String,
        /// Over how many hours.
        #[arg(long, default_value_t = 168, value_parser = clap::value_parser!(u32).range(1..=8784))]
        hours: u32,
    },
    /// Show the names of the house, which pixelsink answers itself.
    Local,
    /// Show what is new since yesterday: devices, and trackers that a device never met before.
    News,
    /// Tell who tracked whom in one week; as text, or with `--output html` as a document for mail.
    Report {
        /// The week, such as 2026-W47; `last` or `this`.
        #[arg(long, default_value = "last")]
        week: String,
        /// Of one device only: its name, MAC or IP address.
        #[arg(long)]
        device: Option<String>,
    },
    /// Show the latest questions.
    Log(LogFilter),
    /// Write single questions as CSV or JSON lines.
    Export(ExportArguments),
    /// Have the history forget what a device asked, a name, a time, or everything.
    Erase(EraseArguments),
    /// Show how the cache of answers is, or empty it.
    Cache {
        /// What to do with it; without one, its state is shown.
        #[command(subcommand)]
        command: Option<CacheCommand>,
    },
    /// Set the password of the page and the API.
    Passwd(PasswdArguments),
    /// Show the keys of programs that use the API; make and revoke them.
    Tokens {
        /// What to do with them; without one, they are shown.
        #[command(subcommand)]
        command: Option<TokensCommand>,
    },
    /// Show who is asked for what is not blocked, how fast they answer, and what is wrong with them.
    Upstreams,
    /// Show how the daemon is.
    Status,
    /// Look at everything between a device and its answer, and say what to do about what is wrong.
    Doctor,
    /// Write the manual pages and the completions of shells into a directory, for a package.
    #[command(hide = true)]
    Manual {
        /// The directory.
        directory: PathBuf,
    },
}

/// What `passwd` does instead of setting the password.
#[derive(Args, Clone, Debug)]
pub struct PasswdArguments {
    /// Show the code with which the page lets you set the first password.
    #[arg(long, conflicts_with = "end_sessions")]
    pub code: bool,
    /// Log all browsers out; the password stays.
    #[arg(long)]
    pub end_sessions: bool,
}

/// What to do with the keys of programs.
#[derive(Clone, Debug, Subcommand)]
pub enum TokensCommand {
    /// Show them.
    Status,
    /// Make one; it is shown this once.
    Add {
        /// What it is for.
        name: String,
        /// What it may do.
        #[arg(long, value_enum, default_value_t = TokenScope::Read)]
        scope: TokenScope,
    },
    /// Take one back.
    Revoke {
        /// Its name.
        name: String,
    },
}

/// What a key may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum TokenScope {
    /// Look at everything.
    Read,
    /// Change things, too.
    Write,
}

impl From<TokenScope> for crate::web::api::TokenScope {
    fn from(scope: TokenScope) -> Self {
        match scope {
            TokenScope::Read => Self::Read,
            TokenScope::Write => Self::Write,
        }
    }
}

/// Which questions `log` shows.
#[derive(Args, Clone, Debug)]
pub struct LogFilter {
    /// Those of one device: its name, MAC or IP address.
    #[arg(long)]
    pub device: Option<String>,
    /// Blocked ones only.
    #[arg(long, conflicts_with = "verdict")]
    pub blocked: bool,
    /// Those of which this was said: blocked, allowed or passed.
    #[arg(long)]
    pub verdict: Option<String>,
    /// Those for this type: A, AAAA, HTTPS, ...
    #[arg(long, value_name = "TYPE")]
    pub r#type: Option<String>,
    /// Those for names of this company.
    #[arg(long)]
    pub company: Option<String>,
    /// Those whose name contains this text.
    #[arg(long)]
    pub name: Option<String>,
    /// Those from this moment on: 5m, 2h or 3d ago, or a time such as 2026-11-20T14:00.
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Those before this moment, likewise.
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}

/// What to do with the answers that are kept.
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Show how many there are and how often they were of use.
    Status,
    /// Forget them, so that upstreams are asked anew.
    Flush {
        /// Those about this name only.
        name: Option<String>,
        /// Those about names below it too.
        #[arg(long, requires = "name")]
        below: bool,
    },
}

/// What to do with devices. A device is its MAC, one of its IP addresses, or its name.
#[derive(Clone, Debug, Subcommand)]
pub enum DevicesCommand {
    /// Show every device.
    Status,
    /// Call a device by a name.
    Rename {
        /// The device.
        device: String,
        /// Its name; without one, it is called as it comes.
        name: Option<String>,
    },
    /// Say what a device is.
    Kind {
        /// The device.
        device: String,
        /// Such as `phone` or `television`; without one, it is what it seems to be.
        kind: Option<String>,
    },
    /// Take two devices for one, also in what is remembered of them.
    Merge {
        /// The one that goes.
        from: String,
        /// The one that it becomes a part of.
        into: String,
    },
    /// Take a part of a device for one of its own again.
    Split {
        /// The MAC or IP address that was merged into it.
        device: String,
    },
    /// Forget a device and all that is remembered of it.
    Forget {
        /// The device.
        device: String,
        /// Yes, for good.
        #[arg(long)]
        yes: bool,
    },
}

/// What to do with the catalogues of trackers.
#[derive(Clone, Debug, Subcommand)]
pub enum TrackersCommand {
    /// Show how each catalogue is, with its licence.
    Status,
    /// Have a public catalogue downloaded once a week; by that you accept its licence.
    Add {
        /// `adguard`, `ghostery`, `disconnect` or `duckduckgo`.
        catalogue: String,
    },
    /// Use a catalogue no more that was added.
    Remove {
        /// Its name.
        catalogue: String,
    },
    /// Download a public catalogue now.
    Refresh {
        /// Its name.
        catalogue: String,
    },
}

/// What to do with the lists.
#[derive(Clone, Debug, Subcommand)]
pub enum ListsCommand {
    /// Show how each list is.
    Status,
    /// Show what would still be blocked without a list: what it alone blocked in the last seven days.
    Without {
        /// The list.
        name: String,
    },
    /// Download one list now, or all of them, and wait for the end.
    Refresh {
        /// The list's name.
        name: Option<String>,
    },
    /// Show well-known lists, which can be added by name.
    Known {
        /// Those whose name or purpose has this word in it.
        word: Option<String>,
    },
    /// Add a list, or several that go well together.
    Add {
        /// The name of a well-known list or choice, a URL, or a file.
        what: String,
        /// What it is to be called.
        #[arg(long)]
        name: Option<String>,
        /// What its names are for: block, allow, or cname (targets of answers only).
        #[arg(long)]
        kind: Option<String>,
        /// Its syntax, unless it is to be told by its lines.
        #[arg(long)]
        format: Option<String>,
        /// Names that stand alone cover everything below them too.
        #[arg(long)]
        subdomains: bool,
    },
    /// Remove a list that was added.
    Remove {
        /// The list's name.
        name: String,
    },
    /// Show the revisions of a list that are kept.
    Revisions {
        /// The list's name.
        name: String,
    },
    /// Show what came and went between two revisions of a list.
    Diff {
        /// The list's name.
        name: String,
        /// The older revision; the one before the other unless you name one.
        #[arg(long)]
        from: Option<String>,
        /// The newer one, or `waiting`; the one in force unless you name one.
        #[arg(long)]
        to: Option<String>,
    },
    /// Return to an older revision of a list, and stay there.
    Rollback {
        /// The list's name.
        name: String,
        /// The revision; the one before the present one unless you name one.
        revision: Option<String>,
    },
    /// Let a list change again that is held at a revision.
    Follow {
        /// The list's name.
        name: String,
    },
    /// Put in force what waits for your word: the newer text of a list, or a rule of it.
    Accept {
        /// The list's name.
        name: String,
        /// A rule that is held back, as `pixelsink lists` shows it.
        #[arg(conflicts_with = "all_rules")]
        rule: Option<String>,
        /// All rules that are held back, and those that the list will have.
        #[arg(long)]
        all_rules: bool,
    },
}

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No daemon answers.
    #[error(
        "no daemon answers at {tried}; start it with `pixelsink run`, or name its configuration with --config"
    )]
    NotRunning {
        /// The sockets that were tried.
        tried: String,
    },
    /// There is a daemon, but this user may not speak to it.
    #[error("{socket} can't be used: {reason}; try again as root (sudo) or as the daemon's own user")]
    Denied {
        /// The socket.
        socket: String,
        /// What the system said.
        reason: String,
    },
    /// The daemon said no.
    #[error("{0}")]
    Refused(String),
    /// The daemon's answer could not be read.
    #[error("the daemon's answer could not be read ({0}); is it of another version?")]
    Answer(String),
    /// The command line itself was wrong.
    #[error("{0}")]
    Usage(String),
}

fn read_duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text)
}

/// The configuration that the options name, or the defaults where there is no file.
///
/// # Errors
/// When the file can't be used.
pub fn load_config(options: &Options) -> Result<Config, ConfigError> {
    match &options.config {
        Some(file) => Config::load(file),
        // One that is there and can't be read is told, not passed over.
        None if !matches!(std::path::Path::new(DEFAULT_FILE).try_exists(), Ok(false)) => {
            Config::load(DEFAULT_FILE.as_ref())
        }
        None => Ok(Config::default()),
    }
}

/// Does everything but run the daemon.
///
/// # Errors
/// What a person should read on standard error.
pub async fn execute(command: Subcommands, options: &Options) -> Result<ExitCode, CliError> {
    let output = match (options.output, &command) {
        (Dress::Json, _) => Output::Json,
        (Dress::Html, Subcommands::Report { .. }) | (Dress::Table, _) => Output::Table,
        (Dress::Html, _) => {
            let message = "only `pixelsink report` speaks HTML; leave --output out, or use json";
            return Err(CliError::Usage(message.to_owned()));
        }
    };
    match command {
        Subcommands::Check => return Ok(check::run(options, output)),
        Subcommands::Doctor => return doctor::run(options, output).await,
        Subcommands::Manual { directory } => {
            manual::write(&directory)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    // The daemon may go on with what the file said before; it is found all the same.
    let config = load_config(options).or_else(|error| Config::load_leniently(&error.file).ok_or(error))?;
    match command {
        Subcommands::Run | Subcommands::Check | Subcommands::Doctor | Subcommands::Manual { .. } => {}
        Subcommands::Explain { name, device } => {
            explain::run(&name, device.as_deref(), &config, output).await?;
        }
        Subcommands::Lists { command } => {
            return lists::run(command.unwrap_or(ListsCommand::Status), &config, output).await;
        }
        Subcommands::Allow { rule, device, duration } => {
            rules::write(rules::Wish::Allow(duration), &rule, device, &config, output).await?;
        }
        Subcommands::Block { rule, device } => {
            rules::write(rules::Wish::Block, &rule, device, &config, output).await?;
        }
        Subcommands::Keep { rule, device } => {
            rules::write(rules::Wish::Keep, &rule, device, &config, output).await?;
        }
        Subcommands::Forget { rule, device } => {
            rules::write(rules::Wish::Forget, &rule, device, &config, output).await?;
        }
        Subcommands::Fix { device, minutes } => fix::run(&device, minutes, &config, output).await?,
        Subcommands::Rules => rules::show(&config, output).await?,
        Subcommands::Trackers { command } => {
            trackers::run(command.unwrap_or(TrackersCommand::Status), &config, output).await?;
        }
        Subcommands::Devices { command } => {
            devices::run(command.unwrap_or(DevicesCommand::Status), &config, output).await?;
        }
        Subcommands::Companies { device, hours } => {
            companies::all(device.as_deref(), hours, &config, output).await?;
        }
        Subcommands::Company { name, hours } => companies::one(&name, hours, &config, output).await?,
        Subcommands::Local => local::run(&config, output).await?,
        Subcommands::News => news::run(&config, output).await?,
        Subcommands::Report { week, device } => {
            report::run(&week, device.as_deref(), &config, options.output).await?;
        }
        Subcommands::Log(filter) => log::run(&filter, &config, output).await?,
        Subcommands::Export(arguments) => export::run(&arguments, &config).await?,
        Subcommands::Erase(arguments) => erase::run(arguments, &config, output).await?,
        Subcommands::Cache { command } => {
            cache::run(command.unwrap_or(CacheCommand::Status), &config, output).await?;
        }
        Subcommands::Passwd(arguments) => passwd::run(arguments, &config, output).await?,
        Subcommands::Tokens { command } => {
            tokens::run(command.unwrap_or(TokensCommand::Status), &config, output).await?;
        }
        Subcommands::Upstreams => upstreams::run(&config, output).await?,
        Subcommands::Status => status::run(&config, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}
