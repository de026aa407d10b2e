//! `pixelsink report`: who tracked whom in one week, ready for a mail program.

use super::client::Daemon;
use super::output::{print, print_json};
use super::{CliError, Dress};
use crate::config::Config;
use crate::web::api::Report;

pub(super) async fn run(
    week: &str,
    device: Option<&str>,
    config: &Config,
    dress: Dress,
) -> Result<(), CliError> {
    let daemon = Daemon::find(config)?;
    let key = match device {
        Some(device) => Some(daemon.device(device).await?),
        None => None,
    };
    let mut query = vec![("week", week)];
    query.extend(key.as_deref().map(|key| ("device", key)));
    let format = match dress {
        Dress::Json => return print_json(&daemon.get::<Report>("report", &query).await?),
        Dress::Table => "text",
        Dress::Html => "html",
    };
    query.push(("format", format));
    print(daemon.text("report", &query).await?.trim_end());
    Ok(())
}
