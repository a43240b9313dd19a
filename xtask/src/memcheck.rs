//! The rooms with `unsafe` code under tools that see what a test cannot: the allocator and the buffers under Miri where a nightly toolchain
//! has it, and these, the passing of descriptors and the secret memory under AddressSanitizer.
//!
//! AddressSanitizer comes with the stable toolchain, but its flag is unstable: `RUSTC_BOOTSTRAP` allows it for this one build, which is
//! never shipped. Miri knows neither descriptors that are passed nor C, so that it has the allocator and the buffers only.

use std::process::Command;

use crate::house::{Failed, House, output, run as run_command, succeeds};

pub(crate) fn run(house: &House) -> Result<(), Failed> {
    let mut cargo = Command::new("cargo");
    if succeeds(Command::new("cargo").args(["+nightly", "miri", "--version"])) {
        println!("==> Miri: allocator and buffers");
        cargo.current_dir(&house.root).args(["+nightly", "miri", "test", "--locked", "-p", "lethe-content"]);
        cargo.args(["--lib", "--test", "allocator"]).env("CARGO_TARGET_DIR", house.target.join("miri"));
        // The compiler's flags for the shipped executable name instructions that Miri does not interpret.
        run_command(cargo.env("CARGO_ENCODED_RUSTFLAGS", "").env("MIRIFLAGS", "-Zmiri-disable-isolation"))?;
    } else {
        println!("==> Miri is NOT run: it needs `rustup toolchain install nightly --component miri,rust-src`");
    }
    println!("==> AddressSanitizer: allocator, buffers, descriptors, secret memory");
    let host = output(Command::new("rustc").arg("-vV"))?;
    let host =
        host.lines().find_map(|line| line.strip_prefix("host: ")).ok_or_else(|| Failed::new("rustc names no host"))?.to_owned();
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&house.root).args(["test", "--release", "--locked", "--target", &host]);
    cargo.args(["-p", "lethe-content", "-p", "lethe-confine", "--lib", "--test", "allocator"]);
    cargo.env("CARGO_TARGET_DIR", house.target.join("asan")).env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Zsanitizer=address\u{1f}-Cdebuginfo=1");
    run_command(cargo.env("ASAN_OPTIONS", "detect_stack_use_after_return=1:strict_string_checks=1"))
}
