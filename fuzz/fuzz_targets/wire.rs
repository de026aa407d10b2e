//! Packets from clients and answers from upstreams: reading never panics, and what is composed can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::wire::{self, Rcode, Served, Stored};

fuzz_target!(|packet: &[u8]| {
    let _ = pixelsink::name::DomainName::from_wire(packet);
    let stored = Stored::new(packet.to_vec(), 0);
    let Ok(query) = wire::parse(packet) else { return };
    let mut answer = Vec::new();
    wire::compose_negative(&query, Rcode::NxDomain, 60, None, &mut answer);
    assert!(Stored::new(answer, 3).is_ok() || query.edns.is_some());
    if let Ok(stored) = stored {
        let served = Served { age_secs: 1, size_max: query.udp_payload_max(), ..Served::default() };
        stored.serve(&query, served, &mut Vec::new());
    }
});
