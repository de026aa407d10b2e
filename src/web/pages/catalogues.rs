//! `/catalogues`: who tells whose names are, and which public catalogues can be added.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::{Page, page};
use crate::web::Web;
use crate::web::api::Catalogue;
use crate::web::format;
use crate::web::view::{Frame, Moment, Prose, Tab, Times};

#[derive(Template)]
#[template(path = "catalogues.html")]
pub(super) struct Catalogues {
    pub(super) frame: Frame,
    pub(super) catalogues: Vec<CatalogueCard>,
}

/// One catalogue.
pub(super) struct CatalogueCard {
    pub(super) catalogue: Catalogue,
    /// `3,277 names of 1,227 products of 992 companies`.
    pub(super) counts: String,
    pub(super) fetched: Option<Moment>,
    pub(super) next: Option<Moment>,
    pub(super) problem: Option<Prose>,
    pub(super) is_public: bool,
}

impl CatalogueCard {
    pub(super) fn new(catalogue: Catalogue, times: &Times) -> Self {
        let moment = |time: &Option<String>| Some(times.ago(time.as_ref()?.parse().ok()?));
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let counts = format!(
            "{} of {} of {}",
            format::counted(number(catalogue.names), "name", "names"),
            format::counted(number(catalogue.products), "product", "products"),
            format::counted(number(catalogue.companies), "company", "companies"),
        );
        Self {
            counts,
            fetched: moment(&catalogue.fetched),
            next: moment(&catalogue.next),
            problem: catalogue.problem.as_deref().map(Prose::from),
            is_public: catalogue.licence.is_some(),
            catalogue,
        }
    }
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri) -> Page {
    let times = Times::new(&web);
    let catalogues = Catalogue::all(&web.parts.catalogues.status());
    page(&Catalogues {
        catalogues: catalogues.into_iter().map(|it| CatalogueCard::new(it, &times)).collect(),
        frame: Frame::new(&web, &uri, Tab::Lists),
    })
}
