//! The command line as a contract.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use clap::{CommandFactory, Parser};

use super::{Cli, Command};

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_visible_command_has_examples() {
    let help = |command: &clap::Command| command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let cli = Cli::command();
    for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
        assert!(help(command).contains("lethe "), "{}", command.get_name());
    }
    assert!(help(&cli).contains("Exit codes"));
}

#[test]
fn the_contract_parses() {
    for line in [
        "lethe up",
        "lethe up --config lethe.toml --state s --api 127.0.0.1:0 --console 127.0.0.1:0 --probes 127.0.0.1:0",
        "lethe up --model model.gguf --unconfined --json",
        "lethe records --json",
        "lethe records --state elsewhere",
        "lethe records --url https://127.0.0.1:8443 --token-file token",
        "lethe posture --json --probe",
        "lethe reload",
        "lethe reload --state elsewhere",
        "lethe upgrade --state elsewhere",
        "lethe key create --name ci",
        "lethe key create --name ci --region eu --json",
        "lethe key list --json",
        "lethe key revoke 3",
        "lethe config check",
        "lethe config check lethe.toml --json",
        "lethe config check lethe.toml --state s",
        "lethe import litellm config.yaml",
        "lethe import litellm config.yaml --out lethe.toml",
        "lethe diagnose",
        "lethe diagnose --state s --json",
        "lethe diagnose location 00c0ffee00c0ffee",
        "lethe metrics",
        "lethe provider list --config lethe.toml --json",
        "lethe provider test openai --config lethe.toml --model gpt --stream --ignore-terms --json",
        "lethe model fetch --from model.gguf",
    ] {
        let parsed = Cli::try_parse_from(line.split(' '));
        assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
    }
    assert!(matches!(Cli::try_parse_from(["lethe", "control"]).unwrap().command, Command::Control));
}

#[test]
fn what_contradicts_itself_is_refused() {
    for line in [
        "lethe",
        "lethe down",
        "lethe key revoke",
        "lethe key revoke first",
        "lethe records --url https://127.0.0.1:8443",
        "lethe records --token-file token",
        "lethe up --api nowhere",
        "lethe provider test",
        "lethe diagnose location nowhere",
    ] {
        assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
    }
}
