//! Every file of the fuzzer's corpora, without the fuzzer: what was found once stays found.

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_file_of_the_corpora_has_its_property() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let targets: BTreeSet<String> = fuzz::targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folders = fs::read_dir(&corpora).expect("corpora").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(folders.map(|name| name.into_string().expect("a name")).collect::<BTreeSet<_>>(), targets);
    let programs = fs::read_dir(corpora.join("../fuzz_targets")).expect("targets").map(|entry| entry.expect("an entry").path());
    assert_eq!(
        programs.map(|path| path.file_stem().expect("a name").to_str().expect("a name").to_owned()).collect::<BTreeSet<_>>(),
        targets
    );
    for (name, run) in fuzz::targets::ALL {
        let files: Vec<_> =
            fs::read_dir(corpora.join(name)).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
        assert!(files.len() >= 3, "{name} has a corpus");
        for path in files {
            let input = fs::read(&path).expect("an input");
            let end = std::panic::catch_unwind(|| run(&input));
            assert!(end.is_ok(), "{} breaks the property of {name}", path.display());
        }
    }
}
