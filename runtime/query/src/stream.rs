//! Runs a plan on the cpu runtime under a deadline; cancelled when the reader goes away.

use crate::error::Error;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::DataFrame;
use futures::{Stream, StreamExt};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

/// Batches that may wait for a slow reader.
const BUFFERED: usize = 2;

/// The rows of a running query. Dropping it stops the query.
#[derive(Debug)]
pub struct QueryStream {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, Error>>,
    task: JoinHandle<()>,
    /// The reader's own watch: a task that computes for long doesn't see its deadline in time.
    deadline: Pin<Box<Sleep>>,
    timeout: Duration,
    ended: bool,
}

impl QueryStream {
    pub(crate) async fn start(
        frame: DataFrame,
        cpu: Option<Handle>,
        timeout: Duration,
        started: Instant,
    ) -> Result<Self, Error> {
        let handle = cpu.unwrap_or_else(Handle::current);
        let (planned, schema) = oneshot::channel();
        let (sender, batches) = mpsc::channel(BUFFERED);
        let deadline = tokio::time::Instant::from_std(started + timeout);
        let task = handle.spawn(async move {
            let late = sender.clone();
            let run = run(frame, planned, sender);
            if tokio::time::timeout_at(deadline, run).await.is_err() {
                // Nobody listening any more is as good as being told.
                let _ = late.send(Err(Error::Timeout(timeout))).await;
            }
        });
        let mut stream = Self {
            schema: Arc::new(Schema::empty()),
            batches,
            task,
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            timeout,
            ended: false,
        };
        let schema = tokio::select! {
            schema = schema => schema,
            () = stream.deadline.as_mut() => return Err(Error::Timeout(timeout)),
        };
        match schema {
            Ok(Ok(schema)) => stream.schema = schema,
            Ok(Err(error)) => return Err(error),
            // The task ended before it had a plan: timed out, panicked, or its runtime stopped.
            Err(_) => {
                let error = stream.next().await.and_then(Result::err);
                return Err(error.unwrap_or(Error::Cancelled));
            }
        }
        Ok(stream)
    }

    /// The columns of every batch.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }
}

async fn run(
    frame: DataFrame,
    planned: oneshot::Sender<Result<SchemaRef, Error>>,
    sender: mpsc::Sender<Result<RecordBatch, Error>>,
) {
    let context = Arc::new(frame.task_ctx());
    let stream = match frame.create_physical_plan().await {
        Ok(plan) => execute_stream(plan, context),
        Err(error) => Err(error),
    };
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => {
            let _ = planned.send(Err(error.into()));
            return;
        }
    };
    let _ = planned.send(Ok(stream.schema()));
    while let Some(batch) = stream.next().await {
        let failed = batch.is_err();
        if sender.send(batch.map_err(Error::from)).await.is_err() || failed {
            return;
        }
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.batches.poll_recv(context) {
            Poll::Ready(None) => {
                // A task that panicked or was stopped also closes the channel: rows so far are not all.
                let result = ready!(Pin::new(&mut self.task).poll(context));
                self.ended = true;
                Poll::Ready(match result {
                    Ok(()) => None,
                    Err(error) if error.is_cancelled() => Some(Err(Error::Cancelled)),
                    Err(error) => Some(Err(Error::Engine(error.to_string()))),
                })
            }
            Poll::Pending if self.deadline.as_mut().poll(context).is_ready() => {
                self.ended = true;
                self.task.abort();
                Poll::Ready(Some(Err(Error::Timeout(self.timeout))))
            }
            other => other,
        }
    }
}

impl Drop for QueryStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}
