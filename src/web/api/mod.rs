//! The JSON API under `/api/v1/`: what the page shows and does, for programs and for the command line.
//!
//! The types here are written for this boundary and converted from the inner ones; what they say stays said. The
//! description at `/api/v1/openapi.json` is made from them, by a test: the code that makes it would be a thirtieth of the
//! binary.

pub(super) mod devices;
pub(super) mod lists;

mod access;
mod breakage;
mod cache;
pub(super) mod catalogues;
mod companies;
mod erase;
mod export;
mod history;
mod list_types;
mod local;
mod rules;
mod types;

pub use super::format::percent_encoded;
pub use access::{Access, ApiToken, NewToken, PasswordWish, TokenScope, TokenWish};
pub use catalogues::{Catalogue, CatalogueWish};
pub use companies::{Company, CompanyDetail, DeviceHits, FirstMeeting, HourHits, News};
pub use devices::{DeviceKindWish, DeviceMergeWish, DeviceNameWish, DeviceWish};
pub(super) use erase::{GOES_ON, erasure};
pub use list_types::*;
pub use types::*;

pub use super::report::{Report, ReportCompany, ReportCount, ReportDevice};

pub(super) use types::timestamp;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
#[cfg(test)]
use utoipa::OpenApi;

use super::Web;
use super::errors::Failure;
use super::live;
use super::problems::problems;

/// A JSON answer, or why there is none.
type Answer<T> = Result<Json<T>, Failure>;

/// What came of a wish, and whether that is all.
type Granted = Result<(StatusCode, Json<Done>), Failure>;

/// `message`, or that it goes on: "accepted" is not "done".
fn granted(message: Option<String>, slow: &str) -> Granted {
    let status = if message.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(Done { message: message.unwrap_or_else(|| slow.to_owned()) })))
}

/// All of the API but the refresh of lists, which is given more time than the rest.
pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/upstreams", get(upstreams))
        .route("/api/v1/totals", get(history::totals))
        .route("/api/v1/hours", get(history::hours))
        .route("/api/v1/trackers", get(history::trackers))
        .route("/api/v1/devices", get(devices::devices))
        .route("/api/v1/devices/name", post(devices::name))
        .route("/api/v1/devices/kind", post(devices::kind))
        .route("/api/v1/devices/merge", post(devices::merge))
        .route("/api/v1/devices/split", post(devices::split))
        .route("/api/v1/devices/forget", post(devices::forget))
        .route("/api/v1/devices/{device}/blocked-lately", get(breakage::blocked_lately))
        .route("/api/v1/names", get(history::names))
        .route("/api/v1/companies", get(companies::companies))
        .route("/api/v1/companies/{name}", get(companies::company))
        .route("/api/v1/news", get(companies::news))
        .route("/api/v1/report", get(companies::report))
        .route("/api/v1/events", get(history::events))
        .route("/api/v1/events/export", get(export::export))
        .route("/api/v1/history/erase", post(erase::erase))
        .route("/api/v1/events/live", get(live::stream))
        .route("/api/v1/lists", get(lists::lists).post(lists::add).delete(lists::remove))
        .route("/api/v1/lists/known", get(lists::known))
        .route("/api/v1/lists/revisions", get(lists::revisions))
        .route("/api/v1/lists/diff", get(lists::diff))
        .route("/api/v1/lists/rollback", post(lists::roll_back))
        .route("/api/v1/lists/follow", post(lists::follow))
        .route("/api/v1/lists/accept", post(lists::accept))
        .route("/api/v1/lists/{name}/without", get(lists::without))
        .route(
            "/api/v1/catalogues",
            get(catalogues::catalogues).post(catalogues::add).delete(catalogues::remove),
        )
        .route("/api/v1/catalogues/refresh", post(catalogues::refresh))
        .route("/api/v1/rules", get(rules::rules).post(rules::write).delete(rules::forget))
        .route("/api/v1/rules/keep", post(rules::keep))
        .route("/api/v1/explain", get(rules::explain))
        .route("/api/v1/local", get(local::names))
        .route("/api/v1/cache", get(cache::status))
        .route("/api/v1/cache/flush", post(cache::flush))
        .route("/api/v1/access", get(access::access))
        .route("/api/v1/access/password", post(access::set_password))
        .route("/api/v1/access/end-sessions", post(access::end_sessions))
        .route("/api/v1/access/tokens", post(access::add_token).delete(access::revoke_token))
        .route("/api/v1/openapi.json", get(description))
}

/// Written anew by `INSTA_UPDATE=always cargo test --lib description` when the API changes.
const DESCRIPTION: &str = include_str!("openapi.json");

