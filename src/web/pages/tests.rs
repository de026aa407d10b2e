//! Every template is given texts that a hostile network could hand it; none may come out as anything but text.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;
use crate::device::{Device, DeviceKey, DeviceKind, KnownDevice, NameSource};
use crate::feed::{
    CatalogueOrigin, CatalogueStatus, Choice, Diff, DiffRule, KnownList, KnownLists, Origin, OwnRuleStatus,
    QuarantineReason, QuarantinedRule, RevisionState, RevisionStatus, SourceOptions, SourceStatus, Waiting,
};
use crate::history::{
    CompanyCount, CompanyDetail, DeviceCount, FirstMeeting, HourCount, NameCount, News, RememberedVerdict,
    Totals, TrackerCount,
};
use crate::list::{Action, OwnRule, ParseOptions, parse};
use crate::name::DomainName;
use crate::policy::{self, Explained, Policy, RuleRef};
use crate::tracker::{Attribution, Kind, Tracker};
use crate::web::api::{Catalogue, LocalName};
use crate::web::chart::{Chart, Of};
use crate::web::company::{CompanyRow, KindRow};
use crate::web::errors::ErrorPage;
use crate::web::heat::{Heat, Rhythm};
use crate::web::period::Period;
use crate::web::view::{EventRow, Frame, KindIcon, Prose, RuleButton, Tab, Times, Who};
use crate::web::without::WithoutList;

const HOSTILE: &str =
    "<img src=x onerror=alert(1)>\"onmouseover=\"x'onfocus='y&\u{0}\u{1b}[31m\r\n</title><script>`{{7*7}}";

/// The same in a name, as it comes over the wire.
fn hostile_name() -> DomainName {
    let label = b"<img src=x onerror=y>\"onload=\"'\x00\x1b\r\n<script>";
    let wire = [&[label.len().try_into().unwrap()], &label[..], b"\x07example\x00"].concat();
    DomainName::from_wire(&wire).unwrap()
}

#[track_caller]
fn check(template: &impl Template) {
    let html = template.render().unwrap();
    for broken in
        ["<img src=x", "<img\\032src", "\"onmouseover", "'onfocus", "\"onload", "<script>", "</title><"]
    {
        assert!(!html.contains(broken), "{broken} in {html}");
    }
    assert!(html.contains("&#60;img"), "the hostile text is shown: {html}");
    assert!(html.matches("<script ").count() <= 1, "our own script only: {html}");
}

fn frame() -> Frame {
    Frame {
        note: Some((false, HOSTILE.into())),
        undo: Some(7),
        typed: Some(HOSTILE.to_owned()),
        here: HOSTILE.to_owned(),
        tab: Tab::Other,
        version: "0",
    }
}

fn times() -> Times {
    Times { now: Timestamp::UNIX_EPOCH, time_zone: TimeZone::UTC }
}

fn device() -> Device {
    Device { key: DeviceKey::Address([192, 0, 2, 1].into()), name: HOSTILE.into() }
}

fn tracker() -> Attribution {
    let text = || HOSTILE.to_owned();
    let tracker = Tracker {
        product: text(),
        company: text(),
        parent: Some(text()),
        kind: Kind::ConversionPixel,
        reports: Some(text()),
        privacy: Some("https://meta.example/?a=1&b=2".to_owned()),
    };
    Attribution::Tracker(Arc::new(tracker))
}

fn rule() -> RuleRef {
    RuleRef { list: HOSTILE.into(), rule: HOSTILE.into() }
}

fn button() -> Option<RuleButton> {
    Some(RuleButton { action: "allow", label: "Allow", rule: HOSTILE.to_owned(), back: HOSTILE.to_owned() })
}

fn event_row() -> EventRow {
    EventRow {
        at: times().clock(Timestamp::UNIX_EPOCH),
        device: (&device()).into(),
        name: (&hostile_name()).into(),
        behind: Some((&hostile_name()).into()),
        who: Some((&tracker()).into()),
        qtype: HOSTILE.to_owned(),
        verdict: (&RememberedVerdict::Block(rule())).into(),
        now: Some("allowed now"),
        button: button(),
    }
}

