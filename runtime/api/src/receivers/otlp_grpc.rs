//! OTLP/gRPC: `Export` of the trace, metrics and logs services, gzip or zstd.
//!
//! Messages are passed on as the bytes they came in: the log keeps exactly what the sender sent, and
//! nothing is decoded into objects. Source: the OTLP specification 1.x, section OTLP/gRPC:
//! `INVALID_ARGUMENT` is final, `UNAVAILABLE` is retried by clients.

use crate::Error;
use crate::ingest::Ingest;
use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use bytes::{Buf, BufMut, Bytes};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tonic::codec::{CompressionEncoding, DecodeBuf, EncodeBuf};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use weft_codec::Codec;

/// The three services.
pub fn router(ingest: Arc<Ingest>) -> Router {
    let path =
        |signal: &str, service: &str| format!("/opentelemetry.proto.collector.{signal}.v1.{service}Service/Export");
    Router::new()
        .route(&path("trace", "Trace"), post(|state, request| export(state, request, Codec::OtlpTraces)))
        .route(&path("metrics", "Metrics"), post(|state, request| export(state, request, Codec::OtlpMetrics)))
        .route(&path("logs", "Logs"), post(|state, request| export(state, request, Codec::OtlpLogs)))
        .fallback(|| async {
            Status::unimplemented("weft serves the OTLP trace, metrics and logs services here")
                .into_http::<axum::body::Body>()
        })
        .with_state(ingest)
}

async fn export(
    State(ingest): State<Arc<Ingest>>,
    request: Request,
    codec: Codec,
) -> http::Response<tonic::body::Body> {
    let limit = ingest.config().max_decoded_bytes;
    let mut grpc = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .apply_max_message_size_config(Some(limit), None);
    grpc.unary(Export { ingest, codec }, request).await
}

struct Export {
    ingest: Arc<Ingest>,
    codec: Codec,
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (ingest, codec) = (Arc::clone(&self.ingest), self.codec);
        Box::pin(async move {
            let body = request.into_inner();
            let _room = ingest.admit(body.len()).await.map_err(|error| status(&error))?;
            ingest
                .accept(codec, Some("application/x-protobuf".to_owned()), body)
                .await
                .map_err(|error| status(&error))?;
            // An Export*ServiceResponse without partial success has no bytes.
            Ok(tonic::Response::new(Bytes::new()))
        })
    }
}

fn status(error: &Error) -> Status {
    let code = match error {
        Error::Bad(_) | Error::Unsupported(_) | Error::NotFound(_) => Code::InvalidArgument,
        // RESOURCE_EXHAUSTED without RetryInfo is final for OTLP clients: the same body won't fit later.
        Error::TooLarge(_) => Code::ResourceExhausted,
        Error::Unavailable(_) | Error::Timeout(_) => Code::Unavailable,
        Error::Internal(_) => Code::Internal,
    };
    Status::new(code, error.to_string())
}

/// Passes messages through as bytes.
#[derive(Debug, Clone, Copy)]
struct RawCodec;

impl tonic::codec::Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl tonic::codec::Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = message.remaining();
        Ok(Some(message.copy_to_bytes(length)))
    }
}