#[cfg(test)]
#[derive(OpenApi)]
#[openapi(
    info(
        title = "pixelsink",
        description = "Which device was tracked by whom, with what, how often. Send a token as `Authorization: Bearer TOKEN`; `pixelsink tokens add NAME` makes one. With the scope `read` it is good for GET only."
    ),
    paths(
        status,
        upstreams,
        history::totals,
        history::hours,
        history::trackers,
        devices::devices,
        devices::name,
        devices::kind,
        devices::merge,
        devices::split,
        devices::forget,
        breakage::blocked_lately,
        history::names,
        companies::companies,
        companies::company,
        companies::news,
        companies::report,
        history::events,
        export::export,
        erase::erase,
        live::stream,
        lists::lists,
        lists::add,
        lists::remove,
        lists::known,
        lists::revisions,
        lists::diff,
        lists::roll_back,
        lists::follow,
        lists::accept,
        lists::refresh,
        lists::without,
        catalogues::catalogues,
        catalogues::add,
        catalogues::remove,
        catalogues::refresh,
        rules::rules,
        rules::write,
        rules::keep,
        rules::forget,
        rules::explain,
        local::names,
        cache::status,
        cache::flush,
        access::access,
        access::set_password,
        access::end_sessions,
        access::add_token,
        access::revoke_token,
    ),
    components(schemas(Error, Skipped))
)]
struct Description;

async fn description() -> Response {
    ([(CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

/// Who is asked for what is not blocked, and how they answer.
#[utoipa::path(get, path = "/api/v1/upstreams", responses((status = 200, body = Vec<UpstreamHealth>)))]
async fn upstreams(State(web): State<Arc<Web>>) -> Answer<Vec<UpstreamHealth>> {
    Ok(Json((web.parts.about)().upstreams.iter().map(Into::into).collect()))
}

/// How the daemon is, and what is wrong with it.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = Status), (status = 503, body = Error)))]
async fn status(State(web): State<Arc<Web>>) -> Answer<Status> {
    let health = web.parts.history.health().await?;
    let about = (web.parts.about)();
    // The history's own problem has a place of its own.
    let mut problems = problems(&web, &about, &health).await?;
    problems.retain(|problem| health.problem.as_ref() != Some(&problem.text));
    let policy = web.parts.policy.current();
    let uptime = web.parts.clock.now().as_second() - web.parts.started.as_second();
    Ok(Json(Status {
        version: about.version,
        started: timestamp(web.parts.started),
        uptime_secs: u64::try_from(uptime).unwrap_or_default(),
        config_file: about.config_file,
        data_dir: about.data_dir,
        dns_listen: about.dns_listen.iter().map(ToString::to_string).collect(),
        upstreams: about.upstreams.iter().map(|upstream| upstream.address.clone()).collect(),
        upstream_health: about.upstreams.iter().map(Into::into).collect(),
        memory_bytes: about.memory_bytes,
        list_rules: policy.lists.ruleset.len(),
        own_rules: policy.own.ruleset.len(),
        history: (&health).into(),
        problems: problems.into_iter().map(|problem| problem.text).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_goes_on_is_accepted_and_not_done() {
        let (status, Json(done)) = granted(None, "It goes on.").unwrap();
        assert_eq!((status.as_u16(), &*done.message), (202, "It goes on."));
        let (status, Json(done)) = granted(Some("It is done.".to_owned()), "").unwrap();
        assert_eq!((status.as_u16(), &*done.message), (200, "It is done."));
    }
    use crate::list::Action as ListAction;
    use crate::name::DomainName;
    use crate::policy::{Explained, RuleRef as Ref};
    use crate::tracker::Attribution;

    #[test]
    fn the_strongest_rule_is_the_verdict() {
        let name = DomainName::parse("a.pixel.example").unwrap();
        let explained = |action, rule: &str| {
            let rule = Ref { list: "l".into(), rule: rule.into() };
            Explained { lists: vec![Arc::clone(&rule.list)], rule, action, own: false }
        };
        let rules =
            [explained(ListAction::Block, "||pixel.example^"), explained(ListAction::Allow, "@@||example^")];
        let explanation = Explanation::new(&name, &rules, &Attribution::Domain(name.clone()));
        let json = serde_json::to_value(&explanation).unwrap();
        assert_eq!(
            json["verdict"],
            serde_json::json!({"is": "block", "rule": {"list": "l", "rule": "||pixel.example^"}})
        );
        assert_eq!(json["rules"][1]["action"], "allow");
        assert_eq!(json["who"], serde_json::json!({"is": "domain", "domain": "a.pixel.example"}));
    }

    #[test]
    fn the_description_has_every_route_and_every_type_it_speaks_of() {
        let text = Description::openapi().to_pretty_json().unwrap() + "\n";
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/api/openapi.json");
            std::fs::write(file, &text).unwrap();
        } else {
            assert!(DESCRIPTION == text, "the API changed; INSTA_UPDATE=always cargo test --lib description");
        }
        let description: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(description["openapi"], "3.1.0");
        let paths: Vec<&String> = description["paths"].as_object().unwrap().keys().collect();
        assert_eq!(paths.len(), 42, "{paths:?}");
        let schemas = description["components"]["schemas"].as_object().unwrap();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is not described");
        }
    }
}