fn device_count() -> DeviceCount {
    DeviceCount {
        device: device(),
        totals: Totals { queries: 2, hits: 1 },
        trackers: 1,
        first_seen: Timestamp::UNIX_EPOCH,
        last_seen: Timestamp::UNIX_EPOCH,
    }
}

fn company_count() -> CompanyCount {
    let count = |attribution| TrackerCount { attribution, hits: 30, devices: 1 };
    CompanyCount {
        name: HOSTILE.to_owned(),
        trackers: vec![count(tracker()), count(Attribution::Domain(hostile_name()))],
        hits: 60,
        hits_before: 30,
        cloaked: 1,
        devices: 1,
    }
}

fn hour() -> HourCount {
    HourCount { hour: Timestamp::UNIX_EPOCH, totals: Totals { queries: 2, hits: 1 } }
}

fn chart() -> Chart {
    Chart::by_hour(&[hour()], &TimeZone::UTC, Of { device: Some(HOSTILE), company: Some(HOSTILE) })
}

fn news() -> news::NewsView {
    let other = Device { key: DeviceKey::Address([192, 0, 2, 2].into()), name: HOSTILE.into() };
    let meeting =
        |attribution| FirstMeeting { attribution, device: other.clone(), hits: 3, is_new_to_all: true };
    let meetings = vec![meeting(tracker()), meeting(Attribution::Domain(hostile_name()))];
    news::NewsView::new(&News { devices: vec![device_count()], meetings }, false, &times())
}

fn problem() -> overview::ProblemLine {
    overview::ProblemLine { text: HOSTILE.into(), link: Some((HOSTILE.to_owned(), "See")) }
}

fn overview() -> overview::Overview {
    overview::Overview {
        frame: frame(),
        problems: vec![problem()],
        welcome: None,
        hits_today: "1".into(),
        queries_today: "2 questions".into(),
        share_today: "50 %".into(),
        chart: chart(),
        periods: Period::Day.links(HOSTILE),
        period: Period::Day,
        headline: Some(HOSTILE.to_owned()),
        companies_total: "1 company".into(),
        companies: CompanyRow::all(&[company_count()], 60, true),
        devices: overview::TopDevice::all(&[device_count()], &times()),
        news: news(),
        latest: vec![event_row()],
    }
}

#[test]
fn hostile_texts_stay_texts_on_the_overview() {
    check(&overview());
    let text = || HOSTILE.to_owned();
    let welcome = welcome::Welcome {
        server: text(),
        is_known: true,
        other_port: Some(5300),
        is_loopback: false,
        dig: text(),
        listens: vec![text()],
    };
    check(&overview::Overview { welcome: Some(welcome), ..overview() });
}

#[test]
fn hostile_texts_stay_texts_on_the_pages_of_devices() {
    let text = || HOSTILE.to_owned();
    let known = KnownDevice {
        device: device(),
        name_from: NameSource::Mdns,
        tags: [].into(),
        group: None,
        kind: Some(DeviceKind::Camera),
        kind_is_guess: true,
        vendor: Some(HOSTILE.into()),
        private_mac: true,
        keys: vec![device().key],
        addresses: Vec::new(),
        line: None,
    };
    let count = |known| devices::DeviceRow::new(&device_count(), known, &times());
    check(&devices::Devices {
        frame: frame(),
        columns: Vec::new(),
        devices: vec![count(None), devices::DeviceRow { silence: Some(text()), ..count(Some(&known)) }],
        silent: vec![devices::SilentDevice {
            device: (&device()).into(),
            icon: KindIcon { kind: None },
            about: text(),
            addresses: text(),
        }],
        router: Some(problem()),
    });
    for kind in DeviceKind::ALL {
        let icon = KindIcon { kind: Some(kind) }.render().unwrap();
        assert!(
            icon.contains(kind.label()) && icon.matches("<path").count() + icon.matches("<rect").count() > 0,
            "{icon}"
        );
    }
    let settings = |configured| device_settings::DeviceSettings {
        key: text(),
        name: text(),
        said_name: text(),
        name_from: "by its maker",
        vendor: Some(text()),
        icon: KindIcon { kind: Some(DeviceKind::Television) },
        kind_is_guess: true,
        kinds: vec![device_settings::KindChoice { word: "phone", label: "Phone", is_chosen: true }],
        others: vec![(text(), text())],
        merged: vec![text()],
        private_mac: true,
        configured,
        is_gateway: true,
        back: text(),
    };
    check(&settings(None));
    check(&settings(Some((text(), 3))));
    let name = device::NameRow {
        name: (&hostile_name()).into(),
        behind: Some((&hostile_name()).into()),
        who: Some((&tracker()).into()),
        hits: "1".into(),
        queries: "2".into(),
        button: button(),
    };
    check(&device::DevicePage {
        frame: frame(),
        name: text(),
        key: text(),
        addresses: text(),
        group: Some(text()),
        first_seen: Some(times().ago(Timestamp::UNIX_EPOCH)),
        last_seen: None,
        hits_today: "1".into(),
        queries_today: "2 questions".into(),
        share_today: "50 %".into(),
        headline: text(),
        resolvers: vec![(&hostile_name()).into()],
        resolvers_blocked: false,
        silence: Some(text()),
        periods: Period::Day.links(HOSTILE),
        period: Period::Day,
        chart: chart(),
        companies: CompanyRow::all(&[company_count()], 60, true),
        untold: 3,
        kinds: KindRow::all(&[company_count()]),
        heat: Heat::new(&Rhythm::new(&[hour()], &TimeZone::UTC)),
        names: vec![name],
        latest: vec![event_row()],
        settings: settings(None),
    });
}

