//! The steps of a confined start, in the order of ARCHITECTURE "The confinement". Every failure is fatal.

use std::os::fd::{AsRawFd, OwnedFd};

use lethe_handover::{BootOptions, FromChild, Posture, Role, Stage, ToChild, Wall};

use crate::{
    boot::{Booted, Progress},
    channel::Channel,
    descriptors,
    facts::Facts,
    filesystem::{self, Offer},
    identity, limits,
    secret::Arena,
    selftest, sys, syscalls,
};

/// A confined process: everything that it will ever have.
pub struct Confined<T> {
    /// What the role made of its boot message.
    pub prepared: T,
    /// Secret memory, with room for credentials that arrive later.
    pub arena: Arena,
    /// What is left of the descriptors that came with the boot message.
    pub descriptors: Vec<OwnedFd>,
    /// The channel to the supervisor.
    pub channel: Channel,
    /// The boot pipe: [`Progress::serving`] closes it.
    pub progress: Progress,
    /// What stands around this process.
    pub watch: Watch,
}

/// The posture at the start, and the means to look again from inside.
#[derive(Clone)]
pub struct Watch {
    posture: Posture,
    context: selftest::Context,
    descriptor_limit: i32,
}

impl Watch {
    /// The posture at the end of the start.
    #[must_use]
    pub fn posture(&self) -> &Posture {
        &self.posture
    }

    /// Tries every way out again and looks at the descriptor table as it is now: the answer to
    /// [`ToChild::SelfTest`]. Takes about 0.2 µs for each descriptor number below `RLIMIT_NOFILE`: a few milliseconds where it is
    /// 20,000, a fifth of a second where it is a million.
    #[must_use]
    pub fn again(&self) -> Posture {
        let mut posture = self.posture.clone();
        posture.descriptors = descriptors::table(self.descriptor_limit);
        if !posture.unconfined {
            posture.attempts = selftest::run(Some(posture.role), self.context);
            if !posture.memory_locked {
                posture.attempts.extend(selftest::swap_attempt());
            }
        }
        posture
    }
}

/// Confines this process.
///
/// `prepare` turns the boot message into what the role keeps: it moves private keys into the arena, reads what it needs
/// from descriptors or files (the last time that any can be opened), and takes out of the list the descriptors that it
/// is done with. It must leave no thread behind.
///
/// # Errors
/// The stage that failed, which is also the last code on the boot pipe. The process must then end.
pub fn confine<T>(
    booted: Booted,
    prepare: impl FnOnce(ToChild, &Arena, &mut Vec<OwnedFd>) -> Option<T>,
) -> Result<Confined<T>, Stage> {
    let Booted { role, options, message, mut descriptors, channel, mut progress, panic_fd } = booted;
    let mut steps = Steps { progress: &mut progress };

    let facts = steps.step(Stage::SingleThread, || {
        let facts = Facts::open().map_err(|_| ())?;
        single_thread(&facts)?;
        sys::clear_environment().map_err(|_| ())?;
        limits::no_fault_handlers().map_err(|_| ())?;
        Ok(facts)
    })?;
    let context = selftest::Context::new();

    let (arena, prepared, null, runtime) = steps.step(Stage::Secrets, || {
        let arena = Arena::new().map_err(|_| ())?;
        let prepared = prepare(message, &arena, &mut descriptors).ok_or(())?;
        let null = limits::open_null().map_err(|_| ())?;
        let runtime = descriptors::open_runtime_pair(&facts).map_err(|_| ())?;
        // Whatever `prepare` called, it must not have left a thread outside the walls.
        single_thread(&facts)?;
        Ok((arena, prepared, null, runtime))
    })?;

    let mut expected = vec![0, 1, 2, channel.as_fd().as_raw_fd(), steps.progress.as_fd().as_raw_fd(), panic_fd];
    expected.extend(runtime);
    expected.extend(descriptors.iter().map(AsRawFd::as_raw_fd));

    let mut posture = Posture {
        role,
        unconfined: options.unconfined,
        walls: Vec::new(),
        landlock_abi: None,
        own_user: false,
        secret_memory: arena.is_secret_memory(),
        memory_locked: false,
        descriptors: Vec::new(),
        attempts: Vec::new(),
    };
    let descriptor_limit = descriptors::upper_bound();
    if options.unconfined {
        drop(null);
        posture.descriptors = descriptors::table(descriptor_limit);
    } else {
        steps.walls(options, &facts, null, &expected, &mut posture)?;
        drop(facts);
        steps.step(Stage::SystemCalls, || syscalls::install(role).map_err(|_| ()))?;
        posture.walls.push(Wall::Seccomp);
        posture.walls.sort_unstable();
        steps.self_test(&channel, context, &mut posture)?;
    }
    let watch = Watch { posture, context, descriptor_limit };
    Ok(Confined { prepared, arena, descriptors, channel, progress, watch })
}

