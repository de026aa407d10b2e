//! Hosts files and records that people write: reading never panics, and what was read can be looked up.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use pixelsink::local::{Builder, Bypass, WrittenRecord, read_hosts};
use pixelsink::name::DomainName;

fuzz_target!(|text: &[u8]| {
    let file = read_hosts(text);
    let mut builder = Builder::new(DomainName::parse("home.arpa").ok(), 60, Bypass::default());
    builder.hosts(&Arc::from("hosts"), &file);
    for line in String::from_utf8_lossy(text).lines() {
        if let Ok(record) = WrittenRecord::parse(line) {
            let _ = builder.written(&record, 1);
        }
    }
    let local = builder.build();
    for name in file.lines.iter().flat_map(|line| &line.names) {
        assert!(local.answer(name.as_ref(), 1).is_some());
    }
});
