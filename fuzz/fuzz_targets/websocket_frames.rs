#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| lethe_fuzz::websocket_frames::holds(input));