fn single_thread(facts: &Facts) -> Result<(), ()> {
    if facts.threads() == Ok(1) { Ok(()) } else { Err(()) }
}

/// Runs steps, each told before it begins.
struct Steps<'a> {
    progress: &'a mut Progress,
}

impl Steps<'_> {
    fn step<T>(&mut self, stage: Stage, run: impl FnOnce() -> Result<T, ()>) -> Result<T, Stage> {
        self.progress.begin(stage);
        run().map_err(|()| stage)
    }

    /// A step that only the kernel can refuse.
    fn limit<T>(&mut self, stage: Stage, run: impl FnOnce() -> Result<T, rustix::io::Errno>) -> Result<T, Stage> {
        self.step(stage, || run().map_err(|_| ()))
    }

    /// Everything between the secrets and the filter.
    fn walls(
        &mut self,
        options: BootOptions,
        facts: &Facts,
        null: OwnedFd,
        expected: &[i32],
        posture: &mut Posture,
    ) -> Result<(), Stage> {
        // Without Landlock, root makes its empty root here, while it has the right to; an ordinary user does so below, in a
        // user namespace.
        let offer = filesystem::offer();
        let as_root = rustix::process::geteuid().is_root();
        let mut empty_root = false;
        if offer == Ok(Offer::Nothing) && as_root {
            empty_root = self.limit(Stage::Filesystem, || filesystem::empty_root(false))?;
        }

        self.limit(Stage::Identity, || identity::drop_privileges(options.user))?;
        posture.own_user = options.user.is_some();
        self.limit(Stage::CoreLimit, limits::no_core)?;
        self.limit(Stage::Dumpable, limits::not_dumpable)?;
        self.limit(Stage::FileSizeLimit, limits::no_file_growth)?;
        self.limit(Stage::NoNewPrivileges, limits::no_new_privileges)?;
        posture.memory_locked = self.limit(Stage::Swap, || limits::no_swap(facts))?;
        self.limit(Stage::StandardStreams, || limits::close_standard_streams(null))?;
        posture.descriptors = self.limit(Stage::Descriptors, || descriptors::assert_only(expected, facts))?;

        let role = posture.role;
        self.limit(Stage::Filesystem, || {
            match offer? {
                Offer::Landlock(abi) => {
                    filesystem::restrict(role, abi)?;
                    posture.landlock_abi = u32::try_from(abi).ok();
                    posture.walls.push(Wall::Landlock);
                }
                Offer::Nothing => {
                    if empty_root || filesystem::empty_root(true)? {
                        posture.walls.push(Wall::EmptyRoot);
                    }
                }
            }
            Ok(())
        })
    }

    /// Tries every way out. A supervisor is told which one was open before the process ends.
    fn self_test(&mut self, channel: &Channel, context: selftest::Context, posture: &mut Posture) -> Result<(), Stage> {
        self.step(Stage::SelfTest, || {
            posture.attempts = selftest::run(Some(posture.role), context);
            if selftest::holds(&posture.attempts) {
                return Ok(());
            }
            let _ = channel.send(&FromChild::Posture(Box::new(posture.clone())), &[]);
            Err(())
        })
    }
}

/// The executable's name for a role: what `argv[1]` must be.
#[must_use]
pub fn role_of(argument: &str) -> Option<Role> {
    Role::CONFINED.into_iter().find(|role| role.name() == argument)
}
