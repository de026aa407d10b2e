//! `/local`: the names that this machine answers itself, and where they come from.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::{Page, page};
use crate::web::Web;
use crate::web::api::LocalName;
use crate::web::view::{Frame, Tab};

/// How many records are shown; a person who has more looks for one by its name.
const SHOWN_MAX: usize = 1_000;

#[derive(Template)]
#[template(path = "local.html")]
pub(super) struct LocalPage {
    pub(super) frame: Frame,
    pub(super) names: Vec<LocalName>,
    /// Records that are not shown.
    pub(super) untold: usize,
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri) -> Page {
    let local = Arc::clone(&web.parts.local.current());
    let listed = local.listed();
    page(&LocalPage {
        names: listed.iter().take(SHOWN_MAX).map(LocalName::from).collect(),
        untold: listed.len().saturating_sub(SHOWN_MAX),
        frame: Frame::new(&web, &uri, Tab::Other),
    })
}