#[test]
fn hostile_texts_stay_texts_in_the_log() {
    let text = || HOSTILE.to_owned();
    let choice = log::DeviceChoice { device: (&device()).into(), is_current: true };
    let choices = || vec![log::Choice { value: text(), is_current: true }];
    check(&log::Log {
        frame: frame(),
        devices: vec![choice],
        company: text(),
        name: text(),
        verdicts: choices(),
        types: choices(),
        from: text(),
        until: text(),
        is_filtered: true,
        has_more_filters: true,
        rows: vec![event_row()],
        live: Some(text()),
        zone: text(),
        newest: Some(text()),
        older: Some(text()),
        is_cut: false,
    });
}

#[test]
fn hostile_texts_stay_texts_on_the_pages_of_companies() {
    let text = || HOSTILE.to_owned();
    check(&companies::Companies {
        frame: frame(),
        device: Some((&device()).into()),
        periods: Period::Week.links(HOSTILE),
        period: Period::Week,
        compared_with: Some("before"),
        total: "1 company".into(),
        hits: "60 times".into(),
        columns: vec![companies::Column {
            title: "Company",
            address: text(),
            is_current: true,
            direction: "ascending",
            is_number: false,
        }],
        companies: CompanyRow::all(&[company_count()], 60, true),
        untold: 1,
    });
    let name = NameCount {
        name: hostile_name(),
        behind: Some(hostile_name()),
        attribution: tracker(),
        totals: Totals { queries: 60, hits: 60 },
    };
    let detail = CompanyDetail {
        count: company_count(),
        devices: vec![(device(), 60)],
        names: vec![name],
        hours: vec![(Timestamp::UNIX_EPOCH, 60)],
    };
    let product = || company::Product {
        name: text(),
        kind: "web analytics",
        reports: Some(text()),
        privacy: Some(text()),
        hits: Some("60".into()),
    };
    let met = || company::Met::new(&detail, Period::Week, true, &times(), &Policy::default(), HOSTILE);
    for (is_known, met) in [(true, Some(met())), (false, Some(met())), (false, None)] {
        check(&company::CompanyPage {
            frame: frame(),
            name: text(),
            encoded: crate::web::format::percent_encoded(HOSTILE),
            is_known,
            parents: text(),
            products: vec![product()],
            lists: vec![company::ListAbout { name: text(), about: Some(text()) }],
            periods: Period::Week.links(HOSTILE),
            period: Period::Week,
            met,
        });
    }
}

