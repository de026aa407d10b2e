//! What browsers load beside a page. The address carries a version, so that it may be kept for good.

use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::errors::{Failure, not_found};

struct Asset {
    file: &'static str,
    kind: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 3] = [
    Asset { file: "style.css", kind: "text/css; charset=utf-8", text: include_str!("assets/style.css") },
    Asset { file: "app.js", kind: "text/javascript; charset=utf-8", text: include_str!("assets/app.js") },
    Asset { file: "icon.svg", kind: "image/svg+xml", text: include_str!("assets/icon.svg") },
];

/// Changes with any of the assets. It guards nothing, so the standard library's hash will do.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = std::hash::DefaultHasher::new();
    for asset in &ASSETS {
        asset.text.hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
});

/// The address of an asset.
pub(super) fn url(file: &str) -> String {
    format!("/assets/{}/{file}", *VERSION)
}

pub(super) async fn serve(
    Path((version, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Some(asset) = ASSETS.iter().find(|asset| asset.file == file) else {
        return Err(not_found().await);
    };
    let etag = format!("\"{}\"", *VERSION);
    // A page that was open while the daemon was replaced asks for the old version: it gets the new one, not to keep.
    let is_current = version == *VERSION;
    let caching = if is_current { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers_out = [(ETAG, &*etag), (CACHE_CONTROL, caching), (CONTENT_TYPE, asset.kind)];
    let known = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    // Compression makes the browser's copy a weak one, `W/"..."`.
    if known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag) {
        return Ok((StatusCode::NOT_MODIFIED, headers_out.map(|(name, value)| (name, value.to_owned())))
            .into_response());
    }
    Ok((headers_out.map(|(name, value)| (name, value.to_owned())), asset.text).into_response())
}
