//! The `weft` binary: `weft up`, `run`, `query`, `demo`, `bench`, `topology`.
//!
//! `cli.rs` is what was typed, `settings.rs` what it means, `roles.rs` what each process is put
//! together from. Only this crate prints to standard output.

mod bench;
mod cli;
mod client;
mod demo;
mod roles;
mod settings;
mod telemetry;

use anyhow::Result;
use clap::Parser;
use cli::{Cli, Command, TopologyCommand};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "the last word of a command")]
            {
                eprintln!("weft: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Up(flags) => roles::up(&flags),
        Command::Run(flags) => roles::worker(&flags),
        Command::Query(args) if args.serve => roles::query(&args.common),
        Command::Query(args) => client::sql(&args),
        Command::Demo(args) => roles::demo(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Topology(TopologyCommand::Check { topology, modules }) => {
            roles::check_topology(&topology, modules.as_deref())
        }
    }
}
