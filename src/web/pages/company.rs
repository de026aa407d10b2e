//! `/companies/{name}`: one company: what it is, which devices it saw, by which names, and when. A registrable domain
//! stands for a company where the catalogue knows none.

use std::net::Ipv4Addr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;

use super::known_lists::KNOWN;
use super::{Page, page};
use crate::device::DeviceTable;
use crate::history::{CompanyCount, CompanyDetail, NameCount};
use crate::name::DomainName;
use crate::policy::{Policy, Question, Verdict};
use crate::tracker::{Attribution, Tracker};
use crate::web::Web;
use crate::web::chart::{Chart, Of};
use crate::web::company::{change_of, is_comparable};
use crate::web::errors::Failure;
use crate::web::format::{self, percent_encoded};
use crate::web::period::{Period, PeriodLink};
use crate::web::view::{DeviceLink, Frame, NameLink, RuleButton, Tab, Times};

/// How many names are shown.
const NAMES_MAX: usize = 100;
/// Of how many names it is told which lists have them.
const NAMES_LOOKED_UP: usize = 10;

#[derive(Deserialize)]
pub(super) struct Asked {
    hours: Option<u32>,
}

#[derive(Template)]
#[template(path = "company.html")]
pub(super) struct CompanyPage {
    pub(super) frame: Frame,
    pub(super) name: String,
    pub(super) encoded: String,
    /// The catalogue knows it.
    pub(super) is_known: bool,
    /// The groups that it belongs to.
    pub(super) parents: String,
    pub(super) products: Vec<Product>,
    /// Lists that have its names, and what they are for where that is known.
    pub(super) lists: Vec<ListAbout>,
    pub(super) periods: Vec<PeriodLink>,
    pub(super) period: Period,
    /// How often it was blocked; `None`: not at all within the span.
    pub(super) met: Option<Met>,
}

/// One product of the company.
pub(super) struct Product {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) reports: Option<String>,
    /// Where the company tells what it does with data, or how to object.
    pub(super) privacy: Option<String>,
    /// Its hits within the span; `None` where it was not met.
    pub(super) hits: Option<String>,
}

/// A list that has names of the company.
pub(super) struct ListAbout {
    pub(super) name: String,
    pub(super) about: Option<String>,
}

/// What happened within the span.
pub(super) struct Met {
    /// `1,204 times on 3 devices`.
    pub(super) sentence: String,
    /// `up 30 %`.
    pub(super) change: Option<String>,
    /// How many of the hits hid behind the name of a site.
    pub(super) cloaked: Option<String>,
    pub(super) chart: Chart,
    pub(super) devices: Vec<DeviceHits>,
    pub(super) names: Vec<NameRow>,
    /// Names that are not shown.
    pub(super) untold: usize,
}

/// A device that met the company.
pub(super) struct DeviceHits {
    pub(super) device: DeviceLink,
    pub(super) hits: String,
    pub(super) share: String,
    /// Its hits in hundredths of those of the first.
    pub(super) percent: u64,
}

/// A name of the company that was blocked.
pub(super) struct NameRow {
    pub(super) name: NameLink,
    /// The company's own name, where `name` is that of a site.
    pub(super) behind: Option<NameLink>,
    pub(super) hits: String,
    pub(super) button: Option<RuleButton>,
}

pub(super) async fn show(
    State(web): State<Arc<Web>>,
    uri: Uri,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let times = Times::new(&web);
    let history = &web.parts.history;
    let period = asked.hours.and_then(Period::of_hours).unwrap_or(Period::Week);
    let (span, before) = (period.span(&times), period.before(&times));
    let (detail, devices) = tokio::try_join!(
        history.company(span, Some(before), name.clone()),
        history.devices(times.last_hours(0)),
    )?;
    let of_company = |tracker: &&Arc<Tracker>| tracker.company == name;
    let known: Vec<Arc<Tracker>> =
        web.parts.catalogue.current().trackers().iter().filter(of_company).cloned().collect();
    let is_name = DomainName::parse(&name).is_ok_and(|domain| 1 < domain.as_ref().label_count());
    if detail.is_none() && known.is_empty() && !is_name {
        let message = format!("No company called `{name}` was met, and the catalogue knows none.");
        return Err(Failure::new(StatusCode::NOT_FOUND, message));
    }
    let frame = Frame::new(&web, &uri, Tab::Companies);
    let policy = Arc::clone(&web.parts.policy.current());
    let encoded = percent_encoded(&name);
    let comparable = is_comparable(&devices, before);
    let lists = detail.as_ref().map(|detail| lists_of(&policy, &detail.names)).unwrap_or_default();
    page(&CompanyPage {
        is_known: !known.is_empty(),
        parents: parents(&known),
        products: products(&known, detail.as_ref().map(|detail| &detail.count)),
        lists,
        periods: period.links(&format!("/companies/{encoded}")),
        period,
        met: detail.map(|detail| Met::new(&detail, period, comparable, &times, &policy, &frame.here)),
        name,
        encoded,
        frame,
    })
}

