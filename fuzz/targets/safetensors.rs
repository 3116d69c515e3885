//! Checkpoints, as libFuzzer makes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::SAFETENSORS.check(data));
