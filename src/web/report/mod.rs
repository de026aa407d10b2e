//! The weekly report: who tracked whom. Gathered once, told in three ways: as a page, as text or HTML for a mail program,
//! and as JSON.

mod mail;
mod text;
mod week;

pub(super) use mail::Mail;
pub(super) use week::Wanted;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::week::Week;
use super::api::{Device, FirstMeeting, timestamp};
use super::company::{Change, CompanyRow, is_comparable};
use super::format;
use super::heat::Rhythm;
use super::pages::KNOWN;
use super::view::Times;
use crate::device::DeviceKey;
use crate::history::{CompanyCount, DeviceCount, History, HistoryError, HourCount};

/// How many companies are told of.
const COMPANIES_MAX: usize = 20;
/// How many devices are told of one by one.
const DEVICES_MAX: usize = 50;
/// How many companies are told of each device.
const OF_DEVICE_MAX: usize = 5;
/// How many first meetings are told of.
const MEETINGS_MAX: usize = 30;

/// Who tracked whom in one week.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Report {
    /// The week (ISO 8601), in the daemon's time zone: `2026-W47`.
    pub week: String,
    /// Its days, for people.
    pub days: String,
    /// Its first moment.
    pub from: String,
    /// The first moment after it.
    pub until: String,
    /// Whether it is over.
    pub complete: bool,
    /// The one device that it is about; null for the whole home.
    pub device: Option<Device>,
    /// All questions.
    pub queries: u64,
    /// Those that were blocked.
    pub hits: u64,
    /// Those that were blocked in the week before, up to the same time of the week; null where the history does not reach
    /// back so far.
    pub hits_before: Option<u64>,
    /// What became of the hits, for people: `up 30 %`.
    pub change: Option<String>,
    /// When most hits came, if more than half of them came then: `at night`.
    pub mostly: Option<String>,
    /// How many companies there were in all.
    pub companies_total: u64,
    /// Those with the most hits.
    pub companies: Vec<ReportCompany>,
    /// Every device that was tracked, and by whom.
    pub devices: Vec<ReportDevice>,
    /// Whether this is the first week of the history, in which everything is new.
    pub first_week: bool,
    /// Trackers that met a device for the first time in four weeks.
    pub meetings: Vec<FirstMeeting>,
    /// How many more of those there were.
    pub meetings_untold: u64,
    /// Devices that asked for the first time.
    pub new_devices: Vec<Device>,
    /// Hits on each weekday, from Monday on.
    pub weekdays: Vec<u64>,
    /// Hits in each hour of the day, from midnight on.
    pub hours: Vec<u64>,
}

/// One company in a report.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ReportCompany {
    /// What it is called.
    pub name: String,
    /// Its products that were met, for people.
    pub products: String,
    /// How often it was blocked.
    pub hits: u64,
    /// What became of it since the week before, for people.
    pub change: Option<String>,
    /// How many of the hits hid behind somebody else's name.
    pub cloaked: u64,
    /// The devices that met it.
    pub devices: Vec<Device>,
}

/// One device in a report.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ReportDevice {
    /// The device.
    pub device: Device,
    /// All its questions.
    pub queries: u64,
    /// Those that were blocked.
    pub hits: u64,
    /// How many companies tracked it.
    pub companies_total: u64,
    /// Those with the most hits.
    pub companies: Vec<ReportCount>,
}

/// How often a company was blocked on a device.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ReportCount {
    /// The company.
    pub name: String,
    /// How often.
    pub hits: u64,
}

/// A report, and what only the page shows of it.
pub(super) struct Gathered {
    pub(super) report: Report,
    pub(super) by_hour: Vec<HourCount>,
    pub(super) week_before: String,
    /// `None`: it has not begun.
    pub(super) week_after: Option<String>,
}

