//! The report as text, for a mail program or a terminal: 78 columns, no colour, nothing that a hostile name could do.

use super::Report;
use crate::web::api::Who;
use crate::web::format;

/// The longest line (RFC 5322 section 2.1.1).
const WIDTH: usize = 78;
/// The width of a name in a table.
const NAME_WIDTH: usize = 30;
/// The longest bar.
const BAR_WIDTH: u64 = 30;

impl Report {
    /// The report as text.
    pub(in crate::web) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |written: &str| {
            text.push_str(written.trim_end());
            text.push('\n');
        };
        line(&shortened(&format!("Who tracked {}, {}", self.whom(), self.days), WIDTH));
        line(&"=".repeat(WIDTH));
        if !self.complete {
            line("This week is not over.");
        }
        wrapped(&self.summary(), "", &mut line);
        if self.queries == 0 {
            return text;
        }
        heading("Companies", &mut line);
        for company in &self.companies {
            let change = company.change.as_deref().unwrap_or_default();
            let cloaked = if company.cloaked == 0 { "" } else { "  (cloaked)" };
            line(&format!("{} {:>9}  {change}{cloaked}", name(&company.name), format::count(company.hits)));
            let on: Vec<String> = company.devices.iter().map(|device| harmless(&device.name)).collect();
            let mut about = company.products.clone();
            if self.device.is_none() && !on.is_empty() {
                let separator = if about.is_empty() { "on " } else { "; on " };
                about = format!("{about}{separator}{}", on.join(", "));
            }
            wrapped(&about, "    ", &mut line);
        }
        let untold = self.companies_total.saturating_sub(self.companies.len() as u64);
        if 0 < untold {
            line(&format!("... and {}", format::counted(untold, "other", "others")));
        }
        if self.device.is_none() {
            heading("Devices", &mut line);
            for device in &self.devices {
                let share = format::share(device.hits, device.queries);
                let hits = format::count(device.hits);
                line(&format!("{} {hits:>9}  {share} of its questions", name(&device.device.name)));
                let company = |it: &super::ReportCount| format!("{} {}", it.name, format::count(it.hits));
                let companies: Vec<String> = device.companies.iter().map(company).collect();
                let more = device.companies_total.saturating_sub(companies.len() as u64);
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                wrapped(&format!("{}{more}", companies.join(", ")), "    ", &mut line);
            }
        }
        self.write_news(&mut line);
        heading("When", &mut line);
        for (day, hits, percent) in self.weekday_rows().into_iter().chain(self.part_rows()) {
            let bar = "#".repeat(usize::try_from(percent * BAR_WIDTH / 100).unwrap_or_default());
            line(&format!("{day:<12} {:>9}  {bar}", format::count(hits)));
        }
        text
    }

    fn write_news(&self, line: &mut impl FnMut(&str)) {
        heading("New", line);
        if self.first_week {
            line("This is the first week that is remembered, so everything is new.");
            return;
        }
        for device in &self.new_devices {
            wrapped(&format!("{} asked for the first time.", harmless(&device.name)), "", line);
        }
        for meeting in &self.meetings {
            let who = match &meeting.who {
                Who::Tracker { product, company, .. } => format!("{product} of {company}"),
                Who::Domain { domain } => domain.clone(),
            };
            let new = if meeting.new_to_all { " (new to your home)" } else { "" };
            let (device, times) = (harmless(&meeting.device.name), format::times(meeting.hits));
            wrapped(&format!("{who} met {device}: blocked {times}{new}."), "", line);
        }
        if 0 < self.meetings_untold {
            line(&format!("... and {} more first meetings", format::count(self.meetings_untold)));
        }
        if self.new_devices.is_empty() && self.meetings.is_empty() {
            line("No new device, and no tracker that a device had not met before.");
        }
    }
}

fn heading(title: &str, line: &mut impl FnMut(&str)) {
    line("");
    line(title);
    line(&"-".repeat(title.len()));
}

/// A name in a column.
fn name(text: &str) -> String {
    let shown = shortened(&harmless(text), NAME_WIDTH);
    format!("{shown:<NAME_WIDTH$}")
}

/// Without what a terminal or a mail program would act on: control characters, and marks that turn the direction of what
/// follows.
fn harmless(text: &str) -> String {
    let is_harmful = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|letter| if is_harmful(letter) { '?' } else { letter }).collect()
}

fn shortened(text: &str, width: usize) -> String {
    let text = harmless(text);
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Writes words in lines of [`WIDTH`], each after `indent`. A word that is longer than a line is cut off.
fn wrapped(words: &str, indent: &str, line: &mut impl FnMut(&str)) {
    let room = WIDTH - indent.len();
    let mut current = String::new();
    for word in harmless(words).split_whitespace() {
        let word = shortened(word, room);
        if !current.is_empty() && room < current.chars().count() + 1 + word.chars().count() {
            line(&format!("{indent}{current}"));
            current.clear();
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(&word);
    }
    if !current.is_empty() {
        line(&format!("{indent}{current}"));
    }
}
