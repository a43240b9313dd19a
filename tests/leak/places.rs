//! What is looked for, and where.

use std::collections::BTreeSet;
use std::path::Path;

use data_encoding::BASE64;
use lethe_testkit::canary::Canary;
use lethe_testkit::lethe::Lethe;
use lethe_testkit::provider::script;
use lethe_testkit::scan::Scanner;

/// Everything that was put anywhere in one run.
#[derive(Default)]
pub(crate) struct Found {
    pieces: Vec<(String, Vec<u8>)>,
}

/// Puts what belongs to one row.
pub(crate) struct Marks<'a> {
    pub(crate) row: String,
    all: &'a mut Found,
}

impl Found {
    pub(crate) fn row(&mut self, row: impl Into<String>) -> Marks<'_> {
        Marks { row: row.into(), all: self }
    }

    /// What the scripted provider says, the same in each row: thoughts, their signature, and vectors in each form that they have on their way.
    pub(crate) fn said(&mut self) {
        let thoughts = script::THOUGHTS.as_bytes();
        let mut put = |label: &str, bytes: &[u8]| self.pieces.push((label.to_owned(), bytes.to_vec()));
        put("thoughts", &thoughts[..14]);
        put("thoughts", &thoughts[13..]);
        put("signature", script::SIGNATURE.as_bytes());
        put("signature", &BASE64.decode(script::SIGNATURE.as_bytes()).expect("base64"));
        let vector: [f32; 3] = script::VECTOR;
        let short: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        put("vector of float32", &short);
        put("vector of float64", &vector.iter().flat_map(|number| f64::from(*number).to_le_bytes()).collect::<Vec<u8>>());
        put("vector in decimals", b"0.25,-0.5,1");
        put("vector in decimals", b"0.25, -0.5, 1");
        // Twice the vector is 24 bytes, which base64 has at any of three offsets.
        let twice = [short.clone(), short.clone(), short].concat();
        for offset in 0..3 {
            put("vector in base64", &BASE64.encode(&twice[offset..offset + 18]).into_bytes());
        }
    }

    /// Takes what another one has.
    pub(crate) fn join(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
    }

    pub(crate) fn scanner(&self) -> Scanner {
        Scanner::of(self.pieces.iter().cloned())
    }
}

impl Marks<'_> {
    /// Text for `place`.
    pub(crate) fn at(&mut self, place: &str) -> String {
        let canary = Canary::new(&format!("{}: {place}", self.row));
        self.all.pieces.extend(canary.pieces().map(|piece| (canary.label.clone(), piece.to_vec())));
        canary.value
    }

    /// Base64 of bytes that begin with `head`; looked for as it is, and decoded.
    pub(crate) fn base64(&mut self, place: &str, head: &[u8]) -> String {
        let text = BASE64.encode(&[head, self.at(place).as_bytes()].concat());
        let label = format!("{}: {place} in base64", self.row);
        // The head is the same in each.
        let own = &text.as_bytes()[head.len().div_ceil(3) * 4..];
        self.all.pieces.extend(own.chunks_exact(12).map(|piece| (label.clone(), piece.to_vec())));
        text
    }
}

/// Finds in everything that may not hold content, except memory: whatever was written since this Lethe was started.
pub(crate) fn sinks(lethe: &Lethe, scanner: &Scanner) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in [lethe.folder(), Path::new("/tmp"), Path::new("/var/tmp"), Path::new("/dev/shm"), Path::new("/run")] {
        found.extend(scanner.files(folder, lethe.born()));
    }
    found
}

/// Finds in the memory of every part, as `role:pid:label@mapping`.
pub(crate) fn memory(lethe: &Lethe, scanner: &Scanner) -> BTreeSet<String> {
    lethe
        .all_pids()
        .into_iter()
        .flat_map(|(role, pid)| scanner.memory(pid).into_iter().map(move |found| format!("{role}:{found}")))
        .collect()
}

/// Each process's memory is really read: the run's own folder is part of the path that every part was started by.
pub(crate) fn memory_is_readable(lethe: &Lethe) {
    let name = lethe.folder().file_name().unwrap().to_str().unwrap().to_owned();
    let known = Canary { label: "folder".into(), value: format!("{name}/bin/lethe-padding-to-a-length") };
    let scanner = Scanner::new(&[known]);
    for (role, pid) in lethe.all_pids() {
        assert!(!scanner.memory(pid).is_empty(), "the scanner does not see into {role}");
    }
}
