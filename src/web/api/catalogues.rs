//! The catalogues of trackers, which tell whose names are.

#![expect(unused_qualifications, reason = "`utoipa::path` writes out the paths of parameter types")]

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::types::timestamp;
use super::{Answer, Done, Error, Granted, granted};
use crate::command::Command;
use crate::feed;
use crate::tracker::PublicCatalogue;
use crate::web::Web;
use crate::web::actions::{LIST_PATIENCE, grant};
use crate::web::errors::Failure;

/// One catalogue of trackers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Catalogue {
    /// `built-in`, the path of a file of the person's own, or the name of a public one, as `adguard`.
    pub name: String,
    /// What its authors call it, or what it is.
    pub title: String,
    /// What it has.
    pub about: String,
    /// Where to read about it.
    pub homepage: Option<String>,
    /// Its licence (SPDX), where it is somebody else's.
    pub licence: Option<String>,
    /// What the licence asks of whoever uses it.
    pub terms: Option<String>,
    /// Whether it is in use; the others can be added.
    pub in_use: bool,
    /// Whether it was added on the page or the command line, and may be removed there.
    pub added: bool,
    /// Its names in force.
    pub names: usize,
    /// Its products.
    pub products: usize,
    /// Its companies.
    pub companies: usize,
    /// When what is in force was downloaded.
    pub fetched: Option<String>,
    /// When it is looked for next.
    pub next: Option<String>,
    /// Whether a download is running.
    pub refreshing: bool,
    /// What is wrong and what to do.
    pub problem: Option<String>,
}

impl Catalogue {
    /// Those in use, the strongest first, then public ones that are not.
    pub(in crate::web) fn all(statuses: &[feed::CatalogueStatus]) -> Vec<Self> {
        let in_use = statuses.iter().map(Self::from);
        let is_used = |catalogue: &PublicCatalogue| {
            statuses.iter().any(|status| match &status.origin {
                feed::CatalogueOrigin::Public { catalogue: used, .. } => used == catalogue,
                feed::CatalogueOrigin::Own(_) | feed::CatalogueOrigin::BuiltIn => false,
            })
        };
        let others = PublicCatalogue::ALL.into_iter().filter(|catalogue| !is_used(catalogue));
        in_use.chain(others.map(Self::of_public)).collect()
    }

    fn of_public(catalogue: PublicCatalogue) -> Self {
        Self {
            name: catalogue.as_str().to_owned(),
            title: catalogue.title().to_owned(),
            about: catalogue.about().to_owned(),
            homepage: Some(catalogue.homepage().to_owned()),
            licence: Some(catalogue.licence().to_owned()),
            terms: Some(catalogue.terms().to_owned()),
            ..Self::own("", "")
        }
    }

    fn own(title: &str, about: &str) -> Self {
        Self {
            name: String::new(),
            title: title.to_owned(),
            about: about.to_owned(),
            homepage: None,
            licence: None,
            terms: None,
            in_use: false,
            added: false,
            names: 0,
            products: 0,
            companies: 0,
            fetched: None,
            next: None,
            refreshing: false,
            problem: None,
        }
    }
}

impl From<&feed::CatalogueStatus> for Catalogue {
    fn from(status: &feed::CatalogueStatus) -> Self {
        let (described, added) = match &status.origin {
            feed::CatalogueOrigin::Own(path) => {
                let own = Self::own("Your own", "What you say of names, products and companies; it wins.");
                (Self { name: path.display().to_string(), ..own }, false)
            }
            feed::CatalogueOrigin::BuiltIn => {
                let own = Self::own("Built in", "What comes with pixelsink, with what each product reports.");
                (Self { name: "built-in".to_owned(), ..own }, false)
            }
            feed::CatalogueOrigin::Public { catalogue, added } => (Self::of_public(*catalogue), *added),
        };
        Self {
            in_use: true,
            added,
            names: status.names,
            products: status.products,
            companies: status.companies,
            fetched: status.fetched.map(timestamp),
            next: status.next.map(timestamp),
            refreshing: status.refreshing,
            problem: status.problem.clone(),
            ..described
        }
    }
}

/// Which public catalogue is meant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct CatalogueWish {
    /// `adguard`, `ghostery`, `disconnect` or `duckduckgo`.
    pub catalogue: String,
}

/// Which public catalogue is meant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedCatalogue {
    /// Its name.
    catalogue: String,
}

/// The public catalogue of this name.
pub(in crate::web) fn named(name: &str) -> Result<PublicCatalogue, Failure> {
    name.trim().parse().map_err(|()| {
        let known: Vec<&str> = PublicCatalogue::ALL.iter().map(|catalogue| catalogue.as_str()).collect();
        let message = format!("`{}` is no public catalogue; there are {}.", name.trim(), known.join(", "));
        Failure::new(StatusCode::NOT_FOUND, message)
    })
}

/// Every catalogue of trackers that is in use, the strongest first, and those that can be added, with their licences.
#[utoipa::path(get, path = "/api/v1/catalogues", responses((status = 200, body = Vec<Catalogue>)))]
pub(super) async fn catalogues(State(web): State<Arc<Web>>) -> Answer<Vec<Catalogue>> {
    Ok(Json(Catalogue::all(&web.parts.catalogues.status())))
}

/// Has a public catalogue downloaded and used. Whoever does so accepts its licence.
#[utoipa::path(post, path = "/api/v1/catalogues", request_body = CatalogueWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 500, body = Error)))]
pub(super) async fn add(State(web): State<Arc<Web>>, Json(wish): Json<CatalogueWish>) -> Granted {
    done(&web, Command::AddCatalogue(named(&wish.catalogue)?)).await
}

/// Uses a public catalogue no more that was added, and removes what was kept of it.
#[utoipa::path(delete, path = "/api/v1/catalogues", params(AskedCatalogue), responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 500, body = Error)))]
pub(super) async fn remove(State(web): State<Arc<Web>>, Query(asked): Query<AskedCatalogue>) -> Granted {
    done(&web, Command::RemoveCatalogue(named(&asked.catalogue)?)).await
}

/// Downloads a public catalogue now.
#[utoipa::path(post, path = "/api/v1/catalogues/refresh", request_body = CatalogueWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 500, body = Error)))]
pub(super) async fn refresh(State(web): State<Arc<Web>>, Json(wish): Json<CatalogueWish>) -> Granted {
    done(&web, Command::RefreshCatalogue(named(&wish.catalogue)?)).await
}

async fn done(web: &Web, command: Command) -> Granted {
    let slow = "The download takes longer and goes on; the catalogues show how it went.";
    granted(grant(web, command, LIST_PATIENCE).await?, slow)
}
