//! A report in each of its dresses.

use askama::Template;

use super::*;
use crate::web::api::Who;

fn device(name: &str, key: &str) -> Device {
    Device { key: key.to_owned(), name: name.to_owned() }
}

fn report() -> Report {
    let (tv, phone) =
        (device("Living-room TV", "192.0.2.7"), device("Anna\u{202E}'s <b>phone</b>\u{1b}[31m", "192.0.2.8"));
    let company =
        |name: &str, products: &str, hits, change: Option<&str>, devices: &[&Device]| ReportCompany {
            name: name.to_owned(),
            products: products.to_owned(),
            hits,
            change: change.map(str::to_owned),
            cloaked: u64::from(hits == 3),
            devices: devices.iter().map(|it| (*it).clone()).collect(),
        };
    let count = |name: &str, hits| ReportCount { name: name.to_owned(), hits };
    let of = |device: &Device, queries, hits, total, companies: Vec<ReportCount>| ReportDevice {
        device: device.clone(),
        queries,
        hits,
        companies_total: total,
        companies,
    };
    let mut hours = vec![0; 24];
    (hours[2], hours[20]) = (1_000, 207);
    Report {
        week: "2026-W47".to_owned(),
        days: "November 16 to 22, 2026".to_owned(),
        from: "2026-11-16T00:00:00.000Z".to_owned(),
        until: "2026-11-23T00:00:00.000Z".to_owned(),
        complete: true,
        device: None,
        queries: 5_001,
        hits: 1_207,
        hits_before: Some(926),
        change: Some("up 30 %".to_owned()),
        mostly: Some("at night".to_owned()),
        companies_total: 23,
        companies: vec![
            company("Samba TV", "Samba TV ACR", 1_204, Some("up 30 %"), &[&tv]),
            company("a-domain-with-a-long-long-long-long-name.example", "", 3, None, &[&tv, &phone]),
        ],
        devices: vec![
            of(&tv, 2_000, 1_205, 7, vec![count("Samba TV", 1_204), count("other.example", 1)]),
            of(&phone, 3_001, 2, 1, vec![count("other.example", 2)]),
        ],
        first_week: false,
        meetings: vec![FirstMeeting {
            who: Who::Domain { domain: "other.example".to_owned() },
            company: "other.example".to_owned(),
            device: phone.clone(),
            hits: 2,
            new_to_all: true,
        }],
        meetings_untold: 4,
        new_devices: vec![phone],
        weekdays: vec![0, 600, 0, 0, 0, 607, 0],
        hours,
    }
}

#[test]
fn the_text_is_ready_for_a_mail_program() {
    let text = report().text();
    assert!(text.lines().all(|line| line.chars().count() <= 78), "{text}");
    assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n' || letter == '\u{202E}'));
    insta::assert_snapshot!(text);
}

#[test]
fn an_empty_week_says_so() {
    let empty = Report { queries: 0, hits: 0, complete: false, ..report() };
    insta::assert_snapshot!(empty.text(), @"
    Who tracked your home, November 16 to 22, 2026
    ==============================================================================
    This week is not over.
    No question was asked.
    ");
}

#[test]
fn the_mail_loads_nothing_and_hostile_names_stay_text() {
    let html = Mail { report: &report() }.render().unwrap();
    assert!(html.contains("&#60;b&#62;phone"), "{html}");
    for foreign in ["<b>phone", "http:", "https:", "src=", "url(", "<link", "<script"] {
        assert!(!html.contains(foreign), "{foreign} in {html}");
    }
    assert!(html.contains("1,204") && html.contains("up 30 %"), "{html}");
}
