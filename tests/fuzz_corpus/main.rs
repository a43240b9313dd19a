//! Every file of the fuzz corpora through its property, in every run of the tests: what fuzzing has found once is found again without a
//! fuzzer, and the seeds are tried on the code as it is.
#![expect(clippy::expect_used, reason = "the fuzzer's library, shared by path: not every test uses all of it")]

#[path = "../../fuzz/src/lib.rs"]
mod properties;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// A property.
type Holds = fn(&[u8]);

const PROPERTIES: [(&str, Holds); 15] = [
    ("chunked", properties::chunked::holds),
    ("eventstream", properties::eventstream::holds),
    ("http1_request", properties::http1_request::holds),
    ("http1_response", properties::http1_response::holds),
    ("json_cursor", properties::json_cursor::holds),
    ("link_decoder", properties::link_decoder::holds),
    ("ndjson_lines", properties::ndjson_lines::holds),
    ("reply_translation", properties::reply_translation::holds),
    ("request_edits", properties::request_edits::holds),
    ("request_translation", properties::request_translation::holds),
    ("sse_stream", properties::sse_stream::holds),
    ("stream_translation", properties::stream_translation::holds),
    ("usage_record", properties::usage_record::holds),
    ("websocket_events", properties::websocket_events::holds),
    ("websocket_frames", properties::websocket_frames::holds),
];

#[test]
fn every_file_of_the_corpora_holds() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut folders: Vec<String> =
        fs::read_dir(&corpora).expect("the corpora").flatten().map(|entry| entry.file_name().display().to_string()).collect();
    folders.sort();
    assert_eq!(folders, PROPERTIES.map(|(name, _)| name), "each corpus has its property");
    let mut failed = Vec::new();
    for (name, holds) in PROPERTIES {
        let mut count = 0;
        for entry in fs::read_dir(corpora.join(name)).expect("a corpus").flatten() {
            let input = fs::read(entry.path()).expect("a file of the corpus");
            count += 1;
            // As it is, and cut short anywhere: parsers meet both.
            let all = [input.len()].into_iter().chain((0..input.len()).step_by(1 + input.len() / 64));
            if all.into_iter().any(|length| catch_unwind(|| holds(&input[..length])).is_err()) {
                failed.push(format!("{name}/{}", entry.file_name().display()));
            }
        }
        assert!(count > 0, "{name} has no seeds");
    }
    assert!(failed.is_empty(), "{failed:?}");
}
