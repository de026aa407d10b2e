//! Holds the built-in list to what `blocklists/README.md` promises.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pixelsink::list::{Action, Rule, Scope};
use pixelsink::name::DomainName;
use pixelsink::ruleset::{Asked, BuildOptions, Builder, Ruleset, SourceId};
use pixelsink::tracker::{Attribution, BUILT_IN, Catalogue, Kind, Level, Part, registrable_domain};

/// What people ask for by name, or what sites, apps and devices need to work. Nothing of it may be blocked unasked.
const NEEDED: &str = "
    google.com www.google.com accounts.google.com maps.google.com mail.google.com drive.google.com play.google.com
    fonts.googleapis.com fonts.gstatic.com ajax.googleapis.com www.gstatic.com ssl.gstatic.com www.googleapis.com
    www.googletagmanager.com connectivitycheck.gstatic.com clients3.google.com android.clients.google.com
    www.recaptcha.net youtube.com www.youtube.com i.ytimg.com youtubei.googleapis.com s.youtube.com
    facebook.com www.facebook.com connect.facebook.net graph.facebook.com static.xx.fbcdn.net instagram.com
    i.instagram.com graph.instagram.com whatsapp.com web.whatsapp.com g.whatsapp.net mmg.whatsapp.net messenger.com
    apple.com www.apple.com appleid.apple.com gsa.apple.com captive.apple.com itunes.apple.com init.itunes.apple.com
    mesu.apple.com swcdn.apple.com push.apple.com courier.push.apple.com icloud.com gateway.icloud.com time.apple.com
    microsoft.com www.microsoft.com login.microsoftonline.com login.live.com outlook.office365.com office.com
    teams.microsoft.com graph.microsoft.com www.msftconnecttest.com www.msftncsi.com windowsupdate.microsoft.com
    update.microsoft.com download.windowsupdate.com settings-win.data.microsoft.com time.windows.com xboxlive.com
    amazon.com www.amazon.com images-na.ssl-images-amazon.com m.media-amazon.com api.amazon.com alexa.amazon.com
    s3.amazonaws.com cloudfront.net netflix.com www.netflix.com nflxvideo.net api-global.netflix.com hulu.com
    disneyplus.com spotify.com open.spotify.com apresolve.spotify.com twitter.com x.com api.twitter.com
    abs.twimg.com pbs.twimg.com t.co linkedin.com www.linkedin.com static.licdn.com pinterest.com i.pinimg.com
    reddit.com www.reddit.com i.redd.it tiktok.com www.tiktok.com snapchat.com twitch.tv www.twitch.tv usher.ttvnw.net
    wikipedia.org en.wikipedia.org upload.wikimedia.org github.com raw.githubusercontent.com cdn.jsdelivr.net
    cdnjs.cloudflare.com unpkg.com code.jquery.com cloudflare.com challenges.cloudflare.com one.one.one.one
    paypal.com www.paypal.com www.paypalobjects.com js.stripe.com api.stripe.com m.stripe.network checkout.stripe.com
    hcaptcha.com js.hcaptcha.com akamaihd.net akamaized.net fastly.net zoom.us slack.com discord.com
    gateway.discord.gg signal.org telegram.org ebay.com www.ebay.com etsy.com booking.com airbnb.com uber.com
    roku.com api.roku.com samsung.com www.samsung.com lgtvsdp.com lgappstv.com sonyentertainmentnetwork.com
    playstation.net nintendo.net steampowered.com steamcommunity.com epicgames.com roblox.com mozilla.org
    detectportal.firefox.com addons.mozilla.org bing.com www.bing.com duckduckgo.com yahoo.com mail.yahoo.com
    baidu.com www.baidu.com qq.com weixin.qq.com yandex.ru vk.com mailchimp.com hubspot.com salesforce.com
    fcm.googleapis.com mtalk.google.com pool.ntp.org 0.debian.pool.ntp.org deb.debian.org
    firebaseremoteconfig.googleapis.com firebaseinstallations.googleapis.com onesignal.com cdn.cookielaw.org
    consent.cookiebot.com consensu.org sentry.io zendesk.com intercom.io widget.intercom.io js.hs-scripts.com
