//! Files of kept answers as a failing disk or a stranger leaves them: reading never panics, and only what is whole is used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::resolve::{Snapshot, SnapshotError};
use xxhash_rust::xxh3::xxh3_64;

/// What stands before the time of writing: the mark and the version.
const HEAD: &[u8] = b"PXSCACHE\x01\x00\x00\x00";

fuzz_target!(|input: &[u8]| {
    let _ = Snapshot::decode(input);
    // Behind the right head and with the right sum, so that what is in between is looked at too.
    let mut octets = [HEAD, input].concat();
    let sum = xxh3_64(&octets);
    octets.extend(sum.to_le_bytes());
    match Snapshot::decode(&octets) {
        Ok(snapshot) => {
            // Each answer takes a message's header, a question and what stands beside them.
            assert!(snapshot.len() * 30 <= octets.len());
            // One octet less, and it is not what was written.
            octets.pop();
            assert_eq!(Snapshot::decode(&octets), Err(SnapshotError::Damaged));
        }
        Err(error) => assert_eq!(error, SnapshotError::Damaged),
    }
});
