//! SQL over HTTP: `POST /api/v1/sql`, the statement as the body (text) or as `{"query": "…"}`.
//!
//! The answer follows `Accept`: JSON (default) `{"columns": [{"name", "type"}], "rows": [{…}]}`, or
//! an Arrow IPC stream (`application/vnd.apache.arrow.stream`), which is sent as it is made. In JSON
//! binary columns are hex, maps are objects, and rows are held until the query has ended, so that a
//! failure is never half an answer.

use super::Engines;
use crate::{Error, body};
use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{JsonArray, WriterBuilder};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;
use weft_query::QueryStream;

const ARROW: &str = "application/vnd.apache.arrow.stream";
const STATEMENT_BYTES: usize = 1 << 20;

/// `/api/v1/sql`.
pub fn router(engines: Engines) -> Router {
    Router::new().route("/api/v1/sql", post(sql)).with_state(engines)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    query: String,
}

struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<weft_query::Error> for Failure {
    fn from(error: weft_query::Error) -> Self {
        Self(match error {
            weft_query::Error::Timeout(_) => Error::Timeout(error.to_string()),
            _ => Error::from_kind(error.kind(), error.to_string()),
        })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0.status(), axum::Json(json!({"error": self.0.to_string()}))).into_response()
    }
}

async fn sql(State(engines): State<Engines>, request: Request) -> Result<Response, Failure> {
    let (parts, request_body) = request.into_parts();
    let read = body::read(&parts.headers, request_body, STATEMENT_BYTES).await?;
    let json = body::media_type(&parts.headers).is_some_and(|media_type| media_type == "application/json");
    let statement = if json {
        serde_json::from_slice::<Statement>(&read)
            .map_err(|error| Error::Bad(format!("the body is not {{\"query\": \"…\"}}: {error}")))?
            .query
    } else {
        String::from_utf8(read.into()).map_err(|error| Error::Bad(format!("the statement is not UTF-8: {error}")))?
    };
    let session = engines.query.session();
    let frame = session.sql(&statement).await?;
    let stream = session.stream(frame).await?;
    let arrow =
        parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(ARROW));
    if arrow { arrow_stream(stream) } else { json_rows(stream).await }
}

async fn json_rows(stream: QueryStream) -> Result<Response, Failure> {
    let schema = stream.schema();
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| json!({"name": field.name(), "type": field.data_type().to_string()}))
        .collect();
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let mut rows = Vec::new();
    {
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut rows);
        let written = batches.iter().try_for_each(|batch| writer.write(batch)).and_then(|()| writer.finish());
        written.map_err(|error| Error::Internal(format!("encoding the rows failed: {error}")))?;
    }
    if rows.is_empty() {
        rows.extend_from_slice(b"[]");
    }
    let mut answer = format!("{{\"columns\":{},\"rows\":", serde_json::Value::from(columns)).into_bytes();
    answer.append(&mut rows);
    answer.extend_from_slice(b"}\n");
    Ok(([(CONTENT_TYPE, "application/json")], answer).into_response())
}

/// A failure while rows stream ends the response early: an Arrow reader sees that its end is missing.
fn arrow_stream(stream: QueryStream) -> Result<Response, Failure> {
    let broken = |error: arrow::error::ArrowError| Error::Internal(format!("encoding the rows failed: {error}"));
    let mut writer = StreamWriter::try_new(Vec::new(), &stream.schema()).map_err(broken)?;
    writer.flush().map_err(broken)?;
    let head = Bytes::from(std::mem::take(writer.get_mut()));
    let chunks = stream.map(Some).chain(futures::stream::once(async { None })).map(move |batch| {
        match batch {
            Some(Ok(batch)) => writer.write(&batch).map_err(std::io::Error::other)?,
            Some(Err(error)) => return Err(std::io::Error::other(error.to_string())),
            None => writer.finish().map_err(std::io::Error::other)?,
        }
        Ok(Bytes::from(std::mem::take(writer.get_mut())))
    });
    let all = futures::stream::once(async { Ok(head) }).chain(chunks);
    Ok((StatusCode::OK, [(CONTENT_TYPE, ARROW)], Body::from_stream(all)).into_response())
}
