//! Files of leases, with names that strangers chose: reading never panics, and every name can be shown as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::device::tidy_name;
use pixelsink::discovery::leases::parse;

fuzz_target!(|text: &[u8]| {
    for lease in parse(text).unwrap_or_default() {
        assert_eq!(tidy_name(&lease.name).as_deref(), Some(&*lease.name));
        assert!(lease.mac.is_some() || lease.address.is_some());
    }
});
