//! The pages: one file each gathers what is to be shown and hands it to its template.

mod access;
mod catalogues;
mod companies;
mod company;
mod device;
mod device_settings;
mod devices;
mod explain;
pub(super) mod fix;
mod health;
mod help;
mod known_lists;
mod list;
mod lists;
mod local;
mod log;
mod news;
mod overview;
mod report;
mod rules;
mod welcome;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::response::Html;
use axum::routing::get;

pub(super) use news::KNOWN;
pub(super) use report::no_week;

use super::Web;
use super::errors::Failure;

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new()
        .merge(access::routes())
        .route("/", get(overview::show))
        .route("/devices", get(devices::show))
        .route("/devices/{key}", get(device::show))
        .route("/companies", get(companies::show))
        .route("/companies/{name}", get(company::show))
        .route("/devices/{key}/fix", get(fix::show))
        .route("/fix", get(fix::pick))
        .route("/log", get(log::show))
        .route("/report", get(report::show))
        .route("/lists", get(lists::show))
        .route("/lists/{name}", get(list::show))
        .route("/catalogues", get(catalogues::show))
        .route("/known-lists", get(known_lists::show))
        .route("/rules", get(rules::show))
        .route("/local", get(local::show))
        .route("/health", get(health::show))
        .route("/help", get(help::show))
        .route("/explain", get(explain::show))
}

/// A page, or why there is none.
type Page = Result<Html<String>, Failure>;

fn page(template: &impl Template) -> Page {
    Ok(Html(template.render()?))
}

#[cfg(test)]
mod tests;
