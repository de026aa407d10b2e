//! `pixelsink trackers`: the catalogues that tell whose names are.

use reqwest::Method;

use super::client::Daemon;
use super::output::{local, number, print, print_json, print_table, table};
use super::{CliError, Output, TrackersCommand};
use crate::config::Config;
use crate::web::api::{Catalogue, CatalogueWish, Done};

/// Does what is to be done with the catalogues.
pub(super) async fn run(command: TrackersCommand, config: &Config, output: Output) -> Result<(), CliError> {
    let daemon = Daemon::find(config)?;
    let done: Done = match command {
        TrackersCommand::Status => {
            return show(&daemon.get::<Vec<Catalogue>>("catalogues", &[]).await?, output);
        }
        TrackersCommand::Add { catalogue } => {
            if output == Output::Table {
                tell_licence(&catalogue, &daemon).await?;
            }
            daemon.send(Method::POST, "catalogues", &CatalogueWish { catalogue }).await?
        }
        TrackersCommand::Remove { catalogue } => {
            daemon.delete("catalogues", &[("catalogue", &catalogue)]).await?
        }
        TrackersCommand::Refresh { catalogue } => {
            daemon.send(Method::POST, "catalogues/refresh", &CatalogueWish { catalogue }).await?
        }
    };
    if output == Output::Json {
        return print_json(&done);
    }
    print(&done.message);
    Ok(())
}

/// Says under which licence a catalogue is before it is downloaded.
async fn tell_licence(name: &str, daemon: &Daemon) -> Result<(), CliError> {
    let catalogues: Vec<Catalogue> = daemon.get("catalogues", &[]).await?;
    if let Some(catalogue) = catalogues.iter().find(|catalogue| catalogue.name == name)
        && let (Some(licence), Some(terms)) = (&catalogue.licence, &catalogue.terms)
    {
        print(&format!("{} is under the licence {licence}. {terms}", catalogue.title));
    }
    Ok(())
}

fn show(catalogues: &[Catalogue], output: Output) -> Result<(), CliError> {
    if output == Output::Json {
        return print_json(&catalogues);
    }
    let mut rows = table(&["catalogue", "names", "products", "companies", "licence", "fetched"]);
    for catalogue in catalogues {
        let count = |count: usize| if catalogue.in_use { number(count as u64) } else { "-".to_owned() };
        rows.add_row([
            &catalogue.name,
            &count(catalogue.names),
            &count(catalogue.products),
            &count(catalogue.companies),
            catalogue.licence.as_deref().unwrap_or("-"),
            &catalogue.fetched.as_deref().map_or("-".to_owned(), |at| local(Some(at))),
        ]);
    }
    print_table(&mut rows);
    for problem in catalogues.iter().filter_map(|catalogue| catalogue.problem.as_ref()) {
        print(problem);
    }
    if catalogues.iter().any(|catalogue| !catalogue.in_use) {
        print("Those without names are not in use; `pixelsink trackers add NAME` downloads one.");
    }
    Ok(())
}
