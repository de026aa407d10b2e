//! Downloads from strangers: unpacking, decoding and guarding never panics, and where the pieces are cut does not matter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::feed::take_in;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, body)) = input.split_first() else { return };
    let whole = take_in([body], 1 << 20);
    let pieces = body.chunks(1 + usize::from(choice));
    let cut = take_in(pieces, 1 << 20);
    // Which of several faults is told may depend on where a piece ends, whether there is one may not.
    assert_eq!(whole.is_ok(), cut.is_ok(), "{whole:?} {cut:?}");
    if let (Ok(whole), Ok(cut)) = (whole, cut) {
        assert_eq!(whole, cut);
    }
});
