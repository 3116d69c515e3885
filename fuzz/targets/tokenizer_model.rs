//! `tokenizer.model`, as libFuzzer makes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::TOKENIZER_MODEL.check(data));
