//! End-to-end tests: real processes, real sockets, public clients. One binary, one module a subject.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::cast_possible_truncation, reason = "tests")]

mod disk_full;
mod garbage;
mod kafka;
mod kill;
mod object_store;
mod otel_sdk;
mod readers;
mod topologies;
