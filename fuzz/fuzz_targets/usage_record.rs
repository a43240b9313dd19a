#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lethe_fuzz::targets::usage_record::run(input));
