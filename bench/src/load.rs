//! A closed loop: so many connections, each asks again as soon as it has its answer. One thread.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::answer::Answer;
use crate::problem::{Problem, While as _};
use crate::workload::Workload;

const READ_BYTES: usize = 32 * 1024;

/// What to do to whom.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) workload: Workload,
    pub(crate) api_key: Option<String>,
    pub(crate) connections: usize,
    /// Before the window, not counted.
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// What was done in the window.
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    /// From a request's first byte to the first of the answer's body, rising.
    pub(crate) first_byte: Vec<Duration>,
    /// From a request's first byte to the answer's last, rising; one for each answer.
    pub(crate) total: Vec<Duration>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        as_f64(self.total.len()) / self.elapsed.as_secs_f64()
    }
}

/// The value below which so many hundredths of `rising` lie.
pub(crate) fn percentile(rising: &[Duration], hundredths: usize) -> Duration {
    let at = (rising.len() * hundredths / 100).min(rising.len().saturating_sub(1));
    rising.get(at).copied().unwrap_or_default()
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
pub(crate) const fn as_f64(count: usize) -> f64 {
    count as f64
}

#[derive(Default)]
struct Shared {
    counts: Cell<bool>,
    stops: Cell<bool>,
    first_byte: RefCell<Vec<Duration>>,
    total: RefCell<Vec<Duration>>,
    failure: RefCell<Option<String>>,
}

/// Puts the load on; `at_edge` is called at the start and at the end of the window.
///
/// # Errors
/// Any answer that is not the expected one: a figure with failures in it is none.
pub(crate) fn run(load: &Load, mut at_edge: impl FnMut()) -> Result<Outcome, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = Rc::new(Shared::default());
    let request: Rc<[u8]> = load.workload.request(load.api_key.as_deref()).into();
    let tasks = LocalSet::new();
    let elapsed = tasks.block_on(&runtime, async {
        let mut running = Vec::new();
        for _ in 0..load.connections {
            let socket = TcpStream::connect(load.address).await.doing("connect to what is measured")?;
            socket.set_nodelay(true)?;
            let (shared, request, workload) = (Rc::clone(&shared), Rc::clone(&request), load.workload);
            running.push(tokio::task::spawn_local(async move {
                if let Err(why) = connection(socket, &request, workload, &shared).await {
                    shared.failure.borrow_mut().get_or_insert(why);
                    shared.stops.set(true);
                }
            }));
        }
        sleep(load.warm_up).await;
        at_edge();
        shared.counts.set(true);
        let start = Instant::now();
        sleep(load.window).await;
        shared.counts.set(false);
        let elapsed = start.elapsed();
        at_edge();
        shared.stops.set(true);
        for task in running {
            let _ = task.await;
        }
        Ok::<_, Problem>(elapsed)
    })?;
    if let Some(why) = shared.failure.take() {
        return Err(Problem::new(why));
    }
    let (mut first_byte, mut total) = (shared.first_byte.take(), shared.total.take());
    first_byte.sort_unstable();
    total.sort_unstable();
    if total.is_empty() {
        return Err(Problem::new("nothing was answered in the window"));
    }
    Ok(Outcome { elapsed, first_byte, total })
}

async fn connection(mut socket: TcpStream, request: &[u8], workload: Workload, shared: &Shared) -> Result<(), String> {
    let mut answer = Answer::new();
    while !shared.stops.get() {
        answer.restart();
        let start = Instant::now();
        socket.write_all(request).await.map_err(|error| format!("send: {error}"))?;
        let mut first_byte = None;
        loop {
            answer.inbuf.reserve(READ_BYTES);
            match socket.read_buf(&mut answer.inbuf).await {
                Ok(0) => return Err("the connection was closed before the answer ended".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(format!("receive: {error}")),
            }
            let done = answer.take().map_err(|_| "the answer is not HTTP/1.1 with keep-alive".to_owned())?;
            // Of the body: a proxy may pass the head alone on, or keep it until there is something to say.
            if first_byte.is_none() && !answer.body.is_empty() {
                first_byte = Some(start.elapsed());
            }
            if done {
                break;
            }
        }
        if answer.status != 200 || !workload.accepts(&answer.body) {
            // The mock's answers are public; an error body says what to fix.
            let text: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
            return Err(format!("status {} with {} bytes: {text}", answer.status, answer.body.len()));
        }
        if shared.counts.get() {
            shared.first_byte.borrow_mut().push(first_byte.unwrap_or_default());
            shared.total.borrow_mut().push(start.elapsed());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::percentile;

    #[test]
    fn percentiles_are_of_the_sorted_list() {
        let rising: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&rising, 50), Duration::from_millis(101));
        assert_eq!(percentile(&rising, 99), Duration::from_millis(199));
        assert_eq!(percentile(&rising[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
