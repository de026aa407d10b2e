//! The report as one HTML document for mail programs, which know neither style sheets nor scripts of ours: every style
//! stands where it is used, nothing is loaded.

use askama::Template;

use super::{Report, ReportCount};
use crate::web::api::Who;
use crate::web::format;

/// The document.
#[derive(Template)]
#[template(path = "report_mail.html")]
pub(in crate::web) struct Mail<'a> {
    pub(in crate::web) report: &'a Report,
}

impl Mail<'_> {
    fn count(&self, number: &u64) -> String {
        format::count(*number)
    }

    fn companies(&self, companies: &[ReportCount]) -> String {
        let company = |it: &ReportCount| format!("{} ({})", it.name, format::count(it.hits));
        companies.iter().map(company).collect::<Vec<_>>().join(", ")
    }

    fn who(&self, who: &Who) -> String {
        match who {
            Who::Tracker { product, company, .. } => format!("{product} of {company}"),
            Who::Domain { domain } => domain.clone(),
        }
    }

    fn times(&self, number: &u64) -> String {
        format::times(*number)
    }
}
