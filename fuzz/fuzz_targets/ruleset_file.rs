//! Ruleset files as a failing disk, another program or a stranger leaves them: opening and looking up never panics, and no name
//! is ever covered by a rule that was not compiled for it.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pixelsink::list::{ParseOptions, parse};
use pixelsink::name::DomainName;
use pixelsink::ruleset::{Asked, BuildOptions, Builder, Ruleset, SourceId};
use xxhash_rust::xxh3::xxh3_64;

/// Rules of every kind, in several blocks.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let many: String = (0..80).map(|number| format!("t{number}.x{}.example\n", number % 7)).collect();
    format!(
        "||deep.example^\n@@||fine.deep.example^\n||strong.example^$important,client='tv'|10.0.0.0/8\n\
         ||answer.example^$dnsrewrite=192.0.2.1\n||alias.example^$dnsrewrite=to.example,dnstype=A|AAAA\n\
         ||big.example^$denyallow=good.big.example\n/^stat[0-9]+\\./\n||ads*.example^\n\
         *.below.example CNAME .\n32.7.100.51.198.rpz-ip CNAME .\n{many}"
    )
});

struct Valid {
    path: PathBuf,
    octets: Vec<u8>,
    names: Vec<DomainName>,
    /// What is said of each name by the file as it was written.
    said: Vec<Vec<String>>,
}

const FINGERPRINT: [u8; 32] = [7; 32];

static VALID: LazyLock<Valid> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("pixelsink-fuzz-{}.bin", std::process::id()));
    let mut builder = Builder::new(BuildOptions::default());
    let options = ParseOptions::default();
    for (index, rule) in parse(TEXT.as_bytes(), options).rules.iter().enumerate() {
        builder.add(SourceId(index as u16 % 3), false, rule).unwrap();
    }
    let (ruleset, _) = builder.finish_to(&path, FINGERPRINT, |_| b"notes".to_vec()).unwrap();
    let mut texts: Vec<String> = (0..80).map(|number| format!("t{number}.x{}.example", number % 7)).collect();
    texts.extend(
        ["a.deep.example", "fine.deep.example", "strong.example", "answer.example", "alias.example", "ads1.example"]
            .map(str::to_owned),
    );
    texts.extend(["good.big.example", "stat7.example", "a.below.example", "x.example", "t1.x2.example", "com"].map(str::to_owned));
    let names: Vec<DomainName> = texts.iter().map(|text| DomainName::parse(text).unwrap()).collect();
    let said = names.iter().map(|name| said(&ruleset, name)).collect();
    Valid { octets: std::fs::read(&path).unwrap(), path, names, said }
});

fn said(ruleset: &Ruleset, name: &DomainName) -> Vec<String> {
    let asked = Asked::by_anyone(name.as_ref());
    ruleset.lookup(&asked);
    ruleset.matches(&asked).iter().map(|found| format!("{} {:?}", found.rule(), found.source())).collect()
}

fn use_all(ruleset: &Ruleset) {
    for name in &VALID.names {
        said(ruleset, name);
    }
    let name = VALID.names[0].as_ref();
    for address in ["198.51.100.7", "192.0.2.1", "2001:db8::1"] {
        ruleset.address_matches(address.parse().unwrap(), &Asked::by_anyone(name)).len();
    }
    ruleset.for_each(|rule, sources| {
        std::hint::black_box((rule.to_string(), sources.count()));
    });
}

/// Makes all checksums right, so that what is behind them is looked at too.
fn mend(octets: &mut [u8]) {
    const SECTIONS: usize = 11;
    let long = |octets: &[u8], at: usize| {
        octets.get(at..at + 8).map_or(0, |number| u64::from_le_bytes(number.try_into().unwrap()) as usize)
    };
    for section in 0..SECTIONS {
        let at = 64 + section * 24;
        let (start, length) = (long(octets, at), long(octets, at + 8));
        let Some(sum) = start.checked_add(length).and_then(|end| octets.get(start..end)).map(xxh3_64) else { continue };
        if let Some(place) = octets.get_mut(at + 16..at + 24) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
    }
    let end = 64 + SECTIONS * 24;
    if end + 8 <= octets.len() {
        let sum = xxh3_64(&octets[..end]);
        octets[end..end + 8].copy_from_slice(&sum.to_le_bytes());
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&how, input)) = input.split_first() else { return };
    let valid = &*VALID;
    let octets = if how & 3 == 0 {
        input.to_vec()
    } else {
        // Three octets an edit: where, and what is turned over there.
        let mut octets = valid.octets.clone();
        for edit in input.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % octets.len();
            octets[at] ^= edit[2];
        }
        if how & 4 != 0 {
            octets.truncate(usize::from(how) * 31 % valid.octets.len());
        }
        octets
    };
    let is_mended = how & 3 == 3;
    let mut octets = octets;
    if is_mended {
        mend(&mut octets);
    }
    std::fs::write(&valid.path, &octets).unwrap();
    let opened = Ruleset::open(&valid.path, &FINGERPRINT);
    let is_whole = Ruleset::verify(&valid.path).is_ok();
    let Ok(ruleset) = opened else {
        assert_ne!(octets, valid.octets);
        return;
    };
    use_all(&ruleset);
    if is_mended || how & 3 == 0 {
        return;
    }
    for (name, before) in valid.names.iter().zip(&valid.said) {
        // A block that is damaged has none of its names; nothing else may be said.
        for rule in said(&ruleset, name) {
            assert!(before.contains(&rule), "{name}: {rule}");
        }
        assert!(!is_whole || said(&ruleset, name) == *before);
    }
});
