//! Names made fit to be shown: what the network calls a device is text of strangers.

/// The longest name that a person may give, in octets.
pub const NAME_LEN_MAX: usize = 63;
/// The longest host name that is looked at (RFC 1035 section 2.3.4), in octets.
pub const HOST_NAME_LEN_MAX: usize = 255;

/// A name as it can be shown: control characters, marks that turn the direction of text or take no room, and what is not
/// assigned to a character of its own are taken out, white space becomes single spaces, and what is longer than
/// [`NAME_LEN_MAX`] is cut. `None` when nothing is left. It is not escaped: whoever writes HTML does that.
pub fn tidy_name(text: &str) -> Option<String> {
    let mut tidy = String::new();
    // What comes behind a host name of the greatest length can't be part of one.
    for c in text.chars().take(HOST_NAME_LEN_MAX) {
        let c = if c.is_whitespace() { ' ' } else { c };
        let is_doubled = c == ' ' && (tidy.is_empty() || tidy.ends_with(' '));
        if is_doubled || is_unseen(c) {
            continue;
        }
        if NAME_LEN_MAX < tidy.len() + c.len_utf8() {
            break;
        }
        tidy.push(c);
    }
    tidy.truncate(tidy.trim_end().len());
    (!tidy.is_empty()).then_some(tidy)
}

/// The first label of a host name, tidied: the rest says where it is, which is here. `None` where it only repeats an address
/// (`192-168-1-5.lan`), or is `localhost`.
pub fn tidy_host_name(text: &str) -> Option<String> {
    let label = text.trim().trim_end_matches('.').split('.').next()?;
    let name = tidy_name(label)?;
    let digits = name.chars().filter(char::is_ascii_digit).count();
    let is_address = 4 <= digits
        && (name.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '-' | '_' | ':'))
            || name
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .split(['-', '_'])
                .filter(|part| part.parse::<u8>().is_ok())
                .count()
                == 4);
    let says_nothing = matches!(&*name.to_ascii_lowercase(), "localhost" | "unknown" | "*" | "-" | "(none)");
    (!is_address && !says_nothing).then_some(name)
}

/// Characters that are not seen, or change how others are: control characters, marks of direction (Unicode Standard Annex
/// #9), what takes no room, variation selectors and tags, noncharacters, and private use.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{10ffff}')
}

/// Words at the end of a company's name that people leave out, in small letters.
const LEGAL_FORMS: &[&str] = &[
    "ab",
    "ag",
    "as",
    "bv",
    "co",
    "company",
    "corp",
    "corporate",
    "corporation",
    "gmbh",
    "inc",
    "incorporated",
    "international",
    "kg",
    "limited",
    "llc",
    "ltd",
    "nv",
    "oy",
    "plc",
    "pte",
    "pty",
    "sa",
    "sarl",
    "sas",
    "se",
    "spa",
    "srl",
    "technologies",
    "technology",
    "electronics",
    "communications",
    "systems",
    "group",
    "holdings",
    "industrial",
    "computer",
    "mobile",
    "devices",
    "networks",
];

/// Places that Chinese vendors begin their names with, in small letters.
const PLACES: &[&str] = &[
    "beijing",
    "dongguan",
    "guangdong",
    "guangzhou",
    "hangzhou",
    "hui",
    "huizhou",
    "nanjing",
    "ningbo",
    "qingdao",
    "shanghai",
    "shenzhen",
    "sichuan",
    "suzhou",
    "tianjin",
    "wuhan",
    "wuxi",
    "xiamen",
    "zhejiang",
    "zhuhai",
];

/// A vendor as people call it: "Samsung Electronics Co.,Ltd" is "Samsung".
pub fn short_vendor(text: &str) -> String {
    let text = tidy_name(text).unwrap_or_default();
    // What stands in brackets or behind a comma is about the company.
    let cut = text.split(['(', ',']).next().unwrap_or_default();
    let mut words: Vec<&str> = cut.split_whitespace().collect();
    let plain = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    while 1 < words.len()
        && words.last().is_some_and(|word| LEGAL_FORMS.contains(&&*plain(word)) || plain(word).is_empty())
    {
        words.pop();
    }
    while 1 < words.len() && words.first().is_some_and(|word| PLACES.contains(&&*plain(word))) {
        words.remove(0);
    }
    let words = words.into_iter().map(|word| {
        let word = word.trim_end_matches(['.', ',']);
        let is_shouted = 4 < word.len() && word.chars().all(|c| c.is_ascii_uppercase());
        if is_shouted {
            word.chars().take(1).chain(word.chars().skip(1).map(|c| c.to_ascii_lowercase())).collect()
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_made_fit_to_be_shown() {
        for (text, tidy) in [
            ("Anna's iPhone", Some("Anna's iPhone")),
            ("  a \t\r\n b  ", Some("a b")),
            ("<script>alert(1)</script>", Some("<script>alert(1)</script>")),
            ("tv\u{202e}gpj.exe", Some("tvgpj.exe")),
            ("a\u{200b}\u{feff}b\u{0}\u{7f}", Some("ab")),
            ("\u{200f}\u{2066}", None),
            ("", None),
            ("Küche 📺", Some("Küche 📺")),
        ] {
            assert_eq!(tidy_name(text).as_deref(), tidy, "{text:?}");
        }
        assert_eq!(tidy_name(&"ä".repeat(300)).map(|name| name.len()), Some(62));
    }

    #[test]
    fn host_names_are_cut_to_what_they_say() {
        for (text, tidy) in [
            ("Annas-iPhone.local", Some("Annas-iPhone")),
            ("tv.fritz.box.", Some("tv")),
            ("192-168-1-5.lan", None),
            ("ip-192-168-1-5.example", None),
            ("host192_168_1_5", None),
            ("localhost", None),
            ("*", None),
            ("ps5-1234", Some("ps5-1234")),
            ("", None),
            (".", None),
        ] {
            assert_eq!(tidy_host_name(text).as_deref(), tidy, "{text:?}");
        }
    }

    #[test]
    fn vendors_are_called_as_people_do() {
        for (text, short) in [
            ("Samsung Electronics Co.,Ltd", "Samsung"),
            ("Apple, Inc.", "Apple"),
            ("XEROX CORPORATION", "Xerox"),
            ("Hangzhou Hikvision Digital Technology Co.,Ltd.", "Hikvision Digital"),
            ("Sony Interactive Entertainment Inc.", "Sony Interactive Entertainment"),
            ("AVM GmbH", "AVM"),
            ("Cisco Systems, Inc", "Cisco"),
            ("Amazon Technologies Inc.", "Amazon"),
            ("HUAWEI TECHNOLOGIES CO.,LTD", "Huawei"),
            ("Hewlett Packard", "Hewlett Packard"),
            ("Espressif Inc.", "Espressif"),
            ("Co., Ltd", "Co"),
            ("", ""),
        ] {
            assert_eq!(short_vendor(text), short, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_tidy_stays_as_it_is(text in any::<String>()) {
            if let Some(name) = tidy_name(&text) {
                prop_assert!(name.len() <= NAME_LEN_MAX && !name.is_empty());
                prop_assert!(!name.chars().any(|c| c.is_control() || is_unseen(c)) && !name.contains("  "));
                prop_assert_eq!(tidy_name(&name), Some(name));
            }
            tidy_host_name(&text);
            short_vendor(&text);
        }
    }
}