";

fn catalogue() -> Catalogue {
    let (catalogue, errors) = Catalogue::parse(BUILT_IN);
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    catalogue
}

/// The rules that the daemon makes of these levels.
fn ruleset(catalogue: &Catalogue, levels: &[Level]) -> Ruleset {
    let mut builder = Builder::new(BuildOptions::default());
    for entry in catalogue.entries().iter().filter(|entry| levels.contains(&entry.level)) {
        let scope = if entry.exact { Scope::Exact } else { Scope::Subtree };
        let rule = Rule::plain(entry.name.clone(), scope, Action::Block, entry.line);
        builder.add(SourceId(0), false, &rule).unwrap();
    }
    builder.finish_in_memory().unwrap().0
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

#[test]
fn there_is_enough_of_every_kind() {
    let catalogue = catalogue();
    let trackers = catalogue.trackers();
    let companies: BTreeSet<&str> = trackers.iter().map(|tracker| tracker.company.as_str()).collect();
    assert!(1_500 <= catalogue.entries().len() && 500 <= trackers.len() && 300 <= companies.len());
    let pixels = catalogue.entries().iter().filter(|entry| entry.level == Level::Pixel).count();
    assert!(1_000 <= pixels, "{pixels} names that serve tracking only");
    // Only public catalogues have what is no tracker.
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Other) {
        let of_kind = |entry: &&pixelsink::tracker::Entry| trackers[entry.tracker].kind == kind;
        let count = catalogue.entries().iter().filter(of_kind).count();
        assert!(60 <= count, "only {count} names of {}", kind.label());
    }
}

#[test]
fn the_default_breaks_nothing_that_people_ask_for() {
    let ruleset = ruleset(&catalogue(), &[Level::Pixel]);
    let blocked: Vec<&str> = NEEDED
        .split_ascii_whitespace()
        .filter(|needed| ruleset.lookup(&Asked::by_anyone(name(needed).as_ref())).is_some())
        .collect();
    assert!(blocked.is_empty(), "blocked by default: {}", blocked.join(" "));
}

#[test]
fn the_default_blocks_what_everyone_expects() {
    let ruleset = ruleset(&catalogue(), &[Level::Pixel]);
    for tracker in [
        "www.google-analytics.com",
        "region1.google-analytics.com",
        "bat.bing.com",
        "px.ads.linkedin.com",
        "ct.pinterest.com",
        "tr.snapchat.com",
        "analytics.tiktok.com",
        "sb.scorecardresearch.com",
        "script.hotjar.com",
        "www.clarity.ms",
        "rs.fullstory.com",
        "emltrk.com",
        "pippio.com",
        "cdn.samba.tv",
        "logs.roku.com",
        "vortex.data.microsoft.com",
        "metrics.icloud.com",
    ] {
        assert!(
            ruleset.lookup(&Asked::by_anyone(name(tracker).as_ref())).is_some(),
            "{tracker} is not blocked"
        );
    }
}

#[test]
fn no_entry_covers_a_public_suffix_or_repeats_another() {
    let catalogue = catalogue();
    let mut seen: HashMap<&DomainName, Level> = HashMap::new();
    for entry in catalogue.entries() {
        let text = entry.name.to_string();
        assert!(psl::domain_str(&text).is_some(), "line {}: {text} is a public suffix", entry.line);
        seen.insert(&entry.name, entry.level);
    }
    for entry in catalogue.entries() {
        for parent in entry.name.as_ref().ancestors().skip(1).map(|parent| parent.to_owned()) {
            let above = seen.get(&parent);
            assert!(
                above != Some(&entry.level),
                "line {}: {} is covered by {parent}",
                entry.line,
                entry.name
            );
            // Otherwise blocking what is above by default would block this one too.
            assert!(
                above.is_none_or(|above| entry.level <= *above),
                "line {}: {} stands below {parent}, which is blocked sooner",
                entry.line,
                entry.name
            );
        }
    }
}

