//! `pixelsink cache`: the answers that are kept.

use reqwest::Method;

use super::client::Daemon;
use super::output::{number, print, print_json, print_table, table};
use super::{CacheCommand, CliError, Output};
use crate::config::Config;
use crate::web::api::{CacheStatus, Done, FlushWish};

pub(super) async fn run(command: CacheCommand, config: &Config, output: Output) -> Result<(), CliError> {
    let daemon = Daemon::find(config)?;
    match command {
        CacheCommand::Status => status(&daemon, output).await,
        CacheCommand::Flush { name, below } => {
            let wish = FlushWish { name, below };
            let done: Done = daemon.send(Method::POST, "cache/flush", &wish).await?;
            if output == Output::Json {
                return print_json(&done);
            }
            print(&done.message);
            Ok(())
        }
    }
}

async fn status(daemon: &Daemon, output: Output) -> Result<(), CliError> {
    let status: CacheStatus = daemon.get("cache", &[]).await?;
    if output == Output::Json {
        return print_json(&status);
    }
    let (size, size_max) = (number(status.size_bytes / 1024), number(status.size_max_bytes / 1024));
    let mut rows = table(&[]);
    let mut row = |what: &str, value: String| {
        rows.add_row([what, &value]);
    };
    row("kept", format!("{} answers, {size} of {size_max} KiB", number(status.entries)));
    row("answered by them", number(status.hits));
    row("asked of upstreams", number(status.misses));
    row("answered after their time", number(status.stale));
    row("fetched ahead", number(status.prefetches));
    print_table(&mut rows);
    Ok(())
}
