//! GGUF files, as libFuzzer makes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::GGUF.check(data));
