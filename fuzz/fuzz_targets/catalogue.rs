//! Catalogues of trackers: reading never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::list::OwnRule;
use pixelsink::tracker::{Catalogue, PublicCatalogue};

fuzz_target!(|text: &str| {
    let _ = Catalogue::parse(text);
    for catalogue in PublicCatalogue::ALL {
        let _ = catalogue.read(&[text.as_bytes(), text.as_bytes()]);
    }
    if let Ok(rule) = OwnRule::parse(text) {
        assert_eq!(OwnRule::parse(&rule.to_string()), Ok(rule));
    }
});
