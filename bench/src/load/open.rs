//! An open loop: arrival times are fixed before anything is asked, and an answer's time counts from its planned arrival. A target
//! that falls behind is not asked less (no coordinated omission).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::exchange::{Request, expected};
use super::{Load, Outcome, Random, Shared};
use crate::answer::Answer;
use crate::clock::{self, Alarm};
use crate::interrupt;
use crate::problem::{Problem, While as _};

/// Connections before the first request. More are opened where none is idle.
const CONNECTIONS: usize = 32;
/// A target that needs more than this cannot take the rate.
const MOST: usize = 2048;
/// How long the last answers may take after the last arrival.
const TAIL: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 16 * 1024;

/// A connection, and when the request on it was to be sent; `None` while it is idle.
struct Connection {
    socket: TcpStream,
    planned: Cell<Option<u64>>,
}

struct Pool {
    idle: RefCell<Vec<Rc<Connection>>>,
    opened: Cell<usize>,
    answered: Cell<usize>,
    shared: Shared,
    /// Arrivals that count.
    from: Cell<u64>,
    until: Cell<u64>,
}

pub(super) async fn run(load: &Load, per_second: u32, mut at_edge: impl FnMut()) -> Result<Outcome, Problem> {
    let load = Rc::new(load.clone());
    let pool = Rc::new(Pool {
        idle: RefCell::default(),
        opened: Cell::new(0),
        answered: Cell::new(0),
        shared: Shared::default(),
        from: Cell::new(0),
        until: Cell::new(0),
    });
    let mut request = Request::new(&load);
    let random = Random::new(load.seed);
    for _ in 0..CONNECTIONS {
        let connection = open(&load, &pool).await.map_err(Problem::new)?;
        pool.idle.borrow_mut().push(connection);
    }
    let alarm = Alarm::new().doing("make a timer")?;
    let start = clock::now() + 10_000_000;
    let planned = arrivals(load.seed, per_second, load.warm_up + load.window);
    let from = start + nanos(load.warm_up);
    pool.from.set(from);
    pool.until.set(from + nanos(load.window));
    let mut edges = 0;
    for at in planned.iter().map(|offset| start + offset) {
        if edges == 0 && at >= from {
            alarm.wait_until(from).await?;
            at_edge();
            edges = 1;
        }
        alarm.wait_until(at).await?;
        send(&load, &pool, request.turn(&load, &random), at);
        if let Some(why) = pool.shared.failure.take() {
            return Err(Problem::new(why));
        }
        interrupt::check()?;
    }
    alarm.wait_until(pool.until.get()).await?;
    if edges == 0 {
        at_edge();
    }
    at_edge();
    let limit = clock::now() + nanos(TAIL);
    while pool.answered.get() < planned.len() {
        if let Some(why) = pool.shared.failure.take() {
            return Err(Problem::new(why));
        }
        if clock::now() > limit {
            let missing = planned.len() - pool.answered.get();
            return Err(Problem::new(format!(
                "{missing} of {} requests were not answered {TAIL:?} after the last",
                planned.len()
            )));
        }
        interrupt::wait(Duration::from_millis(5)).await?;
    }
    pool.shared.outcome(load.window)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Arrival times from the start on, in nanoseconds: the gaps of a Poisson process, so that requests come in clusters as
/// independent clients' do.
fn arrivals(seed: u64, per_second: u32, length: Duration) -> Vec<u64> {
    let random = Random::new(seed);
    let mut at = Duration::ZERO;
    let mut times = Vec::new();
    loop {
        at += Duration::from_secs_f64(-random.part().ln() / f64::from(per_second));
        if at >= length {
            return times;
        }
        times.push(nanos(at));
    }
}

async fn open(load: &Rc<Load>, pool: &Rc<Pool>) -> Result<Rc<Connection>, String> {
    let socket = TcpStream::connect(load.address).await.map_err(|error| format!("connect: {error}"))?;
    socket.set_nodelay(true).map_err(|error| format!("connect: {error}"))?;
    let connection = Rc::new(Connection { socket, planned: Cell::new(None) });
    pool.opened.set(pool.opened.get() + 1);
    let (reader, load, pool) = (Rc::clone(&connection), Rc::clone(load), Rc::clone(pool));
    spawn_local(async move {
        if let Err(why) = read(&reader, &load, &pool).await {
            pool.shared.fail(why);
        }
    });
    Ok(connection)
}

/// On an idle connection at once; else on a new one, while the planned time runs.
fn send(load: &Rc<Load>, pool: &Rc<Pool>, request: &[u8], planned: u64) {
    let idle = pool.idle.borrow_mut().pop();
    if let Some(connection) = idle {
        if let Err(why) = put(&connection, request, planned) {
            pool.shared.fail(why);
        }
        return;
    }
    if pool.opened.get() >= MOST {
        pool.shared.fail(format!("{MOST} requests were open at once: the target cannot take this rate"));
        return;
    }
    let (load, pool, request) = (Rc::clone(load), Rc::clone(pool), request.to_vec());
    spawn_local(async move {
        let sent = async { put(&*open(&load, &pool).await?, &request, planned) }.await;
        if let Err(why) = sent {
            pool.shared.fail(why);
        }
    });
}

fn put(connection: &Connection, request: &[u8], planned: u64) -> Result<(), String> {
    connection.planned.set(Some(planned));
    match connection.socket.try_write(request) {
        Ok(written) if written == request.len() => Ok(()),
        // An idle connection has room for a kilobyte.
        Ok(written) => Err(format!("send: {written} bytes of {} were taken", request.len())),
        Err(error) => Err(format!("send: {error}")),
    }
}

/// Reads answers for as long as there are any.
async fn read(connection: &Rc<Connection>, load: &Load, pool: &Pool) -> Result<(), String> {
    let mut answer = Answer::new();
    let mut first_byte = None;
    loop {
        connection.socket.readable().await.map_err(|error| format!("receive: {error}"))?;
        answer.inbuf.reserve(READ_BYTES);
        match connection.socket.try_read_buf(&mut answer.inbuf) {
            // A server may close what is idle.
            Ok(0) if connection.planned.get().is_none() => {
                pool.idle.borrow_mut().retain(|idle| !Rc::ptr_eq(idle, connection));
                pool.opened.set(pool.opened.get() - 1);
                return Ok(());
            }
            Ok(0) => return Err("the connection was closed before the answer ended".to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(format!("receive: {error}")),
        }
        let now = clock::now();
        let done = answer.take().map_err(|_| "the answer is not HTTP/1.1 with keep-alive".to_owned())?;
        if first_byte.is_none() && !answer.body.is_empty() {
            first_byte = Some(now);
        }
        if !done {
            continue;
        }
        expected(&answer, load)?;
        let planned = connection.planned.take().ok_or("an answer that nobody asked for")?;
        if (pool.from.get()..pool.until.get()).contains(&planned) {
            let first = first_byte.unwrap_or(now);
            pool.shared.first_byte.borrow_mut().push(clock::between(planned, first));
            pool.shared.total.borrow_mut().push(clock::between(planned, now));
        }
        first_byte = None;
        answer.restart();
        pool.answered.set(pool.answered.get() + 1);
        pool.idle.borrow_mut().push(Rc::clone(connection));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::arrivals;
    use crate::load::as_f64;

    #[test]
    fn arrivals_are_fixed_rising_and_as_many_as_asked_for() {
        let length = Duration::from_secs(10);
        let times = arrivals(7, 500, length);
        assert_eq!(times, arrivals(7, 500, length));
        assert_ne!(times, arrivals(8, 500, length));
        assert!(times.is_sorted());
        let expected = 5000.0_f64;
        // Five standard deviations of a Poisson count.
        assert!((as_f64(times.len()) - expected).abs() < 5.0 * expected.sqrt(), "{}", times.len());
    }
}
