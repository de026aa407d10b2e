//! What strangers answer when they are asked for their name, and what forwarders say for whom they ask.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::device::tidy_name;
use pixelsink::discovery::hostnames::read_for_fuzzing;
use pixelsink::wire::parse;

fuzz_target!(|packet: &[u8]| {
    if let Some(name) = read_for_fuzzing(packet) {
        assert_eq!(tidy_name(&name), Some(name));
    }
    if let Ok(query) = parse(packet) {
        query.on_behalf();
    }
});