#[test]
fn hostile_texts_stay_texts_in_a_report() {
    let text = || HOSTILE.to_owned();
    let device = || crate::web::api::Device { key: text(), name: text() };
    let report = crate::web::report::Report {
        week: text(),
        days: text(),
        from: text(),
        until: text(),
        complete: false,
        device: None,
        queries: 2,
        hits: 1,
        hits_before: Some(1),
        change: Some(text()),
        mostly: Some(text()),
        companies_total: 1,
        companies: vec![crate::web::report::ReportCompany {
            name: text(),
            products: text(),
            hits: 1,
            change: Some(text()),
            cloaked: 1,
            devices: vec![device()],
        }],
        devices: vec![crate::web::report::ReportDevice {
            device: device(),
            queries: 2,
            hits: 1,
            companies_total: 1,
            companies: vec![crate::web::report::ReportCount { name: text(), hits: 1 }],
        }],
        first_week: false,
        meetings: vec![crate::web::api::FirstMeeting {
            who: crate::web::api::Who::Domain { domain: text() },
            company: text(),
            device: device(),
            hits: 1,
            new_to_all: true,
        }],
        meetings_untold: 1,
        new_devices: vec![device()],
        weekdays: vec![1; 7],
        hours: vec![1; 24],
    };
    check(&crate::web::report::Mail { report: &report });
    let one = crate::web::report::Report { device: Some(device()), ..report.clone() };
    for report in [report, one] {
        check(&report::ReportPage {
            frame: frame(),
            report,
            chart: chart(),
            devices: vec![log::DeviceChoice { device: (&self::device()).into(), is_current: true }],
            before: text(),
            after: Some(text()),
            download: text(),
        });
    }
}

fn revision(state: RevisionState) -> RevisionStatus {
    RevisionStatus {
        id: format!("{state:?} {HOSTILE}"),
        fetched: Timestamp::UNIX_EPOCH,
        rules: Some(1),
        size: 1,
        url: format!("{state:?} {HOSTILE}"),
        state,
    }
}

/// A list of which everything that can be told is told.
fn list_status() -> SourceStatus {
    let mut options = SourceOptions::new(HOSTILE, Origin::Url(format!("https://{HOSTILE}")));
    (options.mirrors, options.added) = (vec![HOSTILE.to_owned()], true);
    let held = |reason| QuarantinedRule { rule: HOSTILE.to_owned(), line: 7, reason };
    SourceStatus {
        served_by: Some(HOSTILE.to_owned()),
        revisions: [RevisionState::Waiting, RevisionState::InForce, RevisionState::Kept].map(revision).into(),
        held_since: Some(Timestamp::UNIX_EPOCH),
        waiting: Some(Waiting {
            id: HOSTILE.to_owned(),
            fetched: Timestamp::UNIX_EPOCH,
            rules: 3,
            reason: format!("It is another. {HOSTILE}"),
        }),
        quarantined: vec![
            held(QuarantineReason::Popular(HOSTILE.to_owned())),
            held(QuarantineReason::PublicSuffix),
        ],
        quarantined_total: 1_234,
        failed: true,
        rules: 1,
        report: parse(HOSTILE.as_bytes(), ParseOptions::default()).report,
        refreshing: true,
        problem: Some(HOSTILE.to_owned()),
        ..SourceStatus::new(Arc::new(options))
    }
}

#[test]
fn hostile_texts_stay_texts_among_lists_and_rules() {
    let card = lists::ListCard::new(&list_status(), &times(), HOSTILE, 5);
    check(&lists::Lists {
        frame: frame(),
        rules: "1".into(),
        problem: Some(HOSTILE.into()),
        lists: vec![card],
    });
    let own = OwnRuleStatus {
        action: Action::Allow,
        rule: OwnRule {
            client: None,
            subject: crate::list::Subject::Name { name: hostile_name(), scope: crate::list::Scope::Subtree },
        },
        file: HOSTILE.into(),
        line: 1,
        removable: true,
        ends: None,
    };
    let text = || HOSTILE.to_owned();
    let left = Some((text(), text()));
    let mine = OwnRule { client: Some(crate::list::Client::Name(HOSTILE.into())), ..own.rule.clone() };
    let of_network = OwnRuleStatus { rule: mine, ..own.clone() };
    let of_device =
        OwnRuleStatus { rule: own.rule.clone().for_client(policy::client_of(device().key)), ..own.clone() };
    let rules = [own, of_network, of_device];
    let rules = rules.iter().map(|own| rules::RuleRow::new(own, &[], &[device()], left.clone(), HOSTILE));
    let form = rules::Form {
        typed: text(),
        error: Some(HOSTILE.into()),
        devices: vec![rules::DeviceChoice { key: text(), name: text(), is_chosen: true }],
        instead_of: text(),
        preview: Some(rules::Preview {
            rule: text(),
            matched: text(),
            whose: text(),
            names: vec![((&hostile_name()).into(), text())],
            untold: 3,
        }),
    };
    check(&rules::Rules { frame: frame(), form, problem: Some(HOSTILE.into()), rules: rules.collect() });
}

