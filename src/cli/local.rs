//! `pixelsink local`: the names that are answered here.

use super::client::Daemon;
use super::output::{print, print_json, print_table, table};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::LocalName;

pub(super) async fn run(config: &Config, output: Output) -> Result<(), CliError> {
    let names: Vec<LocalName> = Daemon::find(config)?.get("local", &[]).await?;
    if output == Output::Json {
        return print_json(&names);
    }
    if names.is_empty() {
        print("No name is answered here. Write `records = [\"nas.home.arpa 192.168.1.5\"]` under [local].");
        return Ok(());
    }
    let mut rows = table(&["name", "record", "TTL", "from"]);
    for LocalName { name, record, ttl_secs, from } in &names {
        rows.add_row([name, record, &format!("{ttl_secs} s"), from]);
    }
    print_table(&mut rows);
    Ok(())
}
