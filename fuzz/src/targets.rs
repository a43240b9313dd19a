//! One file per target: a property of any bytes, and a panic where it does not hold. The fuzzer calls them with what it finds
//! (`fuzz_targets/`), the test `corpus` with every file of `corpus/`.

use super::{Cuts, Peer, block_on};

pub mod chunked;
pub mod http1_request;
pub mod http1_response;
pub mod json_cursor;
pub mod link_decoder;
pub mod openai_request;
pub mod sse_stream;
pub mod usage_record;

/// Every target by its name, which is the name of its folder in `corpus/` too.
pub const ALL: &[(&str, fn(&[u8]))] = &[
    ("chunked", chunked::run),
    ("http1_request", http1_request::run),
    ("http1_response", http1_response::run),
    ("json_cursor", json_cursor::run),
    ("link_decoder", link_decoder::run),
    ("openai_request", openai_request::run),
    ("sse_stream", sse_stream::run),
    ("usage_record", usage_record::run),
];
