//! The book of devices as a person may have edited it: reading never panics, and writing changes nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::config::BookFile;

fuzz_target!(|text: &str| {
    let file = "devices.toml".as_ref();
    match BookFile::parse(text, file) {
        Err(error) => drop(error.render(false)),
        Ok(book) => {
            if let Ok(same) = book.saying(book.book(), file) {
                assert_eq!(same.book(), book.book());
            }
        }
    }
});
