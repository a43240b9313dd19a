//! A closed loop: so many connections, each asks again as soon as it has its answer.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::spawn_local;
use tokio::time::sleep;

use super::exchange::{Io, Request, dial, exchange};
use super::{Load, Outcome, Random, Shared};
use crate::answer::Answer;
use crate::ask::{Ask, EVENTS, age, stamps};
use crate::clock;
use crate::interrupt;
use crate::problem::Problem;
use crate::rows::How;

pub(super) async fn run(load: &Load, connections: usize, mut at_edge: impl FnMut()) -> Result<Outcome, Problem> {
    let shared = Rc::new(Shared::default());
    let load = Rc::new(load.clone());
    let random = Rc::new(Random::new(load.seed));
    let mut running = Vec::new();
    for number in 0..connections {
        // All are connected before the first asks, but for those that connect for each request.
        let socket = if matches!(load.how, How::Fresh(_)) { None } else { Some(dial(&load).await.map_err(Problem::new)?) };
        let (shared, load, random) = (Rc::clone(&shared), Rc::clone(&load), Rc::clone(&random));
        let delay = stream_length(load.ask).mul_f64(super::as_f64(number) / super::as_f64(connections));
        running.push(spawn_local(async move {
            // Streams of the same length that begin together would end together.
            sleep(delay).await;
            if let Err(why) = client(socket, &load, &random, &shared).await {
                shared.fail(why);
            }
        }));
    }
    interrupt::wait(load.warm_up + stream_length(load.ask)).await?;
    at_edge();
    shared.counts.set(true);
    let start = Instant::now();
    interrupt::wait(load.window).await?;
    shared.counts.set(false);
    let elapsed = start.elapsed();
    at_edge();
    shared.stops.set(true);
    // Long streams are given up; anything else comes to its end.
    if !matches!(load.ask, Ask::Paced(_)) {
        for task in running {
            let _ = task.await;
        }
    }
    shared.outcome(elapsed)
}

/// How long a paced stream takes at least.
fn stream_length(ask: Ask) -> Duration {
    match ask {
        Ask::Paced(pause) => Duration::from_millis(pause.into()) * u32::try_from(EVENTS - 1).unwrap_or(u32::MAX),
        _ => Duration::ZERO,
    }
}

async fn client(socket: Option<Box<dyn Io>>, load: &Load, random: &Random, shared: &Shared) -> Result<(), String> {
    let mut answer = Answer::new();
    let mut request = Request::new(load);
    let mut kept = socket;
    while !shared.stops.get() {
        let start = Instant::now();
        let mut fresh = match kept.take() {
            Some(socket) => socket,
            None => dial(load).await?,
        };
        let dialled = start.elapsed();
        let bytes = request.turn(load, random);
        let times = if matches!(load.ask, Ask::Paced(_)) {
            let mut read = 0;
            exchange(&mut *fresh, &mut answer, bytes, load, |body| {
                let first = read == 0;
                let (found, upto) = stamps(body, read);
                let now = clock::now();
                read = upto;
                if shared.counts.get() {
                    // The first one's time is that of the answer's first byte.
                    shared.events.borrow_mut().extend(found.iter().skip(first.into()).map(|sent| age(*sent, now)));
                }
            })
            .await?
        } else {
            exchange(&mut *fresh, &mut answer, bytes, load, |_| {}).await?
        };
        if shared.counts.get() {
            shared.first_byte.borrow_mut().push(dialled + times.first_byte);
            shared.total.borrow_mut().push(dialled + times.total);
        }
        kept = if matches!(load.how, How::Fresh(_)) { None } else { Some(fresh) };
    }
    Ok(())
}
