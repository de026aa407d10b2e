//! Which of the names that were blocked is the likeliest cause of something that stopped working (pure).
//!
//! Nobody can know. What is weighed here are signs that people who mend such things go by: a name that was never blocked
//! before, words in it that speak of a function or of tracking, what else the catalogue says that it is used for, and how
//! many lists agree. Each sign is told in words beside the name, so that a person can judge better than the sum does.

use std::collections::HashMap;

use crate::name::{DomainName, NameRef};
use crate::tracker::{Catalogue, Level};

/// Words of names that sites and apps need.
const FUNCTION: [&str; 42] = [
    "account", "accounts", "api", "app", "apps", "asset", "assets", "auth", "basket", "cart", "cdn",
    "checkout", "config", "content", "download", "fonts", "gateway", "identity", "image", "images", "img",
    "launcher", "license", "login", "maps", "media", "oauth", "pay", "payment", "payments", "player", "push",
    "session", "signin", "sso", "static", "store", "stream", "update", "updates", "video", "videos",
];
/// Words of names that report what people do.
const TRACKING: [&str; 36] = [
    "ad",
    "ads",
    "adserver",
    "adservice",
    "adserving",
    "adsystem",
    "advertising",
    "analytics",
    "banner",
    "beacon",
    "beacons",
    "click",
    "clicks",
    "collect",
    "collector",
    "count",
    "counter",
    "crash",
    "event",
    "events",
    "impression",
    "log",
    "logger",
    "logs",
    "marketing",
    "metric",
    "metrics",
    "pixel",
    "pixels",
    "px",
    "stat",
    "stats",
    "telemetry",
    "track",
    "tracker",
    "tracking",
];

/// What is known of a blocked name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs<'a> {
    /// The name that was asked for.
    pub(super) name: &'a DomainName,
    /// It had never been blocked on this device.
    pub(super) is_first_time: bool,
    /// What the catalogue says that it is used for, besides tracking.
    pub(super) level: Option<Level>,
    /// Whether the catalogue knows it.
    pub(super) is_known_tracker: bool,
    /// How many lists block it.
    pub(super) lists: usize,
    /// A person blocked it themselves.
    pub(super) is_own: bool,
}

/// How likely a name is the cause, and the signs in words, the weightiest first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Likelihood {
    pub(super) score: i32,
    pub(super) why: Vec<String>,
}

impl Likelihood {
    pub(super) fn of(signs: &Signs<'_>) -> Self {
        let words = words(signs.name.as_ref());
        let find = |of: &[&str]| words.iter().find(|word| of.binary_search(&word.as_str()).is_ok());
        let (function, tracking) = (find(&FUNCTION), find(&TRACKING));
        let mut weighed: Vec<(i32, String)> = Vec::new();
        let mut weigh = |points: i32, why: String| weighed.push((points, why));
        if signs.is_first_time {
            weigh(3, "blocked on this device for the first time".to_owned());
        }
        if signs.is_own {
            weigh(2, "you blocked it yourself".to_owned());
        }
        match signs.level {
            Some(Level::Shared) => weigh(3, "known for functions of sites and apps too".to_owned()),
            Some(Level::Links) => weigh(2, "known for links in mails too".to_owned()),
            Some(Level::Pixel) => weigh(-3, "known for tracking only".to_owned()),
            None if !signs.is_known_tracker => weigh(1, "no tracker that the catalogue knows".to_owned()),
            None => {}
        }
        // Both kinds of words say nothing.
        match (function, tracking) {
            (Some(word), None) => weigh(3, format!("“{word}” in the name speaks of a function")),
            (None, Some(word)) => weigh(-3, format!("“{word}” in the name speaks of tracking")),
            _ => {}
        }
        if signs.lists == 1 && !signs.is_own {
            weigh(1, "on one list only".to_owned());
        }
        let score = weighed.iter().map(|(points, _)| points).sum();
        weighed.sort_by_key(|(points, _)| std::cmp::Reverse(points.abs()));
        Self { score, why: weighed.into_iter().map(|(_, why)| why).collect() }
    }

    /// The sum in a word.
    pub(super) const fn word(&self) -> &'static str {
        match self.score {
            5.. => "likely",
            3..5 => "possible",
            _ => "unlikely",
        }
    }
}

