//! `adapter_config.json`, as libFuzzer makes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::ADAPTER_CONFIG.check(data));
