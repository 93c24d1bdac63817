//! `weft bench query`: time and CPU of queries of each language over committed tables.
//!
//! The tables are filled through the stream, as `bench ingest` does; then each query runs several
//! times against a process that has seen it once.

use super::{Report, Row, generate, ingest::Scratch, usage};
use crate::cli::BenchArgs;
use anyhow::{Result, anyhow};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Instant;
use weft_codec::{Codec, Decoder, Message};
use weft_env::{Runtimes, SystemClock};
use weft_ledger::{Advance, Proposed};
use weft_model::{Epoch, Offset, Table};
use weft_table::{Location, Tables};

const RUNS: usize = 15;

/// Runs the queries and says their median, 95th percentile and CPU time.
pub(super) fn run(args: &BenchArgs) -> Result<Report> {
    let runtimes = Runtimes::start(0)?;
    let folder = Scratch::new()?;
    let scale = args.scale;
    runtimes.io().block_on(async {
        let location: Location = folder.0.display().to_string().parse()?;
        let tables = Tables::open(&location, weft_table::Config::default(), SystemClock::shared()).await?;
        let scrapes = (240.0 * scale).max(2.0) as usize;
        let messages: [(Table, Codec, Box<dyn Iterator<Item = generate::Encoded>>); 3] = [
            (Table::Metrics, Codec::RemoteWrite, Box::new(generate::samples(scrapes))),
            (Table::Logs, Codec::OtlpLogs, Box::new(generate::logs((300_000.0 * scale) as usize))),
            (Table::Spans, Codec::OtlpTraces, Box::new(generate::spans((200_000.0 * scale) as usize))),
        ];
        let mut progress = Progress { offset: 0, entry: 0 };
        for (table, codec, messages) in messages {
            fill(&tables, table, codec, messages, &mut progress).await?;
        }
        tables.publish().await?;
        measure(&runtimes, tables, scrapes).await
    })
}

/// Where the one made-up partition stands.
struct Progress {
    offset: Offset,
    entry: u64,
}

/// Commits messages in epochs of about 200,000 rows.
async fn fill(
    tables: &Tables,
    table: Table,
    codec: Codec,
    messages: Box<dyn Iterator<Item = generate::Encoded>>,
    progress: &mut Progress,
) -> Result<()> {
    let config = weft_codec::Config::default();
    let mut decoder = Decoder::new(codec, &config);
    let mut messages = messages.peekable();
    while let Some(message) = messages.next() {
        let message = Message {
            topic: "bench",
            partition: 0,
            offset: progress.offset,
            timestamp_ms: generate::START_MS,
            key: None,
            value: &message.body,
            headers: &[],
        };
        decoder.push(&message)?;
        if decoder.rows() < 200_000 && messages.peek().is_some() {
            continue;
        }
        let batch = weft_codec::derive(codec.signal(), decoder.finish()?, &config)?;
        let epoch = Epoch { worker: weft_env::ids::worker_id().into(), sequence: 1 };
        let files = tables.write_epoch(&epoch, BTreeMap::from([(table, vec![batch])]), &[]).await?;
        let advance = Advance {
            topic: "bench".into(),
            partition: 0,
            from: progress.offset,
            to: progress.offset + 1,
            after: progress.entry,
        };
        let proposed = Proposed { epoch, partitions: vec![advance], files, snapshots: Vec::new() };
        *progress = Progress { offset: progress.offset + 1, entry: tables.commit(&proposed).await?.number };
    }
    Ok(())
}

async fn measure(runtimes: &Runtimes, tables: Tables, scrapes: usize) -> Result<Report> {
    let query = weft_query::Engine::on(tables, weft_query::Config::default(), runtimes.cpu())?;
    let promql = weft_promql::Engine::new(query.clone(), weft_promql::Config::default());
    let logql = weft_logql::Engine::new(query.clone(), weft_logql::Config::default());
    let traceql = weft_traceql::Engine::new(query.clone(), weft_traceql::Config::default());
    let start = generate::START_MS;
    let end = start + scrapes as i64 * generate::SCRAPE_MS;
    let (start_ns, end_ns) = (start * 1_000_000, end * 1_000_000);
    let mut report = Report::new("query");

    for text in [
        "node_metric_01_total{instance=\"10.0.0.1:9100\"}",
        "sum by (cloud_provider) (rate(node_metric_01_total[5m]))",
        "sum by (cluster) (rate({__name__=~\"node_metric_0.*\"}[5m]))",
    ] {
        let options = weft_promql::Options::default();
        report.row(
            timed(&format!("PromQL range, 60 s steps: {text}"), || async {
                promql.range(text, start, end, 60_000, &options).await.map(drop).map_err(|error| anyhow!("{error}"))
            })
            .await?,
        );
    }
    for text in [
        "{service_name=\"cart\"} |= \"error\"",
        "sum by (level) (count_over_time({service_name=\"cart\"} | json [5m]))",
    ] {
        let options = weft_logql::Options::default();
        report.row(
            timed(&format!("LogQL range: {text}"), || async {
                logql
                    .range(text, start_ns, end_ns, 60_000_000_000, &options)
                    .await
                    .map(drop)
                    .map_err(|error| anyhow!("{error}"))
            })
            .await?,
        );
    }
    let trace_ids = query.session().sql("select trace_id from spans limit 1").await?;
    let rows = query.session().collect(trace_ids).await?;
    let trace_id: [u8; 16] = rows
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .and_then(|batch| batch.column(0).as_any().downcast_ref::<arrow::array::BinaryArray>())
        .and_then(|ids| ids.value(0).try_into().ok())
        .ok_or_else(|| anyhow!("the bench's own spans are not there"))?;
    report.row(
        timed("TraceQL: trace by id", || async {
            let found = traceql.trace_by_id(&trace_id, None).await.map_err(|error| anyhow!("{error}"))?;
            found.map(drop).ok_or_else(|| anyhow!("the trace is not found"))
        })
        .await?,
    );
    for text in ["{ status = error }", "{ resource.service.name = \"cart\" && duration > 49ms }"] {
        let search = weft_traceql::Search { start_ns, end_ns, limit: 20, spans_per_spanset: 3 };
        report.row(
            timed(&format!("TraceQL search: {text}"), || async {
                traceql.search(text, &search).await.map(drop).map_err(|error| anyhow!("{error}"))
            })
            .await?,
        );
    }
    for text in ["select service_name, count(*), avg(duration_nano) from spans group by 1"] {
        report.row(
            timed(&format!("SQL: {text}"), || async {
                let session = query.session();
                session.collect(session.sql(text).await?).await?;
                Ok(())
            })
            .await?,
        );
    }
    Ok(report)
}

async fn timed<F: Future<Output = Result<()>>>(what: &str, mut ask: impl FnMut() -> F) -> Result<Row> {
    ask().await?;
    let cpu = usage::cpu_time();
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let began = Instant::now();
        ask().await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let cpu = (usage::cpu_time() - cpu).as_secs_f64() * 1e3 / RUNS as f64;
    times.sort_by(f64::total_cmp);
    Ok(Row {
        what: what.to_owned(),
        figures: vec![("ms median", times[RUNS / 2]), ("ms p95", times[RUNS * 95 / 100]), ("ms CPU", cpu)],
    })
}