#[test]
fn hostile_texts_stay_texts_on_the_pages_of_health_and_help() {
    let text = || HOSTILE.to_owned();
    check(&health::Health {
        frame: frame(),
        problems: vec![problem()],
        version: text(),
        started: times().ago(Timestamp::UNIX_EPOCH),
        uptime: text(),
        config_file: Some(text()),
        data_dir: Some(text()),
        listens: vec![text()],
        memory: Some(text()),
        upstreams: vec![health::UpstreamRow {
            address: text(),
            route: Some(text()),
            group: Some(text()),
            latency: text(),
            answered: text(),
            failed: text(),
            connections: Some(text()),
            problem: Some(text()),
        }],
        cache: crate::web::api::CacheStatus::default().into(),
        history: health::HistoryFacts {
            file: Some(text()),
            size: text(),
            flushed: None,
            unflushed: text(),
            gaps: vec![("not counted", text())],
        },
        lists: health::ListFacts {
            count: text(),
            rules: text(),
            own_rules: text(),
            failed: vec![text()],
            waiting: vec![text()],
        },
        refused: vec![("questions", text())],
    });
    check(&help::Help {
        frame: frame(),
        server: text(),
        is_known: true,
        server_v6: Some(text()),
        other_port: Some(5300),
        is_loopback: false,
        dig: text(),
        nslookup: text(),
        phone: help::Phone::new(text()),
    });
}

#[test]
fn hostile_texts_stay_texts_where_a_breakage_is_looked_for() {
    let text = || HOSTILE.to_owned();
    let suspect = fix::SuspectRow {
        name: (&hostile_name()).into(),
        who: Some((&tracker()).into()),
        behind: Some(hostile_name().to_string()),
        likelihood: "likely",
        why: text(),
        hits: text(),
        last: times().ago(Timestamp::UNIX_EPOCH),
        list: text(),
        rule: text(),
        button: button(),
        is_allowed: false,
    };
    let allowed = fix::AllowedRow {
        rule: text(),
        left: Some((text(), text())),
        keep: button(),
        take_back: button().unwrap(),
    };
    check(&fix::Fix {
        frame: frame(),
        device: (&device()).into(),
        spans: vec![fix::SpanChoice { minutes: 2, name: text(), is_current: true }],
        minutes: 10,
        suspects: vec![suspect],
        untold: 1,
        allowed: vec![allowed],
        ttl_secs: 300,
    });
    let pick = |here, others| fix::Pick { frame: frame(), here, others };
    check(&pick(Some((&device()).into()), vec![(&device()).into()]));
}

#[test]
fn hostile_texts_stay_texts_on_the_page_of_a_list() {
    let rules = vec![DiffRule { rule: HOSTILE.to_owned(), line: 1 }];
    let diff = Diff {
        from: revision(RevisionState::Kept),
        to: revision(RevisionState::InForce),
        came: rules.clone(),
        came_total: 2_000,
        went: rules,
        went_total: 1,
    };
    let name = NameCount {
        name: hostile_name(),
        behind: None,
        attribution: tracker(),
        totals: Totals { queries: 1, hits: 1_234 },
    };
    let without = WithoutList { names: vec![name; 101], ..WithoutList::default() };
    let status = list_status();
    let page = |changes| list::ListPage {
        frame: frame(),
        list: lists::ListCard::new(&status, &times(), HOSTILE, usize::MAX),
        revisions: list::RevisionRow::all(HOSTILE, &status.revisions, None, &times(), HOSTILE),
        changes,
        without: Some(Ok(list::WithoutView::new(&without))),
    };
    check(&page(None));
    check(&page(Some(Err(HOSTILE.into()))));
    let compared = page(Some(Ok(list::Changes::new(&diff, &times()))));
    check(&compared);
    let html = compared.render().unwrap();
    for told in [
        "<b>2,000 rules</b> came",
        "<b>1 rule</b> went",
        "1,999 more",
        "1,234 rules are held back",
        "1232 more.",
        "1 more.",
        "<b>0 hits on 0 names</b> would pass",
    ] {
        assert!(html.contains(told), "{told} in {html}");
    }
    let sends = |action: &str| html.matches(&format!("action=\"/lists/do/{action}\"")).count();
    assert_eq!(
        ["accept", "accept-rule", "accept-all-rules", "roll-back", "follow", "refresh", "remove"].map(sends),
        [2, 2, 1, 1, 1, 1, 1]
    );
}

