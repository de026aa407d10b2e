//! Everything wired together, started, reloaded and stopped.
//!
//! The only part that knows all the others, and the only one that gathers their errors into words for a person.

mod access;
mod cache;
mod changed_file;
mod counters;
mod data_dir;
mod devices;
mod erase;
mod events;
mod heap;
mod hosts;
mod inherited;
mod journal;
mod listeners;
mod lists;
mod local;
mod logging;
mod own_rules;
mod presence;
mod running;
mod socket;
mod trackers;
mod watchdog;

use std::io::{IsTerminal, Write};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use self::inherited::Inherited;
use crate::cli::{self, Arguments, CliError, Options, Subcommands};
use crate::config::{Config, ConfigError};

/// The binary: arguments in, exit status out.
pub fn main() -> ExitCode {
    let Arguments { options, command } = Arguments::parse();
    let command = command.unwrap_or(Subcommands::Run);
    let is_daemon = matches!(command, Subcommands::Run);
    if is_daemon {
        heap::share();
    }
    let inherited = if is_daemon { Inherited::take() } else { Inherited::default() };
    // TLS for downloads; refused only when it has been installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the system gives no threads or no event queue: {error}")),
    };
    // Boxed: as large as they are, they would be compiled once for each kind of runtime.
    let task: Pin<Box<dyn Future<Output = Result<ExitCode, Failure>>>> = match command {
        Subcommands::Run => Box::pin(run(&options, inherited)),
        command => Box::pin(execute(command, &options)),
    };
    let outcome = runtime.block_on(task);
    // A read on a drive that hangs must not hold up the end.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    match outcome {
        Ok(code) => code,
        Err(Failure::Config(error)) => {
            let problems = error.render(std::io::stderr().is_terminal());
            fail(&format!("the configuration can't be used\n{problems}"))
        }
        Err(Failure::Other(error)) => fail(&format!("{error:#}")),
    }
}

/// How long threads may take to end after everything else has.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// Why a command did not do what it was asked.
enum Failure {
    Config(ConfigError),
    Other(anyhow::Error),
}

/// The last words of the process.
fn fail(words: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "pixelsink: {words}");
    ExitCode::FAILURE
}

async fn execute(command: Subcommands, options: &Options) -> Result<ExitCode, Failure> {
    cli::execute(command, options).await.map_err(|error| match error {
        CliError::Config(error) => Failure::Config(error),
        error => Failure::Other(error.into()),
    })
}

/// Runs the daemon until it is told to stop.
async fn run(options: &Options, inherited: Inherited) -> Result<ExitCode, Failure> {
    let _log = logging::start();
    let signals = running::Signals::take().map_err(Failure::Other)?;
    let config = cli::load_config(options).map_err(Failure::Config)?;
    let resolving = resolving().map_err(Failure::Other)?;
    let outcome = serve(options, config, inherited, signals, &resolving).await;
    resolving.shutdown_background();
    outcome.map_err(Failure::Other)?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    options: &Options,
    config: Config,
    inherited: Inherited,
    signals: running::Signals,
    resolving: &Runtime,
) -> anyhow::Result<()> {
    let running = running::Running::start(options.clone(), config, inherited, resolving.handle()).await?;
    running.until_stopped(signals).await
}

/// Where upstreams are asked: apart from the page, so that neither waits for the other, and one thread, since a question that
/// goes from one to the next waits for each to wake.
fn resolving() -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    let one = builder.worker_threads(1).thread_name("resolve").enable_all();
    one.build().context("the system gives no thread or no event queue for upstreams")
}
