//! Which roles have to be filled, and what follows when a part ends.
//!
//! Every role has its own pauses. Gateway and dialer are a pair: a dialer whose gateway is gone ends by itself and serves nobody
//! else, so a new gateway comes with a new dialer, while a new dialer is handed to the gateway that runs.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use lethe_handover::{Role, SecretBytes, ToChild};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Answer, Crew, Crewmates, Exit, Notice, Obeyed, Order, Outcome, Part, PartEvent, Pauses, Started,
    backoff::Backoff,
    part::Handle,
    roster::{Number, Roster},
};

/// For a part that another has replaced to end by itself.
const RETIREMENT: Duration = Duration::from_secs(10);
/// The same for one that still has requests to finish: beyond what it allows itself.
const LONG_RETIREMENT: Duration = Duration::from_secs(2 * 60 * 60);

/// After a recycling that failed, before it is tried again.
const RECYCLE_AGAIN: Duration = Duration::from_secs(10 * 60);

/// What a task behind the posts came to.
pub(crate) enum Job {
    /// The pause of a role is over.
    Due(Role),
    /// An order was carried out, or not.
    Obeyed(Order, Obeyed),
    /// A start ended.
    Started(Role, Result<Started, String>),
}

/// How a part leaves its place.
#[derive(Clone, Copy)]
enum Farewell {
    /// It finishes what is open, however long it takes.
    Gentle,
    /// It serves nobody.
    Soon,
}

struct Post {
    backoff: Backoff,
    /// A pause or a start is on its way.
    busy: bool,
}

pub(crate) struct Posts<C> {
    crew: Arc<C>,
    pauses: Pauses,
    pub(crate) roster: Arc<Roster>,
    posts: BTreeMap<Role, Post>,
    jobs: JoinSet<Job>,
    /// An order is on its way, and who waits for its answer.
    ordered: Option<Order>,
    asker: Option<oneshot::Sender<Answer>>,
    /// The order after a refreshing of secrets, which nobody asked for and nobody has to wait behind.
    following: Option<(Order, Option<oneshot::Sender<Answer>>)>,
    /// After a recycling that failed.
    recycle_after: Option<Instant>,
    events: mpsc::UnboundedSender<(Number, PartEvent)>,
}

impl<C: Crew> Posts<C> {
    pub(crate) fn new(crew: Arc<C>, pauses: Pauses, events: mpsc::UnboundedSender<(Number, PartEvent)>) -> Self {
        Self {
            crew,
            pauses,
            roster: Arc::default(),
            posts: BTreeMap::new(),
            jobs: JoinSet::new(),
            ordered: None,
            asker: None,
            following: None,
            recycle_after: None,
            events,
        }
    }

    /// Puts parts in their places; whoever had one of them before finishes what is open.
    pub(crate) fn adopt(&mut self, parts: Vec<Part>) {
        self.adopt_by(parts, Farewell::Soon);
    }

    fn adopt_by(&mut self, parts: Vec<Part>, farewell: Farewell) {
        for part in parts {
            self.retire(part.role(), farewell);
            let (handle, mut own) = part.into_parts();
            self.post(handle.role).backoff.started(Instant::now());
            let (number, events) = (self.roster.add(handle), self.events.clone());
            tokio::spawn(async move {
                while let Some(event) = own.recv().await {
                    // Nobody listens any more after the end.
                    if events.send((number, event)).is_err() {
                        break;
                    }
                }
            });
        }
        let entries = self.roster.entries();
        let running = entries.iter().filter(|entry| !entry.retired).map(|entry| (entry.handle.role, entry.handle.pid));
        self.crew.running(&running.collect::<Vec<_>>());
    }