/// Gathers the report of a week; of one device, if one is named.
pub(super) async fn gather(
    history: &History,
    times: &Times,
    wanted: Wanted,
    key: Option<DeviceKey>,
) -> Result<Gathered, HistoryError> {
    let this = Week::of(times.now, times);
    let week = match wanted {
        Wanted::Week(week) => week,
        Wanted::This => this,
        Wanted::Last => this.plus(-1),
        Wanted::Latest => {
            let last = this.plus(-1);
            let is_empty = history.totals(last.span(times), None).await?.queries == 0;
            if is_empty { this } else { last }
        }
    };
    let span = week.span(times);
    // A week that is not over is compared with the one before up to the same time.
    let mut before = week.plus(-1).span(times);
    let complete = span.until <= times.now;
    if !complete {
        let passed = times.now.duration_since(span.from);
        before.until = before.from.checked_add(passed).unwrap_or(before.until).max(before.from);
    }
    let (totals, totals_before, companies, by_hour, mut devices, news) = tokio::try_join!(
        history.totals(span, key),
        history.totals(before, key),
        history.companies(span, Some(before), key, u32::MAX),
        history.hours(span, key),
        history.devices(span),
        history.news(span, KNOWN),
    )?;
    let first_week = devices.iter().all(|device| span.from <= device.first_seen);
    devices.retain(|count| key.is_none_or(|key| count.device.key == key));
    let device = key.and_then(|_| devices.first()).map(|count| (&count.device).into());
    let comparable = is_comparable(&devices, before);
    let mut by_company: HashMap<String, Vec<Device>> = HashMap::new();
    let mut of_devices = Vec::new();
    for count in devices.iter().filter(|count| 0 < count.totals.hits).take(DEVICES_MAX) {
        let tracked = history.companies(span, None, Some(count.device.key), u32::MAX).await?;
        for company in &tracked {
            by_company.entry(company.name.clone()).or_default().push((&count.device).into());
        }
        of_devices.push(report_device(count, &tracked));
    }
    let change = if comparable { Change::of(totals.hits, totals_before.hits) } else { Change::Unknown };
    let rhythm = Rhythm::new(&by_hour, &times.time_zone);
    let rows = CompanyRow::all(companies.get(..COMPANIES_MAX).unwrap_or(&companies), totals.hits, comparable);
    let company = |(row, count): (CompanyRow, &CompanyCount)| ReportCompany {
        devices: by_company.remove(&count.name).unwrap_or_default(),
        name: count.name.clone(),
        products: row.products,
        hits: count.hits,
        change: row.change,
        cloaked: count.cloaked,
    };
    let is_meant = |device: &crate::device::Device| key.is_none_or(|key| device.key == key);
    let is_new = |device: &crate::device::Device| news.devices.iter().any(|new| new.device.key == device.key);
    let mut meetings: Vec<FirstMeeting> = news
        .meetings
        .iter()
        .filter(|meeting| !first_week && is_meant(&meeting.device) && !is_new(&meeting.device))
        .map(Into::into)
        .collect();
    let meetings_untold = meetings.len().saturating_sub(MEETINGS_MAX) as u64;
    meetings.truncate(MEETINGS_MAX);
    let new_devices = news.devices.iter().filter(|new| !first_week && is_meant(&new.device));
    let report = Report {
        week: week.to_string(),
        days: week.days(),
        from: timestamp(span.from),
        until: timestamp(span.until),
        complete,
        device,
        queries: totals.queries,
        hits: totals.hits,
        hits_before: comparable.then_some(totals_before.hits),
        change: change.text(),
        mostly: rhythm.mostly().map(str::to_owned),
        companies_total: companies.len() as u64,
        companies: rows.into_iter().zip(&companies).map(company).collect(),
        devices: of_devices,
        first_week,
        meetings,
        meetings_untold,
        new_devices: new_devices.map(|new| (&new.device).into()).collect(),
        weekdays: rhythm.by_weekday().iter().map(|(_, hits)| *hits).collect(),
        hours: rhythm.by_hour().to_vec(),
    };
    Ok(Gathered {
        report,
        by_hour,
        week_before: week.plus(-1).to_string(),
        week_after: (week != this).then(|| week.plus(1).to_string()),
    })
}

fn report_device(count: &DeviceCount, companies: &[CompanyCount]) -> ReportDevice {
    let company = |company: &CompanyCount| ReportCount { name: company.name.clone(), hits: company.hits };
    ReportDevice {
        device: (&count.device).into(),
        queries: count.totals.queries,
        hits: count.totals.hits,
        companies_total: companies.len() as u64,
        companies: companies.iter().take(OF_DEVICE_MAX).map(company).collect(),
    }
}

impl Report {
    /// Whom it is about: `your home`, or the device.
    pub(super) fn whom(&self) -> &str {
        self.device.as_ref().map_or("your home", |device| &device.name)
    }

    /// The week in one or two sentences.
    pub(super) fn summary(&self) -> String {
        if self.queries == 0 {
            return "No question was asked.".to_owned();
        }
        let change = self.change.as_ref().map(|it| format!(", {it} on the week before")).unwrap_or_default();
        let share = format::share(self.hits, self.queries);
        let questions = format::counted(self.queries, "question", "questions");
        let companies = match self.companies_total {
            0 => "Nobody was met who tracks".to_owned(),
            number => format!("{} tried to track", format::counted(number, "company", "companies")),
        };
        let mostly = self.mostly.as_ref().map(|mostly| format!(", mostly {mostly}")).unwrap_or_default();
        format!(
            "{} of {questions} were blocked ({share}){change}. {companies}{mostly}.",
            format::count(self.hits)
        )
    }

    /// The weekdays' names and hits, and each in hundredths of the most.
    pub(super) fn weekday_rows(&self) -> Vec<(&'static str, u64, u64)> {
        let most = self.weekdays.iter().copied().max().unwrap_or(1).max(1);
        let names = Rhythm::default().by_weekday().map(|(name, _)| name);
        let row = |(name, hits): (&'static str, &u64)| (name, *hits, hits.saturating_mul(100) / most);
        names.into_iter().zip(&self.weekdays).map(row).collect()
    }

    /// The parts of the day and their hits, and each in hundredths of the most.
    pub(super) fn part_rows(&self) -> Vec<(&'static str, u64, u64)> {
        let parts: Vec<u64> = self.hours.chunks(6).map(|part| part.iter().sum()).collect();
        let most = parts.iter().copied().max().unwrap_or(1).max(1);
        let names = super::heat::PARTS.map(|(_, name)| name);
        names
            .into_iter()
            .zip(parts)
            .map(|(name, hits)| (name, hits, hits.saturating_mul(100) / most))
            .collect()
    }
}

#[cfg(test)]
mod tests;
