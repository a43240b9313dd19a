//! The look into servers that a target keeps things in.

use std::path::Path;

use super::{FILE, Look};
use crate::report::Sink;
use crate::store::{Passed, Postgres, Redis, StoreError};

/// What a server hands over is searched in windows of this size, which overlap.
const WINDOW: usize = 4 << 20;
const OVERLAP: usize = 64 << 10;

impl Look<'_, '_> {
    /// Everything in a Redis.
    pub(in crate::run) fn redis(&mut self, url: Option<&str>) {
        let Some(url) = url else { return };
        let mut feed = Feed::new(Sink::Redis);
        let passed = Redis::connect(url).and_then(|mut redis| redis.pass(&mut |place, bytes| feed.push(self, place, bytes)));
        feed.end(self);
        self.passed(Sink::Redis, passed, "keys of every database, the slow log, the list of clients");
    }

    /// Everything in a PostgreSQL database, and its files where they can be read.
    pub(in crate::run) fn postgres(&mut self, url: Option<&str>) {
        let Some(url) = url else { return };
        let mut feed = Feed::new(Sink::Postgres);
        let mut postgres = match Postgres::connect(url) {
            Ok(postgres) => postgres,
            Err(why) => return self.not_searched(Sink::Postgres, why.to_string()),
        };
        let passed = postgres.pass(&mut |place, bytes| feed.push(self, place, bytes));
        feed.end(self);
        self.passed(Sink::Postgres, passed, "every table (COPY), large objects, statements that the server remembers");
        match postgres.data_folder() {
            Ok(folder) => {
                self.folder(Sink::Postgres, &folder);
                self.how(Sink::Postgres, "its data folder after a checkpoint");
            }
            Err(why) => self.gap(Sink::Postgres, format!("its data folder: {why}")),
        }
    }

    fn passed(&mut self, sink: Sink, passed: Result<Passed, StoreError>, how: &str) {
        match passed {
            Ok(passed) => {
                self.how(sink, &format!("{} {how}", passed.places));
                passed.gaps.into_iter().for_each(|gap| self.gap(sink, gap));
            }
            Err(why) => self.gap(sink, why.to_string()),
        }
    }

    /// Every file below a folder.
    fn folder(&mut self, sink: Sink, folder: &Path) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.gap(sink, format!("{} ({})", folder.display(), error.kind())),
        };
        for entry in entries.flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() {
                self.folder(sink, &path);
            } else if kind.is_file() {
                let place = self.place(sink, &path.display().to_string());
                match std::fs::File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
                    Ok((size, file)) => self.source(&place, &file, 0..size.min(FILE)),
                    Err(error) => self.gap(sink, format!("{} ({})", place.name, error.kind())),
                }
            }
        }
    }
}

/// What a server hands over, piece by piece.
struct Feed {
    sink: Sink,
    name: String,
    window: Vec<u8>,
}

impl Feed {
    fn new(sink: Sink) -> Self {
        Self { sink, name: String::new(), window: Vec::new() }
    }

    fn push(&mut self, look: &mut Look<'_, '_>, name: &str, bytes: &[u8]) {
        if self.name != name {
            self.end(look);
            name.clone_into(&mut self.name);
        }
        self.window.extend_from_slice(bytes);
        if self.window.len() > WINDOW {
            self.search(look);
            let kept = self.window.len() - OVERLAP;
            self.window.drain(..kept);
        }
    }

    fn search(&self, look: &mut Look<'_, '_>) {
        let place = look.place(self.sink, &format!("{}: {}", self.sink.name(), self.name));
        look.bytes(&place, &self.window, &[]);
    }

    fn end(&mut self, look: &mut Look<'_, '_>) {
        if !self.window.is_empty() {
            self.search(look);
            self.window.clear();
        }
    }
}