    /// The next task that came to an end; never, while there is none.
    pub(crate) async fn next_job(&mut self) -> Job {
        loop {
            match self.jobs.join_next().await {
                Some(Ok(job)) => return job,
                // A start that panicked: its role stays empty, which the report shows.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Goes on after a task.
    pub(crate) fn go_on(&mut self, job: Job) {
        match job {
            Job::Due(role) => self.due(role),
            Job::Obeyed(order, Obeyed { started, answer }) => {
                self.adopt_by(started, Farewell::Gentle);
                self.answer(order, answer);
            }
            Job::Started(role, outcome) => self.started(role, outcome),
        }
    }

    /// A part has ended.
    pub(crate) fn ended(&mut self, number: Number, role: Role, exit: Exit) {
        let Some(entry) = self.roster.remove(number) else { return };
        // A dialer ends with code 0 when its gateway has gone: that one's end counts.
        let follows = role == Role::Dialer && exit == Exit::Code(0);
        if entry.retired {
            if exit != Exit::Code(0) {
                self.roster.tally(|tally| tally.ended(role, exit));
            }
            return;
        }
        if entry.expected {
            self.post(role).busy = true;
            self.jobs.spawn(async move { Job::Due(role) });
            self.adopt(Vec::new());
            return;
        }
        if role == Role::Gateway {
            self.retire(Role::Dialer, Farewell::Soon);
        }
        let pause = self.pause(role);
        if !follows {
            let times = self.roster.tally(|tally| tally.ended(role, exit));
            self.crew.tell(Notice::Ended { role, exit, times, pause });
        }
        self.adopt(Vec::new());
    }

    /// Ends every start on its way; what they had started is killed.
    pub(crate) async fn stop(&mut self) {
        self.jobs.shutdown().await;
    }

    fn post(&mut self, role: Role) -> &mut Post {
        let pauses = self.pauses;
        self.posts.entry(role).or_insert_with(|| Post { backoff: Backoff::new(pauses), busy: false })
    }

    /// Has `role` started when its pause is over, which is what this returns.
    fn pause(&mut self, role: Role) -> Duration {
        let post = self.post(role);
        let pause = post.backoff.ended(Instant::now());
        if !std::mem::replace(&mut post.busy, true) {
            self.jobs.spawn(async move {
                sleep(pause).await;
                Job::Due(role)
            });
        }
        pause
    }

    fn due(&mut self, role: Role) {
        let comes_with_gateway = role == Role::Dialer && self.roster.current(Role::Gateway).is_none();
        if comes_with_gateway || self.roster.current(role).is_some() {
            self.post(role).busy = false;
            return;
        }
        let crew = Arc::clone(&self.crew);
        self.jobs.spawn(async move { Job::Started(role, crew.start(role).await) });
    }

    fn started(&mut self, role: Role, outcome: Result<Started, String>) {
        self.post(role).busy = false;
        let Started { parts, errands } = match outcome {
            Ok(started) => started,
            Err(reason) => {
                self.roster.tally(|tally| tally.not_started(role));
                let pause = self.pause(role);
                self.crew.tell(Notice::NotStarted { role, reason, pause });
                return;
            }
        };
        // Meanwhile somebody else may have come, or the one that it was for may have gone, and comes with another.
        let receivers: Option<Vec<_>> = errands.iter().map(|errand| self.roster.current(errand.to)).collect();
        let (None, Some(receivers)) = (self.roster.current(role), receivers) else {
            for part in parts {
                tokio::spawn(part.stop(RETIREMENT));
            }
            return;
        };
        self.adopt(parts);
        for (errand, (_, receiver)) in errands.into_iter().zip(receivers) {
            receiver.send(errand.message, errand.descriptors);
        }
        self.crew.tell(Notice::Replaced(role));
    }

    /// Takes the part with this role out of its place, if there is one, and lets it finish.
    fn retire(&self, role: Role, farewell: Farewell) {
        if let Some((number, _)) = self.roster.current(role)
            && let Some(handle) = self.roster.retire(number)
        {
            let limit = match farewell {
                Farewell::Gentle => LONG_RETIREMENT,
                Farewell::Soon => RETIREMENT,
            };
            match (farewell, role) {
                (Farewell::Gentle, Role::Gateway | Role::Node) => handle.send(ToChild::Retire, Vec::new()),
                // Its gateway still needs it, and it ends with that one.
                (Farewell::Gentle, Role::Dialer) => {}
                _ => handle.drain(),
            }
            tokio::spawn(see_off(handle, limit));
        }
    }

    /// Carries an order out, one at a time; `asker` waits for the answer, if there is one.
    pub(crate) fn order(&mut self, order: Order, asker: Option<oneshot::Sender<Answer>>) {
        if self.ordered == Some(Order::Refresh) && self.following.is_none() {
            self.following = Some((order, asker));
            return;
        }
        if self.ordered.is_some() {
            let answer = Answer::failed("another reload, upgrade or recycling is on its way: try again after it");
            self.tell_answer(order, answer, asker);
            return;
        }
        (self.ordered, self.asker) = (Some(order), asker);
        let (crew, mates) = (Arc::clone(&self.crew), Crewmates(Arc::clone(&self.roster)));
        self.jobs.spawn(async move { Job::Obeyed(order, crew.obey(order, mates).await) });
    }

    fn answer(&mut self, order: Order, answer: Answer) {
        self.ordered = None;
        if order == Order::Recycle && answer.outcome != Outcome::Done {
            self.recycle_after = Some(Instant::now() + RECYCLE_AGAIN);
        }
        let asker = self.asker.take();
        self.tell_answer(order, answer, asker);
        if let Some((order, asker)) = self.following.take() {
            self.order(order, asker);
        }
    }

    /// Has the files of secrets read again, unless there is something else to do: they are looked at again soon.
    pub(crate) fn refresh(&mut self) {
        if self.ordered.is_none() {
            self.order(Order::Refresh, None);
        }
    }

    fn tell_answer(&self, order: Order, answer: Answer, asker: Option<oneshot::Sender<Answer>>) {
        match asker {
            // An asker that has gone away needs no answer.
            Some(asker) => drop(asker.send(answer)),
            None => self.crew.tell(Notice::Answered(order, answer)),
        }
    }

    /// How long the gateway that serves has been running; `None` too soon after it could not be replaced.
    pub(crate) fn gateway_age(&self) -> Option<Duration> {
        if self.recycle_after.is_some_and(|after| Instant::now() < after) {
            return None;
        }
        self.posts.get(&Role::Gateway)?.backoff.running_for(Instant::now())
    }

    /// Control said something.
    pub(crate) fn heard(&self, said: &SecretBytes) {
        self.crew.heard(said, &Crewmates(Arc::clone(&self.roster)));
    }
}

/// Kills a part that does not end within `limit`.
async fn see_off(mut handle: Handle, limit: Duration) {
    if timeout(limit, handle.ended()).await.is_err() {
        handle.kill();
    }
}