/// The groups that a company's products belong to; usually one or none.
fn parents(known: &[Arc<Tracker>]) -> String {
    let mut parents: Vec<&str> = Vec::new();
    for parent in known.iter().filter_map(|tracker| tracker.parent.as_deref()) {
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }
    parents.join(", ")
}

/// Those that were met, the most first, then the others that the catalogue has.
fn products(known: &[Arc<Tracker>], count: Option<&CompanyCount>) -> Vec<Product> {
    let product = |tracker: &Tracker, hits: Option<u64>| Product {
        name: tracker.product.clone(),
        kind: tracker.kind.label(),
        reports: tracker.reports.clone(),
        privacy: tracker.privacy.clone(),
        hits: hits.map(format::count),
    };
    let met: Vec<(&Arc<Tracker>, u64)> = count
        .iter()
        .flat_map(|count| &count.trackers)
        .filter_map(|tracker| match &tracker.attribution {
            Attribution::Tracker(met) => Some((met, tracker.hits)),
            Attribution::Domain(_) => None,
        })
        .collect();
    let others = known.iter().filter(|tracker| met.iter().all(|(met, _)| met != tracker));
    let shown = met.iter().map(|(tracker, hits)| product(tracker, Some(*hits)));
    shown.chain(others.map(|tracker| product(tracker, None))).collect()
}

/// The lists that block a company's names now.
fn lists_of(policy: &Policy, names: &[NameCount]) -> Vec<ListAbout> {
    let nobody = DeviceTable::default().identify(Ipv4Addr::UNSPECIFIED.into());
    let mut lists: Vec<Arc<str>> = Vec::new();
    for count in names.iter().take(NAMES_LOOKED_UP) {
        let name = count.behind.as_ref().unwrap_or(&count.name);
        for list in
            policy.explain(&Question::of(&nobody, name.as_ref())).into_iter().flat_map(|rule| rule.lists)
        {
            if !lists.contains(&list) {
                lists.push(list);
            }
        }
    }
    let about = |list: &Arc<str>| KNOWN.lists.iter().find(|known| *known.name == **list);
    let list = |list: &Arc<str>| ListAbout {
        name: list.to_string(),
        about: about(list).map(|known| known.about.clone()),
    };
    lists.iter().map(list).collect()
}

impl Met {
    pub(super) fn new(
        detail: &CompanyDetail,
        period: Period,
        is_comparable: bool,
        times: &Times,
        policy: &Policy,
        back: &str,
    ) -> Self {
        let CompanyDetail { count, devices, names, hours } = detail;
        let on = format::counted(count.devices, "device", "devices");
        let most = devices.iter().map(|(_, hits)| *hits).max().unwrap_or(1).max(1);
        let of = Of { device: None, company: Some(&count.name) };
        let nobody = DeviceTable::default().identify(Ipv4Addr::UNSPECIFIED.into());
        let name_row = |count: &NameCount| {
            let verdict = policy.judge(&Question::of(&nobody, count.name.as_ref()));
            let is_blocked = matches!(verdict, Verdict::Block(_)) || count.behind.is_some();
            NameRow {
                name: (&count.name).into(),
                behind: count.behind.as_ref().map(Into::into),
                hits: format::count(count.totals.hits),
                button: RuleButton::against(policy, is_blocked, &count.name, back),
            }
        };
        let device = |(device, hits): &(crate::device::Device, u64)| DeviceHits {
            device: device.into(),
            hits: format::count(*hits),
            share: format::share(*hits, count.hits),
            percent: (hits.saturating_mul(100) / most).clamp(1, 100),
        };
        Self {
            sentence: format!("{} on {on}", format::times(count.hits)),
            change: change_of(count, is_comparable).text(),
            cloaked: (0 < count.cloaked).then(|| format::times(count.cloaked)),
            chart: Chart::hits_only(hours, period.is_by_day(), &times.time_zone, of),
            devices: devices.iter().map(device).collect(),
            names: names.iter().take(NAMES_MAX).map(name_row).collect(),
            untold: names.len().saturating_sub(NAMES_MAX),
        }
    }
}