#[test]
fn each_company_has_one_parent_and_each_product_a_sentence() {
    let catalogue = catalogue();
    let mut parents: BTreeMap<&str, &Option<String>> = BTreeMap::new();
    let mut products = HashSet::new();
    for tracker in catalogue.trackers() {
        let known = *parents.entry(&tracker.company).or_insert(&tracker.parent);
        assert_eq!(known, &tracker.parent, "the parent of {}", tracker.company);
        assert!(products.insert((tracker.kind, &tracker.product)), "{} twice", tracker.product);
        let reports = tracker.reports.as_deref().unwrap_or_default();
        assert!(reports.ends_with('.') && reports.chars().count() <= 120, "{}: {reports:?}", tracker.product);
    }
}

/// What a company's page is good for: a browser of the house can open it, whatever is blocked by default.
#[test]
fn the_privacy_pages_of_the_larger_companies_are_known_and_not_blocked() {
    let catalogue = catalogue();
    let ruleset = ruleset(&catalogue, &[Level::Pixel]);
    let (part, _) = Part::parse(BUILT_IN);
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in catalogue.entries() {
        *names.entry(&catalogue.trackers()[entry.tracker].company).or_default() += 1;
    }
    let pages: BTreeMap<&str, &str> = catalogue
        .trackers()
        .iter()
        .filter_map(|tracker| Some((tracker.company.as_str(), tracker.privacy.as_deref()?)))
        .collect();
    assert!(250 <= pages.len(), "only {} companies have a page", pages.len());
    let with_page: usize =
        names.iter().filter(|(company, _)| pages.contains_key(*company)).map(|(_, names)| names).sum();
    assert!(catalogue.entries().len() < 2 * with_page, "less than half of the names have a page");
    for (company, page) in pages {
        let host = page.trim_start_matches("https://").split('/').next().unwrap();
        let blocked = ruleset.lookup(&Asked::by_anyone(name(host).as_ref())).is_some();
        assert!(!blocked, "{page} of {company} is blocked by default");
    }
    for (company, _) in part.company_facts() {
        assert!(names.contains_key(company), "{company} has no product");
    }
}

#[test]
fn a_name_is_told_with_its_company() {
    let catalogue = catalogue();
    for (text, company) in [
        ("www.google-analytics.com", "Google"),
        ("connect.facebook.net", "Meta"),
        ("list-manage.com", "Intuit"),
        ("t.yesware.com", "Yesware"),
    ] {
        let Attribution::Tracker(tracker) = catalogue.attribute(name(text).as_ref()) else {
            panic!("{text}")
        };
        let told = [Some(tracker.company.as_str()), tracker.parent.as_deref()];
        assert!(told.contains(&Some(company)), "{text} belongs to {told:?}");
    }
    let Attribution::Tracker(tracker) = catalogue.attribute(name("www.google-analytics.com").as_ref()) else {
        panic!()
    };
    assert_eq!(tracker.privacy.as_deref(), Some("https://adssettings.google.com/"), "a product inherits it");
    assert_eq!(registrable_domain(name("a.b.example.co.uk").as_ref()), name("example.co.uk"));
}

/// The table of pixel endpoints that the catalogue was written from is not shipped; `PIXELSINK_TEST_PIXELS` names it (tab
/// separated, the name first; it may end in `.zst`).
#[test]
fn every_known_pixel_has_a_product_and_a_company() {
    let Some(file) = std::env::var_os("PIXELSINK_TEST_PIXELS").map(std::path::PathBuf::from) else {
        eprintln!("PIXELSINK_TEST_PIXELS names no file; the table of pixels was not compared");
        return;
    };
    let raw = std::fs::read(&file).unwrap();
    let is_packed = file.extension().is_some_and(|extension| extension == "zst");
    let text = if is_packed { zstd::decode_all(&*raw).unwrap() } else { raw };
    let text = String::from_utf8(text).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let names: Vec<&str> = rows.filter_map(|row| row.split('\t').next()).collect();
    assert!(200 <= names.len(), "only {} names in the table", names.len());
    let catalogue = catalogue();
    let is_nobodys =
        |text: &&&str| matches!(catalogue.attribute(name(text).as_ref()), Attribution::Domain(_));
    let nobodys: Vec<&&str> = names.iter().filter(is_nobodys).collect();
    assert!(nobodys.is_empty(), "{nobodys:?}");
}
