#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lethe_fuzz::targets::sse_stream::run(input));
