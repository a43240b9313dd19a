#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lethe_fuzz::targets::json_cursor::run(input));
