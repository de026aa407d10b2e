//! `pixelsink companies`, `pixelsink company`: who tries to track.

use super::client::Daemon;
use super::output::{number, print, print_json, print_table, table};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::{self, Company, CompanyDetail, TrackerCount, Who};

/// How many products a line names.
const PRODUCTS_SHOWN: usize = 3;

/// Shows all companies.
pub(super) async fn all(
    device: Option<&str>,
    hours: u32,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let daemon = Daemon::find(config)?;
    let key = match device {
        Some(device) => Some(daemon.device(device).await?),
        None => None,
    };
    let hours = hours.to_string();
    let mut query = vec![("hours", &*hours), ("limit", "1000")];
    query.extend(key.as_deref().map(|key| ("device", key)));
    let companies: Vec<Company> = daemon.get("companies", &query).await?;
    if output == Output::Json {
        return print_json(&companies);
    }
    if companies.is_empty() {
        print("No tracker was blocked.");
        return Ok(());
    }
    let mut rows = table(&["company", "blocked", "change", "devices", "products"]);
    for company in &companies {
        rows.add_row([
            &company.name,
            &number(company.hits),
            company.change.as_deref().unwrap_or("-"),
            &number(company.devices),
            &products(&company.trackers),
        ]);
    }
    print_table(&mut rows);
    Ok(())
}

fn products(trackers: &[TrackerCount]) -> String {
    let product = |count: &TrackerCount| match &count.who {
        Who::Tracker { product, .. } => Some(product.clone()),
        Who::Domain { .. } => None,
    };
    let names: Vec<String> = trackers.iter().filter_map(product).collect();
    let more = names.len().saturating_sub(PRODUCTS_SHOWN);
    let shown = names.iter().take(PRODUCTS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (names.is_empty(), more) {
        (true, _) => "-".to_owned(),
        (_, 0) => shown,
        _ => format!("{shown} and {more} more"),
    }
}

/// Shows one company.
pub(super) async fn one(name: &str, hours: u32, config: &Config, output: Output) -> Result<(), CliError> {
    let hours = hours.to_string();
    let path = format!("companies/{}", api::percent_encoded(name));
    let detail: CompanyDetail = Daemon::find(config)?.get(&path, &[("hours", &hours)]).await?;
    if output == Output::Json {
        return print_json(&detail);
    }
    let company = &detail.company;
    let change = company.change.as_ref().map(|change| format!(", {change}")).unwrap_or_default();
    let (hits, devices) = (company.hits, company.devices);
    let times = if hits == 1 { "time" } else { "times" };
    let on = if devices == 1 { "device" } else { "devices" };
    let (hits, devices) = (number(hits), number(devices));
    print(&format!(
        "{}: blocked {hits} {times} on {devices} {on} in the last {hours} hours{change}",
        company.name
    ));
    if 0 < company.cloaked {
        print(&format!("{} of them hid behind the name of a site", number(company.cloaked)));
    }
    for product in &detail.products {
        if let Who::Tracker { product, kind, parent, reports, .. } = product {
            let group = parent.as_ref().map(|parent| format!(", part of {parent}")).unwrap_or_default();
            let reports = reports.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
            print(&format!("  {product} ({}{group}){reports}", kind.replace('-', " ")));
        }
    }
    if !detail.devices.is_empty() {
        let mut rows = table(&["device", "known by", "blocked"]);
        for row in &detail.devices {
            rows.add_row([&row.device.name, &row.device.key, &number(row.hits)]);
        }
        print("");
        print_table(&mut rows);
    }
    if !detail.names.is_empty() {
        let mut rows = table(&["name", "hides", "blocked"]);
        for row in &detail.names {
            rows.add_row([&row.name, row.behind.as_deref().unwrap_or("-"), &number(row.hits)]);
        }
        print("");
        print_table(&mut rows);
    }
    Ok(())
}
