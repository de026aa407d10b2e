//! What is printed.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::CliError;
use crate::web::api;

/// Prints a text and a line feed. A reader that has gone away (`| head`) is no error.
pub(super) fn print(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints a value as JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| CliError::Answer(error.to_string()))?;
    print(&text);
    Ok(())
}

/// A table without lines, as `ls` and `ps` print them; it wraps only where there is a terminal to fit.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// Prints a table, its columns two blanks apart.
pub(super) fn print_table(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in table.lines() {
        print(line.trim_end());
    }
}

/// A rule and where it stands.
pub(super) fn place(rule: &api::RuleRef) -> String {
    rule.list.clone()
}

/// Who a name belongs to, in one line.
pub(super) fn who(who: &api::Who) -> String {
    match who {
        api::Who::Tracker { product, company, parent, kind, .. } => {
            let group = parent.as_ref().map(|parent| format!(", part of {parent}")).unwrap_or_default();
            format!("{product} by {company}{group} ({})", kind.replace('-', " "))
        }
        api::Who::Domain { domain } => domain.clone(),
    }
}

/// A time of the API in the time zone of whoever reads it.
pub(super) fn local(time: Option<&str>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| in_local_zone(time, "%Y-%m-%d %H:%M"))
}

/// A time of today or tomorrow: `14:35`.
pub(super) fn local_minutes(time: &str) -> String {
    in_local_zone(time, "%H:%M")
}

/// A time of the API in the time zone of whoever reads it, to the second.
pub(super) fn local_seconds(time: &str) -> String {
    in_local_zone(time, "%Y-%m-%d %H:%M:%S")
}

fn in_local_zone(time: &str, format: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(at) => at.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime(format).to_string(),
        Err(_) => time.to_owned(),
    }
}

/// A number with its thousands apart.
pub(super) fn number(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or_default().to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
