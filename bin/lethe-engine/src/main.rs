//! The embedded engine's process, confined before it listens to anyone.
//!
//! Started by a supervisor with the role as only argument, an empty environment, the channel as descriptor 3 and the boot pipe as
//! descriptor 4. It says nothing on any stream: how far it came is on the boot pipe, and the exit code is the number of the stage that
//! failed.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use lethe_confine::channel::{AsyncChannel, Channel};
use lethe_confine::{Confined, boot, confine, role_of};
use lethe_content::alloc::ZeroOnFree;
use lethe_engine::{Engine, Limits, serve};
use lethe_handover::{EngineBoot, FromChild, Role, Stage, ToChild};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

#[global_allocator]
static ALLOCATOR: ZeroOnFree = ZeroOnFree;

/// Not this executable's role (sysexits.h, `EX_USAGE`).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if (arguments.next().as_deref().and_then(role_of), arguments.next()) != (Some(Role::Engine), None) {
        return ExitCode::from(USAGE);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(stage) => ExitCode::from(stage.code()),
    }
}

fn run() -> Result<(), Stage> {
    let booted = boot::start(Role::Engine).map_err(|_| Stage::Boot)?;
    // The model is read, and its file closed, while files can still be read. Threads come after the confinement.
    let confined = confine(booted, |message, _, descriptors| {
        let ToChild::Engine(boot, _) = message else { return None };
        let [_, _] = **descriptors else { return None };
        let file = read_and_close(descriptors.pop()?)?;
        let EngineBoot { model, threads, concurrent, queue } = *boot;
        let engine = Engine::load(&file, model).ok()?;
        Some((engine, usize::from(threads), Limits { concurrent: usize::from(concurrent), queue: usize::from(queue) }))
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(|_| Stage::Role)?;
    runtime.block_on(LocalSet::new().run_until(engine(confined)))
}

fn read_and_close(file: OwnedFd) -> Option<Vec<u8>> {
    let mut file = File::from(file);
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).ok()?;
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

async fn engine(confined: Confined<(Engine, usize, Limits)>) -> Result<(), Stage> {
    let Confined { prepared: (engine, threads, limits), descriptors, channel, mut progress, watch, .. } = confined;
    progress.begin(Stage::Role);
    let engine = engine.with_threads(threads).map_err(|_| Stage::Role)?;
    let [acceptor] = <[OwnedFd; 1]>::try_from(descriptors).map_err(|_| Stage::Role)?;
    let acceptor = Channel::from_fd(acceptor).and_then(Channel::into_async).map_err(|_| Stage::Role)?;
    let channel = channel.into_async().map_err(|_| Stage::Role)?;
    let (sender, connections) = mpsc::channel(1);
    let serving = tokio::task::spawn_local(serve(connections, Arc::new(engine), limits));
    let accepting = tokio::task::spawn_local(accept(acceptor, sender));

    channel.send(&FromChild::Ready(Box::new(watch.posture().clone())), &[]).await.map_err(|_| Stage::Role)?;
    progress.serving();
    loop {
        match channel.recv::<ToChild>().await {
            Ok((ToChild::SelfTest, _)) => {
                let posture = FromChild::Posture(Box::new(watch.again()));
                if channel.send(&posture, &[]).await.is_err() {
                    break;
                }
            }
            Ok((ToChild::Drain, _)) | Err(_) => break,
            Ok(_) => {}
        }
    }
    // With the acceptor's task, its sender goes, which ends the server once every open request is answered.
    accepting.abort();
    serving.await.map_err(|_| Stage::Serving)?;
    let _ = channel.send(&FromChild::Drained, &[]).await;
    Ok(())
}

/// Takes in the connections that the node front opens: one stream socket in each message. Ends with the front.
async fn accept(acceptor: AsyncChannel, connections: mpsc::Sender<UnixStream>) {
    while let Ok((0_u8, descriptors)) = acceptor.recv().await {
        for descriptor in descriptors {
            let stream = std::os::unix::net::UnixStream::from(descriptor);
            let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
            if let Ok(stream) = stream
                && connections.send(stream).await.is_err()
            {
                return;
            }
        }
    }
}
