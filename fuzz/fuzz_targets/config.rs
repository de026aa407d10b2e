//! Configurations: reading never panics, and every problem can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::config::Config;

fuzz_target!(|text: &str| {
    if let Err(error) = Config::parse(text, "pixelsink.toml".as_ref()) {
        error.render(false);
    }
});
