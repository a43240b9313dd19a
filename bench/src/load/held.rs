//! Many streams that stay open.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{LocalSet, spawn_local};

use super::exchange::{Request, dial};
use super::{Load, Random};
use crate::answer::Answer;
use crate::interrupt;
use crate::problem::Problem;

/// From the first stream to the first event of the last.
const LIMIT: Duration = Duration::from_secs(60);
/// With all of them open, before their memory counts.
const SETTLED: Duration = Duration::from_secs(2);
/// How many are being opened at once.
const ABREAST: usize = 50;
const READ_BYTES: usize = 4096;

struct Progress {
    open: std::cell::Cell<usize>,
    failure: std::cell::RefCell<Option<String>>,
}

/// Opens so many streams, waits until each has had an event, and calls `at_full` while all are open.
///
/// # Errors
/// One of them was not opened, or ended.
pub(crate) fn hold<T>(load: &Load, streams: usize, at_full: impl FnOnce() -> T) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let progress = Rc::new(Progress { open: 0.into(), failure: None.into() });
        let load = Rc::new(load.clone());
        let opening = async {
            for number in 0..streams {
                let (load, shared) = (Rc::clone(&load), Rc::clone(&progress));
                spawn_local(async move {
                    if let Err(why) = one(&load, &shared).await {
                        shared.failure.borrow_mut().get_or_insert(why);
                    }
                });
                while number >= progress.open.get() + ABREAST {
                    fine(&progress)?;
                    interrupt::wait(Duration::from_millis(5)).await?;
                }
            }
            while progress.open.get() < streams {
                fine(&progress)?;
                interrupt::wait(Duration::from_millis(5)).await?;
            }
            Ok::<(), Problem>(())
        };
        match tokio::time::timeout(LIMIT, opening).await {
            Ok(opened) => opened?,
            Err(_) => return Err(Problem::new(format!("{} of {streams} streams were open in time", progress.open.get()))),
        }
        interrupt::wait(SETTLED).await?;
        fine(&progress)?;
        Ok(at_full())
    })
}

fn fine(progress: &Progress) -> Result<(), Problem> {
    progress.failure.take().map_or(Ok(()), |why| Err(Problem::new(why)))
}

/// A stream that is read for as long as it lasts; it has to last.
async fn one(load: &Load, progress: &Progress) -> Result<(), String> {
    let mut socket = dial(load).await?;
    let mut request = Request::new(load);
    let error = |error: std::io::Error| format!("a stream: {error}");
    socket.write_all(request.turn(load, &Random::new(1))).await.map_err(error)?;
    socket.flush().await.map_err(error)?;
    drop(request);
    let mut answer = Answer::new();
    let mut is_open = false;
    loop {
        answer.inbuf.reserve(READ_BYTES);
        if socket.read_buf(&mut answer.inbuf).await.map_err(error)? == 0 {
            return Err("a stream was closed".to_owned());
        }
        let done = answer.take().map_err(|_| "a stream is not HTTP/1.1".to_owned())?;
        if done || answer.status != 200 && answer.status != 0 {
            let text: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
            return Err(format!("a stream ended with status {}: {text}", answer.status));
        }
        if !is_open && !answer.body.is_empty() {
            is_open = true;
            progress.open.set(progress.open.get() + 1);
        }
    }
}