#[test]
fn hostile_texts_stay_texts_on_the_page_of_local_names() {
    let text = || HOSTILE.to_owned();
    let name = LocalName { name: text(), record: text(), ttl_secs: 60, from: text() };
    check(&local::LocalPage { frame: frame(), names: vec![name], untold: 3 });
    check(&local::LocalPage { frame: frame(), names: Vec::new(), untold: 0 });
}

#[test]
fn hostile_texts_stay_texts_on_the_page_of_catalogues() {
    let status = CatalogueStatus {
        origin: CatalogueOrigin::Own(HOSTILE.into()),
        names: 1,
        products: 1,
        companies: 2_000,
        fetched: Some(Timestamp::UNIX_EPOCH),
        next: None,
        refreshing: true,
        problem: Some(HOSTILE.to_owned()),
    };
    let catalogues: Vec<_> = Catalogue::all(&[status])
        .into_iter()
        .map(|catalogue| catalogues::CatalogueCard::new(catalogue, &times()))
        .collect();
    let page = catalogues::Catalogues { frame: frame(), catalogues };
    check(&page);
    let html = page.render().unwrap();
    for told in ["1 name of 1 product of 2,000 companies", "CC-BY-NC-SA-4.0", "not in use"] {
        assert!(html.contains(told), "{told} in {html}");
    }
}

#[test]
fn of_many_rules_that_are_held_back_the_first_are_shown() {
    let status = SourceStatus { quarantined_total: 2, ..list_status() };
    let card = lists::ListCard::new(&status, &times(), "/", 1).held_back.unwrap();
    assert_eq!((card.rows.len(), card.untold, card.has_more), (1, 1, true));
    let card = lists::ListCard::new(&status, &times(), "/", 2).held_back.unwrap();
    assert_eq!((card.rows.len(), card.untold, card.has_more), (2, 0, false));
}

#[test]
fn why_a_text_waits_is_told_once() {
    let status = list_status();
    let reason = |problem: Option<&str>| {
        let status = SourceStatus { problem: problem.map(str::to_owned), ..status.clone() };
        lists::ListCard::new(&status, &times(), "/", 1).waiting.unwrap().reason.is_some()
    };
    let told = format!("A newer text waits for your word. {}", status.waiting.as_ref().unwrap().reason);
    assert!(reason(None) && reason(Some("Other.")) && !reason(Some(&told)));
}

#[test]
fn hostile_texts_stay_texts_among_well_known_lists() {
    let text = || HOSTILE.to_owned();
    let list = KnownList {
        name: text(),
        title: text(),
        about: text(),
        urls: vec![text()],
        format: text(),
        kind: text(),
        subdomains: false,
        licence: text(),
        homepage: format!("https://{HOSTILE}"),
        size: text(),
        level: text(),
    };
    let choice = Choice { name: text(), about: text(), lists: vec![text()] };
    let known = KnownLists { lists: vec![list], choices: vec![choice] };
    for lists in [vec![list_status()], Vec::new()] {
        let present = known_lists::Present::new(&lists);
        check(&known_lists::KnownListsPage {
            frame: frame(),
            formats: crate::list::Format::ALL.map(crate::list::Format::as_str),
            query: text(),
            found: "1 list".to_owned(),
            choices: vec![known_lists::ChoiceRow::new(&known.choices[0], &known, &present, HOSTILE)],
            levels: known_lists::grouped(&known, "", &present, HOSTILE),
        });
    }
    let list = KnownList { homepage: "javascript:alert(1)".to_owned(), ..known.lists[0].clone() };
    let row = known_lists::KnownRow::new(&list, &known_lists::Present::new(&[]), "/");
    assert_eq!(row.homepage, None);
}

