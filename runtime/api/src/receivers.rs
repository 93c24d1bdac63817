//! The protocols weft takes telemetry in, one file each. Each answers success only once the log has
//! the data durably, and the protocol's retryable error when the log can't take it.

pub mod loki;
pub mod otlp_grpc;
pub mod otlp_http;
pub mod remote_write;
