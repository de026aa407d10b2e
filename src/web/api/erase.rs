//! What a person wants forgotten.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

use super::{Done, EraseWish, Error, Granted, granted};
use crate::command::{Command, Erasure};
use crate::name::DomainName;
use crate::web::Web;
use crate::web::actions::{ERASE_PATIENCE, grant};
use crate::web::errors::Failure;

/// What is said where it takes longer.
pub(in crate::web) const GOES_ON: &str = "It is being erased and goes on, also after a restart; the history tells nothing of it any more when it is done.";

/// Has the history forget what a device asked, a name, a time, or everything.
#[utoipa::path(post, path = "/api/v1/history/erase", request_body = EraseWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 422, body = Error), (status = 500, body = Error)))]
pub(super) async fn erase(State(web): State<Arc<Web>>, Json(wish): Json<EraseWish>) -> Granted {
    let erasure = erasure(&wish)?;
    granted(grant(&web, Command::Erase(erasure), ERASE_PATIENCE).await?, GOES_ON)
}

/// What a wish asks for, unless it is wrong.
pub(in crate::web) fn erasure(wish: &EraseWish) -> Result<Erasure, Failure> {
    let refuse = |message: String| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, message);
    let said = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let device =
        said(&wish.device).map(|text| text.parse().map_err(|error| refuse(format!("`device`: {error}."))));
    let name = |text: String| DomainName::parse(&text).map_err(|error| refuse(format!("`{text}`: {error}.")));
    let moment = |text: String| {
        text.parse::<Timestamp>().map_err(|error| refuse(format!("`{text}` is not a time: {error}.")))
    };
    let erasure = Erasure {
        device: device.transpose()?,
        name: said(&wish.name).map(name).transpose()?,
        from: said(&wish.from).map(moment).transpose()?,
        until: said(&wish.until).map(moment).transpose()?,
    };
    if let (Some(from), Some(until)) = (erasure.from, erasure.until)
        && until <= from
    {
        return Err(refuse("`from` must be before `until`.".to_owned()));
    }
    match (erasure == Erasure::default(), wish.everything) {
        (true, false) => {
            Err(refuse("Say what: `device`, `name`, `from`, `until`, or that it is `everything`.".to_owned()))
        }
        (false, true) => Err(refuse("`everything` goes with nothing else.".to_owned())),
        _ => Ok(erasure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_erased_by_mistake() {
        let wish = |device: &str, name: &str, from: &str, until: &str, everything| {
            let said = |text: &str| Some(text.to_owned());
            EraseWish {
                device: said(device),
                name: said(name),
                from: said(from),
                until: said(until),
                everything,
            }
        };
        let (early, late) = ("2026-01-14T12:00:00Z", "2026-01-15T12:00:00Z");
        for wrong in [
            wish("", " ", "", "", false),
            wish("192.0.2.1", "", "", "", true),
            wish("no device", "", "", "", false),
            wish("", "..", "", "", false),
            wish("", "", "yesterday", "", false),
            wish("", "", late, early, false),
            wish("", "", early, early, false),
        ] {
            assert!(erasure(&wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(erasure(&wish("", "", "", "", true)), Ok(Erasure::default()));
        let right = erasure(&wish("192.0.2.1", "A.example.", early, late, false)).unwrap();
        assert_eq!(right.name, DomainName::parse("a.example").ok());
        assert!(right.device.is_some() && right.from < right.until);
    }
}
