//! Importance matrices, as libFuzzer makes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::IMATRIX.check(data));
