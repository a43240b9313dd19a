//! Which roles have to be filled, and what follows when a part ends.
//!
//! Every role has its own pauses. Gateway and dialer are a pair: a dialer whose gateway is gone ends by itself and serves nobody
//! else, so a new gateway comes with a new dialer, while a new dialer is handed to the gateway that runs.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use lethe_handover::Role;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Crew, Exit, Notice, Part, PartEvent, Pauses, Started,
    backoff::Backoff,
    part::Handle,
    roster::{Number, Roster},
};

/// For a part that another has replaced to end by itself.
const RETIREMENT: Duration = Duration::from_secs(10);

/// What a task behind the posts came to.
pub(crate) enum Job {
    /// The pause of a role is over.
    Due(Role),
    /// A start ended.
    Started(Role, Result<Started, String>),
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
    events: mpsc::UnboundedSender<(Number, PartEvent)>,
}

impl<C: Crew> Posts<C> {
    pub(crate) fn new(crew: Arc<C>, pauses: Pauses, events: mpsc::UnboundedSender<(Number, PartEvent)>) -> Self {
        Self { crew, pauses, roster: Arc::default(), posts: BTreeMap::new(), jobs: JoinSet::new(), events }
    }

    /// Puts parts in their places; whoever had one of them before finishes what is open.
    pub(crate) fn adopt(&mut self, parts: Vec<Part>) {
        for part in parts {
            self.retire(part.role());
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
        if role == Role::Gateway {
            self.retire(Role::Dialer);
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
    fn retire(&self, role: Role) {
        if let Some((number, _)) = self.roster.current(role)
            && let Some(handle) = self.roster.retire(number)
        {
            handle.drain();
            tokio::spawn(see_off(handle, RETIREMENT));
        }
    }
}

/// Kills a part that does not end within `limit`.
async fn see_off(mut handle: Handle, limit: Duration) {
    if timeout(limit, handle.ended()).await.is_err() {
        handle.kill();
    }
}
