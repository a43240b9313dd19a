#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lethe_fuzz::targets::http1_response::run(input));
