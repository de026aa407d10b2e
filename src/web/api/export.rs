//! Single questions, to be taken along: CSV for spreadsheets, JSON lines for programs.
//!
//! They are read a page at a time as they are sent, so that all of the history takes no more memory than one page.

#![expect(unused_qualifications, reason = "`utoipa::path` writes out the paths of parameter types")]

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{Error, Event, Verdict, Who};
use crate::history::EventFilter;
use crate::web::Web;
use crate::web::errors::Failure;
use crate::web::filter::AskedEvents;
use crate::web::view::Times;

/// Events that are read at once: half a megabyte of text.
const PAGE: u32 = 2_000;
/// The columns of CSV.
const HEADER: &str = "time,device,device_key,name,leads_to,type,verdict,list,rule,rcode,company,product\r\n";

/// In which form events are wanted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Comma-separated values (RFC 4180), in UTF-8, with a header line.
    #[default]
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// How events are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct AskedExport {
    /// `csv` or `jsonl`.
    #[param(inline)]
    format: Format,
}

/// What is left to send.
struct Export {
    web: Arc<Web>,
    filter: EventFilter,
    format: Format,
    /// So many more at most.
    left: u32,
    is_begun: bool,
    is_done: bool,
}

/// All single questions that fit, the latest first: as a file.
#[utoipa::path(get, path = "/api/v1/events/export", params(AskedExport, AskedEvents), responses((status = 200, content_type = "text/csv", description = "CSV, or JSON lines (`application/jsonl`)."), (status = 400, body = Error), (status = 503, body = Error)))]
pub(super) async fn export(
    State(web): State<Arc<Web>>,
    Query(asked): Query<AskedExport>,
    Query(events): Query<AskedEvents>,
) -> Result<Response, Failure> {
    let is_limited = events.limit.is_some();
    let mut filter = events.filter(&Times::new(&web))?;
    let limit = if is_limited { filter.limit } else { u32::MAX };
    filter.limit = PAGE.min(limit);
    let format = asked.format;
    let (kind, suffix) = match format {
        Format::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
        Format::Jsonl => ("application/jsonl; charset=utf-8", "jsonl"),
    };
    let day =
        web.parts.clock.now().to_zoned_datetime(web.parts.time_zone.clone()).strftime("%Y-%m-%d").to_string();
    let disposition = format!("attachment; filename=\"pixelsink-{day}.{suffix}\"");
    let headers = [
        (CONTENT_TYPE, kind.to_owned()),
        (CONTENT_DISPOSITION, disposition),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    let begin = Export { web, filter, format, left: limit, is_begun: false, is_done: false };
    let pages =
        stream::unfold(begin, |mut export| async move { export.next().await.map(|page| (page, export)) });
    // Whoever compresses it asks once more at its end.
    Ok((headers, Body::from_stream(pages.fuse())).into_response())
}

impl Export {
    /// The next page; `None` when there is no more.
    async fn next(&mut self) -> Option<io::Result<String>> {
        let mut text = String::new();
        if !std::mem::replace(&mut self.is_begun, true) && self.format == Format::Csv {
            text.push_str(HEADER);
        }
        // A search that took long goes on where it was given up; an empty page ends nothing.
        while text.is_empty() || text == HEADER {
            if self.is_done || self.left == 0 {
                return Some(Ok(text)).filter(|text| text.as_ref().is_ok_and(|text| !text.is_empty()));
            }
            self.filter.limit = PAGE.min(self.left);
            let scan = match self.web.parts.history.scan(self.filter.clone()).await {
                Ok(scan) => scan,
                Err(error) => {
                    self.is_done = true;
                    // The status is sent already: what is broken off tells that there was more.
                    return Some(Err(io::Error::other(error)));
                }
            };
            self.left = self.left.saturating_sub(u32::try_from(scan.events.len()).unwrap_or(u32::MAX));
            let last = scan.events.last().map(|event| event.id);
            self.is_done = scan.cut_at.is_none() && scan.events.len() < self.filter.limit as usize;
            self.filter.before = scan.cut_at.or(last).or(self.filter.before);
            let policy = Arc::clone(&self.web.parts.policy.current());
            for event in &scan.events {
                self.write(&Event::remembered(event, &policy), &mut text);
            }
        }
        Some(Ok(text))
    }

    fn write(&self, event: &Event, text: &mut String) {
        match self.format {
            Format::Csv => write_csv(event, text),
            Format::Jsonl => {
                // Our types have no maps and no fallible parts.
                text.push_str(&serde_json::to_string(event).unwrap_or_default());
                text.push('\n');
            }
        }
    }
}

fn write_csv(event: &Event, text: &mut String) {
    let (verdict, rule) = match &event.verdict {
        Verdict::Pass => ("passed", None),
        Verdict::Allow(rule) => ("allowed", Some(rule)),
        Verdict::Block(rule) => ("blocked", Some(rule)),
    };
    let (company, product) = match &event.who {
        Who::Tracker { company, product, .. } => (&**company, &**product),
        Who::Domain { domain } => (&**domain, ""),
    };
    let cells = [
        &*event.at,
        &event.device.name,
        &event.device.key,
        &event.name,
        event.behind.as_deref().unwrap_or_default(),
        &event.qtype,
        verdict,
        rule.map_or("", |rule| &rule.list),
        rule.map_or("", |rule| &rule.rule),
        &event.rcode.to_string(),
        company,
        product,
    ];
    for (index, cell) in cells.into_iter().enumerate() {
        if index != 0 {
            text.push(',');
        }
        write_cell(cell, text);
    }
    text.push_str("\r\n");
}

/// A cell as RFC 4180 has it, and so that no spreadsheet takes it for a formula (OWASP, "CSV Injection"): names of devices and
/// of domains are whatever a neighbour likes.
fn write_cell(cell: &str, text: &mut String) {
    let is_formula = cell
        .starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    let is_plain = !is_formula && !cell.contains([',', '"', '\r', '\n']);
    if is_plain {
        text.push_str(cell);
        return;
    }
    text.push('"');
    if is_formula {
        text.push('\'');
    }
    text.push_str(&cell.replace('"', "\"\""));
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_cell_and_no_formula() {
        let check = |cell: &str, expected: &str| {
            let mut text = String::new();
            write_cell(cell, &mut text);
            assert_eq!(text, expected, "{cell:?}");
        };
        check("TV", "TV");
        check("", "");
        check("a,b", "\"a,b\"");
        check("say \"hi\"\r\n", "\"say \"\"hi\"\"\r\n\"");
        check("=cmd()", "\"'=cmd()\"");
        check("=1,\"2\"", "\"'=1,\"\"2\"\"\"");
        for sign in ["+", "-", "@", "\t", "\r", "\n", "\u{ff1d}"] {
            check(&format!("{sign}1"), &format!("\"'{sign}1\""));
        }
        check("a=b", "a=b");
        check("||tracker.example^$third-party", "||tracker.example^$third-party");
    }
}