/// The words of a name in lower case, but for its last label: what digits, hyphens and underscores separate.
fn words(name: NameRef<'_>) -> Vec<String> {
    let labels: Vec<String> =
        name.labels().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    let before = labels.len().saturating_sub(1);
    let labels = labels.iter().take(before);
    let words = labels.flat_map(|label| label.split(|character: char| !character.is_ascii_alphabetic()));
    words.filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
}

/// What the names of the catalogue are used for.
pub(super) struct Levels<'a>(HashMap<&'a [u8], (Level, bool)>);

impl<'a> Levels<'a> {
    pub(super) fn new(catalogue: &'a Catalogue) -> Self {
        let entry =
            |entry: &'a crate::tracker::Entry| (entry.name.as_ref().as_wire(), (entry.level, entry.exact));
        // Public catalogues do not grade their names. Of two that say the same, the stronger comes first and stays.
        let graded = catalogue.entries().iter().rev().filter(|entry| entry.is_graded());
        Self(graded.map(entry).collect())
    }

    /// As the most specific entry that covers `name` says.
    pub(super) fn of(&self, name: NameRef<'_>) -> Option<Level> {
        name.ancestors().find_map(|ancestor| {
            let (level, exact) = self.0.get(ancestor.as_wire())?;
            (!exact || ancestor == name).then_some(*level)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_order_so_that_they_are_found() {
        assert!(FUNCTION.is_sorted() && TRACKING.is_sorted());
    }

    #[track_caller]
    fn check(name: &str, signs: impl FnOnce(&mut Signs<'_>), word: &str, why: &[&str]) {
        let name = DomainName::parse(name).unwrap();
        let mut given = Signs {
            name: &name,
            is_first_time: false,
            level: None,
            is_known_tracker: false,
            lists: 2,
            is_own: false,
        };
        signs(&mut given);
        let likelihood = Likelihood::of(&given);
        assert_eq!((likelihood.word(), likelihood.why.join("; ")), (word, why.join("; ")), "{likelihood:?}");
    }

    #[test]
    fn what_is_new_and_speaks_of_a_function_comes_first() {
        let unknown = "no tracker that the catalogue knows";
        let first = "blocked on this device for the first time";
        check(
            "login.shop.example",
            |it| it.is_first_time = true,
            "likely",
            &[first, "“login” in the name speaks of a function", unknown],
        );
        check("cdn3.shop.example", |_| (), "possible", &["“cdn” in the name speaks of a function", unknown]);
        check("shop.example", |it| it.lists = 1, "unlikely", &[unknown, "on one list only"]);
        check("shop.example", |_| (), "unlikely", &[unknown]);
    }

    #[test]
    fn what_only_tracks_comes_last() {
        let level = |level| {
            move |it: &mut Signs<'_>| {
                (it.level, it.is_known_tracker, it.is_first_time) = (Some(level), true, true);
            }
        };
        let first = "blocked on this device for the first time";
        check(
            "px.vendor.example",
            level(Level::Pixel),
            "unlikely",
            &[first, "known for tracking only", "“px” in the name speaks of tracking"],
        );
        check(
            "x.vendor.example",
            level(Level::Shared),
            "likely",
            &[first, "known for functions of sites and apps too"],
        );
        check("x.vendor.example", level(Level::Links), "likely", &[first, "known for links in mails too"]);
    }

    #[test]
    fn words_that_contradict_each_other_and_parts_of_words_say_nothing() {
        let unknown = ["no tracker that the catalogue knows"];
        for name in ["ads-api.shop.example", "loads.example", "downloads-adsl.example", "api", "shop.ads"] {
            check(name, |_| (), "unlikely", &unknown);
        }
        check(
            "mine.example",
            |it| (it.is_own, it.lists) = (true, 1),
            "possible",
            &["you blocked it yourself", unknown[0]],
        );
    }

    #[test]
    fn the_most_specific_name_of_the_catalogue_tells_its_level() {
        let text = "[T]\ncompany C\nkind web-analytics\npixel tracker.example\nshared =app.tracker.example\n";
        let (catalogue, mistakes) = Catalogue::parse(text);
        assert!(mistakes.is_empty());
        let levels = Levels::new(&catalogue);
        for (name, level) in [
            ("a.tracker.example", Some(Level::Pixel)),
            ("app.tracker.example", Some(Level::Shared)),
            ("b.app.tracker.example", Some(Level::Pixel)),
            ("example", None),
        ] {
            assert_eq!(levels.of(DomainName::parse(name).unwrap().as_ref()), level, "{name}");
        }
    }
}