#[test]
fn hostile_texts_stay_texts_in_explanations_and_errors() {
    let page = |outcome| explain::Explain {
        frame: frame(),
        typed: HOSTILE.to_owned(),
        on: Some((&device()).into()),
        outcome,
    };
    check(&page(explain::Outcome::Empty));
    check(&page(explain::Outcome::NotAName(HOSTILE.to_owned())));
    for own in [true, false] {
        let rules = vec![Explained { rule: rule(), lists: vec![HOSTILE.into()], action: Action::Block, own }];
        let policy = Policy::default();
        let mut explanation = explain::Explanation::new(&hostile_name(), rules, &policy, &tracker(), HOSTILE);
        explanation.rules[0].places = vec![(HOSTILE.to_owned(), vec![(3, HOSTILE.to_owned())])];
        explanation.without = [None, Some(rule())]
            .map(|rule| explain::WithoutRow { list: HOSTILE.to_owned(), word: "blocked", rule })
            .into();
        assert!(explanation.button.is_none(), "no rule can be written for such a name");
        check(&page(explain::Outcome::Name(Box::new(explanation))));
    }
    check(&ErrorPage { frame: frame(), status: 404, title: "Nothing here", message: HOSTILE.into() });
}

#[test]
fn a_link_to_a_list_is_a_web_address_or_none() {
    let origins =
        [("https://a.example/l", true), ("http://a.example/l", true), ("javascript:alert(1)", false)];
    for (url, is_link) in origins {
        let options = SourceOptions::new("l", Origin::Url(url.to_owned()));
        let status = SourceStatus::new(Arc::new(options));
        assert_eq!(lists::ListCard::new(&status, &times(), "/", 5).link.is_some(), is_link, "{url}");
    }
}

#[test]
fn the_built_in_list_is_as_old_as_the_program() {
    let options = SourceOptions::new(
        "l",
        Origin::BuiltIn(parse(b"||a.example^", ParseOptions::default()).rules.into()),
    );
    let status = SourceStatus {
        rules: 1,
        revision: Some(Timestamp::UNIX_EPOCH),
        ..SourceStatus::new(Arc::new(options))
    };
    let cards = vec![lists::ListCard::new(&status, &times(), "/", 5)];
    let page = lists::Lists { frame: frame(), rules: "1".into(), problem: None, lists: cards };
    let page = page.render().unwrap();
    assert!(page.contains("<dt>Copy in force from</dt><dd>pixelsink 0</dd>"), "{page}");
    assert_eq!(crate::web::api::List::from(&status).format.as_deref(), Some("built-in"));
}

#[test]
fn a_configured_rule_tells_that_the_page_overrules_it() {
    let own = |action, rule: &str, removable| OwnRuleStatus {
        ends: None,
        action,
        rule: OwnRule::parse(rule).unwrap(),
        file: "f".into(),
        line: 1,
        removable,
    };
    let all = [
        own(Action::Allow, "a.example", true),
        own(Action::Block, "a.example", false),
        own(Action::Allow, "a.example", false),
        own(Action::Block, "=a.example", false),
    ];
    let overruled = all.iter().map(|status| rules::RuleRow::new(status, &all, &[], None, "/").is_overruled);
    assert_eq!(overruled.collect::<Vec<_>>(), [false, true, false, false]);
}

#[test]
fn no_button_blocks_a_whole_top_level_domain() {
    let button = |name: &DomainName, is_blocked| {
        RuleButton::against(&Policy::default(), is_blocked, name, "/").map(|button| button.action)
    };
    for name in ["com", "lan"].map(|name| DomainName::parse(name).unwrap()) {
        assert_eq!((button(&name, false), button(&name, true)), (None, Some("allow")), "{name}");
    }
    assert_eq!((button(&DomainName::root(), false), button(&DomainName::root(), true)), (None, None));
}

#[test]
fn a_button_turns_round_what_is_said_of_a_name() {
    let name = DomainName::parse("pixel.example").unwrap();
    let policy = Policy::default();
    let action =
        |is_blocked| RuleButton::against(&policy, is_blocked, &name, "/").map(|button| button.action);
    assert_eq!(action(true), Some("allow"));
    assert_eq!(action(false), Some("block"));
    assert!(RuleButton::against(&policy, false, &hostile_name(), "/").is_none());
    assert!(Who::behind(&Attribution::Domain(name)).is_none());
    assert_eq!(Prose::from("plain").parts.len(), 1);
}
