//! End-to-end tests: real processes, real sockets, public clients. One binary, one module a subject.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod otel_sdk;
