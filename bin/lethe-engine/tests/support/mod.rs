//! Where the tests find the model.

use std::path::PathBuf;

/// The model file: `LETHE_TEST_MODEL`, else the cache folder's. A test that needs it fails without it.
pub fn model_file() -> Vec<u8> {
    let path = std::env::var_os("LETHE_TEST_MODEL").map_or_else(
        || {
            let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
                || PathBuf::from(std::env::var_os("HOME").expect("HOME or XDG_CACHE_HOME or LETHE_TEST_MODEL")).join(".cache"),
                PathBuf::from,
            );
            cache.join("lethe/models/SmolLM2-135M-Instruct.Q4_1.gguf")
        },
        PathBuf::from,
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("the tests need the model at {}: {error}", path.display()))
}
