//! What people write as an upstream, and as the pin of its key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::resolve::{Pin, UpstreamAddress, UpstreamOptions};

fuzz_target!(|text: &str| {
    if let Ok(address) = text.parse::<UpstreamAddress>() {
        assert_eq!(address.to_string().parse(), Ok(address.clone()));
        let _ = UpstreamOptions::from(address).checked();
    }
    if let Ok(pin) = text.parse::<Pin>() {
        assert_eq!(pin.to_string().parse(), Ok(pin));
    }
});
