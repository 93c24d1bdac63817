//! The standard modules as they are shipped: built to Wasm by `guest-sdk/build`, run by the real
//! host. Their logic is tested natively, in `modules/*`; here it is that the host agrees with the
//! SDK's test host about paths, kernels, emit, defer and snapshots.
#![allow(clippy::unwrap_used, reason = "tests")]

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};
use weft_model::attributes::TypedMapBuilder;
use weft_model::{Signal, TopicPartition, logs, metrics, raw, spans};
use weft_wasm::{Config, Engine, Instance, Output};

const NAMES: [&str; 10] = [
    "attributes",
    "parse-json",
    "parse-lines",
    "parse-logfmt",
    "probabilistic-sampler",
    "redact",
    "resource-detection",
    "service-graph",
    "span-metrics",
    "tail-sampling",
];

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_700_000_000 * SECOND;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("target/standard-modules");
    let built = Command::new(root.join("guest-sdk/build")).arg("-o").arg(&folder).args(NAMES).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder
});

/// Compiled code is kept between runs: compiling is most of what these tests take.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let cache_dir = Some(FOLDER.join("compiled"));
    Engine::new(Config { instances: 32, cache_dir, ..Config::default() }).unwrap()
});

fn instance(name: &str, config: &str) -> Instance {
    let module = ENGINE.load(&FOLDER.join(format!("{name}.wasm"))).unwrap();
    module.instantiate(config, &TopicPartition::new("otlp_spans", 3)).unwrap()
}

fn rows_of(signal: Signal, rows: usize, columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let schema = signal.schema();
    let all = schema.fields().iter().map(|field| {
        if let Some((_, array)) = columns.iter().find(|(name, _)| name == field.name()) {
            return Arc::clone(array);
        }
        let empty = || {
            let mut map = TypedMapBuilder::new();
            (0..rows).for_each(|_| map.finish_row());
            map.finish()
        };
        match field.data_type() {
            data_type if field.is_nullable() => new_null_array(data_type, rows),
            DataType::Int32 => Arc::new(Int32Array::from_value(0, rows)),
            DataType::Int64 => Arc::new(Int64Array::from_value(0, rows)),
            DataType::Map(..) if field.data_type() == empty().data_type() => Arc::new(empty()),
            data_type => {
                // Empty lists and maps: the nulls' values without the nulls.
                let data = new_null_array(data_type, rows).to_data().into_builder().nulls(None).null_count(0);
                arrow::array::make_array(data.build().unwrap())
            }
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), all.collect()).unwrap()
}

#[derive(Clone, Copy)]
struct Span {
    service: &'static str,
    name: &'static str,
    kind: i32,
    trace: u64,
    id: u64,
    parent: u64,
    nanos: i64,
    status: i32,
}

fn span(service: &'static str, kind: i32, trace: u64, id: u64, parent: u64) -> Span {
    Span { service, name: "GET /", kind, trace, id, parent, nanos: 3_000_000, status: 0 }
}

fn span_batch(spans: &[Span]) -> RecordBatch {
    let (mut resource, mut attributes) = (TypedMapBuilder::new(), TypedMapBuilder::new());
    for span in spans {
        resource.string("service.name", span.service);
        resource.finish_row();
        attributes.int("http.status_code", if span.status == 2 { 500 } else { 200 });
        attributes.json("list", "[1]");
        attributes.finish_row();
    }
    let binary = |ids: Vec<Option<Vec<u8>>>| Arc::new(ids.into_iter().collect::<BinaryArray>()) as ArrayRef;
    let id = |id: u64| Some(id.to_be_bytes().to_vec());
    let trace = |id: u64| Some([id.wrapping_mul(0x9e37_79b9_7f4a_7c15), id].map(u64::to_be_bytes).concat());
    rows_of(
        Signal::Spans,
        spans.len(),
        vec![
            (spans::TRACE_ID, binary(spans.iter().map(|s| trace(s.trace)).collect())),
            (spans::SPAN_ID, binary(spans.iter().map(|s| id(s.id)).collect())),
            (
                spans::PARENT_SPAN_ID,
                binary(spans.iter().map(|s| if s.parent == 0 { None } else { id(s.parent) }).collect()),
            ),
            (spans::NAME, Arc::new(StringArray::from_iter_values(spans.iter().map(|s| s.name)))),
            (spans::KIND, Arc::new(Int32Array::from_iter_values(spans.iter().map(|s| s.kind)))),
            (spans::STATUS_CODE, Arc::new(Int32Array::from_iter_values(spans.iter().map(|s| s.status)))),
            (spans::START_TIME, Arc::new(Int64Array::from_value(NOW, spans.len()))),
            (spans::END_TIME, Arc::new(Int64Array::from_iter_values(spans.iter().map(|s| NOW + s.nanos)))),
            (spans::DURATION, Arc::new(Int64Array::from_iter_values(spans.iter().map(|s| s.nanos)))),
            (spans::RESOURCE, Arc::new(resource.finish())),
            (spans::ATTRIBUTES, Arc::new(attributes.finish())),
        ],
    )
}

fn log_batch(lines: &[&str]) -> RecordBatch {
    rows_of(
        Signal::Logs,
        lines.len(),
        vec![
            (logs::BODY, Arc::new(StringArray::from_iter_values(lines))),
            (logs::BODY_TYPE, Arc::new(Int32Array::from_value(1, lines.len()))),
            (logs::TIME, Arc::new(Int64Array::from_value(NOW, lines.len()))),
        ],
    )
}

/// A row's map as `key=value`, sorted.
fn map(batch: &RecordBatch, name: &str, row: usize) -> Vec<String> {
    let map = batch.column_by_name(name).unwrap().as_map().value(row);
    let keys = map.column(0).as_string::<i32>();
    let mut entries: Vec<String> = (0..map.len())
        .map(|at| {
            let text = |array: &ArrayRef| arrow::util::display::array_value_to_string(array, at).unwrap();
            let value = match map.column(1).as_struct_opt() {
                Some(values) => values.columns().iter().find(|child| child.is_valid(at)).map(text),
                None => Some(text(map.column(1))),
            };
            format!("{}={}", keys.value(at), value.unwrap_or_default())
        })
        .collect();
    entries.sort();
    entries
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    column.iter().map(|text| text.unwrap_or("-").to_owned()).collect()
}

/// The last value of each emitted series, by name and labels.
fn last_values(emitted: &[(Signal, RecordBatch)], into: &mut BTreeMap<String, f64>) {
    for (signal, batch) in emitted {
        assert_eq!(*signal, Signal::Metrics);
        let names = texts(batch, metrics::NAME);
        let ints = batch.column_by_name(metrics::INT_VALUES).unwrap().as_list::<i32>();
        let floats = batch.column_by_name(metrics::VALUES).unwrap().as_list::<i32>();
        for (row, name) in names.iter().enumerate() {
            let value = if ints.is_valid(row) {
                ints.value(row).as_primitive::<Int64Type>().value(0) as f64
            } else {
                floats.value(row).as_primitive::<Float64Type>().value(0)
            };
            into.insert(format!("{name}{:?}", map(batch, metrics::LABELS, row)), value);
        }
    }
}

fn total(series: &BTreeMap<String, f64>, name: &str) -> f64 {
    series.iter().filter(|(series, _)| series.starts_with(&format!("{name}["))).map(|(_, value)| value).sum()
}

fn rows(output: &Output) -> usize {
    let released: usize = output.released.iter().map(|(_, batch)| batch.num_rows()).sum();
    released + output.batch.as_ref().map_or(0, RecordBatch::num_rows)
}

#[test]
fn every_module_loads_and_says_what_it_is() {
    for name in NAMES {
        let module = ENGINE.load(&FOLDER.join(format!("{name}.wasm"))).unwrap();
        assert_eq!(module.name(), name);
        let description = module.description();
        assert!(!description.accepts.is_empty(), "{name}");
        let schema: serde_json::Value = serde_json::from_str(&description.config_schema).unwrap();
        for property in schema["properties"].as_object().unwrap().keys() {
            // Of no field's type, so that only its name can be accepted.
            let config = format!(r#"{{"{property}": {{"not of its type": [[1]]}}}}"#);
            let error = module.instantiate(&config, &TopicPartition::new("t", 0)).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains(&format!("unknown field `{property}`")), "{name}: {error}");
        }
        let error =
            module.instantiate(r#"{"no such field": 1}"#, &TopicPartition::new("t", 0)).unwrap_err().to_string();
        assert!(error.contains("no such field"), "{name}: {error}");
    }
}

#[test]
fn attributes_are_set_looked_up_and_edited() {
    let config = r#"{"attributes": {"cloud.provider": "aws"},
        "lookups": [{"attribute": "service.name", "table": {"api": {"team": "core", "tier": 1}, "web": {"team": "ui"}}}]}"#;
    let batch = span_batch(&[span("api", 2, 1, 1, 0), span("web", 3, 1, 2, 1)]);
    let out = instance("resource-detection", config).process(Signal::Spans, batch, NOW).unwrap().batch.unwrap();
    assert_eq!(map(&out, spans::RESOURCE, 0), ["cloud.provider=aws", "service.name=api", "team=core", "tier=1"]);
    assert_eq!(map(&out, spans::RESOURCE, 1), ["cloud.provider=aws", "service.name=web", "team=ui"]);
    let config = r#"{"include": {"services": ["api"]}, "actions": [
        {"action": "delete", "pattern": "^li"}, {"action": "rename", "key": "http.status_code", "new_key": "code"},
        {"action": "convert", "key": "code", "converted_type": "string"}, {"action": "insert", "key": "n", "value": 1.5},
        {"action": "upsert", "key": "resource.copy", "from_attribute": "code"},
        {"action": "extract", "key": "code", "pattern": "(?P<first>\\d)"}, {"action": "hash", "key": "resource.team"}]}"#;
    let out = instance("attributes", config).process(Signal::Spans, out, NOW).unwrap().batch.unwrap();
    assert_eq!(map(&out, spans::ATTRIBUTES, 0), ["code=200", "first=2", "n=1.5"]);
    assert_eq!(map(&out, spans::ATTRIBUTES, 1), ["http.status_code=200", "list=[1]"], "the excluded row is as it was");
    let resource = map(&out, spans::RESOURCE, 0);
    assert_eq!(resource[..3], ["cloud.provider=aws", "copy=200", "service.name=api"]);
    assert_eq!(resource[3].len(), "team=".len() + 64);
    assert_eq!(map(&out, spans::RESOURCE, 1), ["cloud.provider=aws", "service.name=web", "team=ui"]);
    let out = instance("attributes", r#"{"actions": []}"#).process(Signal::Spans, out.clone(), NOW).unwrap();
    assert_eq!(rows(&out), 2);
}

#[test]
fn lines_are_parsed_in_logs_and_raw_records() {
    let lines = [
        r#"{"level":"warn","user":{"id":7},"ok":true,"f":1.5,"l":[1],"trace_id":"0102030405060708090a0b0c0d0e0f10"}"#,
        "a=1 b=\"two words\"",
        "plain words",
    ];
    let out = instance("parse-json", "{}").process(Signal::Logs, log_batch(&lines), NOW).unwrap().batch.unwrap();
    assert_eq!(map(&out, logs::ATTRIBUTES, 0), ["f=1.5", "l=[1]", "ok=true", "user_id=7"]);
    assert_eq!(out.column_by_name(logs::SEVERITY_NUMBER).unwrap().as_primitive::<Int32Type>().value(0), 13);
    assert_eq!(out.column_by_name(logs::TRACE_ID).unwrap().as_binary::<i32>().value(0)[..2], [1, 2]);
    let out = instance("parse-logfmt", "{}").process(Signal::Logs, out, NOW).unwrap().batch.unwrap();
    assert_eq!(map(&out, logs::ATTRIBUTES, 1), ["a=1", "b=two words"]);
    assert!(map(&out, logs::ATTRIBUTES, 2).is_empty());
    assert_eq!(texts(&out, logs::BODY), lines);

    let records = rows_of(
        Signal::Raw,
        3,
        vec![
            (raw::VALUE, Arc::new(BinaryArray::from_iter_values(lines))),
            (raw::TOPIC, Arc::new(StringArray::from_iter_values(["app"; 3]))),
            (raw::TIMESTAMP, Arc::new(Int64Array::from_value(5, 3))),
        ],
    );
    for module in ["parse-json", "parse-logfmt", "parse-lines"] {
        let out = instance(module, "{}").process(Signal::Raw, records.clone(), NOW).unwrap();
        assert_eq!(rows(&out), 0, "raw records end at {module}");
        let (signal, logs) = &out.emitted[0];
        assert_eq!((*signal, texts(logs, logs::BODY)), (Signal::Logs, lines.map(str::to_owned).to_vec()));
        assert_eq!(map(logs, logs::RESOURCE, 2), ["service.name=app"]);
        assert_eq!(logs.column_by_name(logs::TIME).unwrap().as_primitive::<Int64Type>().value(2), 5_000_000);
        assert_eq!(logs.column_by_name(logs::BODY_TYPE).unwrap().as_primitive::<Int32Type>().value(2), 1);
    }
}

#[test]
fn span_metrics_count_every_span_through_a_crash() {
    let config = r#"{"dimensions": ["http.status_code"]}"#;
    let batch = |n: u64| {
        let spans: Vec<Span> = (0..500)
            .map(|i| Span {
                status: if i % 50 == 0 { 2 } else { 0 },
                ..span(["api", "web"][i as usize % 2], 2, n * 500 + i, i + 1, 0)
            })
            .collect();
        span_batch(&spans)
    };
    let mut series = BTreeMap::new();
    let mut one = instance("span-metrics", config);
    for n in 0..4 {
        let out = one.process(Signal::Spans, batch(n), NOW).unwrap();
        assert_eq!(out.batch.unwrap(), batch(n), "spans pass unchanged");
    }
    let out = one.tick(NOW + SECOND).unwrap();
    last_values(&out.emitted, &mut series);
    assert_eq!(total(&series, "traces_spanmetrics_calls_total"), 2000.0);
    let all: Vec<&RecordBatch> = out.emitted.iter().map(|(_, batch)| batch).collect();
    let all = concat_batches(&Signal::Metrics.schema(), all).unwrap();
    let exemplars = all.column_by_name(metrics::EXEMPLARS).unwrap();
    assert_eq!(exemplars.len() - exemplars.null_count(), 3, "one a label set, in its bucket");
    let starts = all.column_by_name(metrics::START_TIMES).unwrap().as_list::<i32>();
    let times = all.column_by_name(metrics::TIMESTAMPS).unwrap().as_list::<i32>();
    for row in 0..all.num_rows() {
        let (start, time) = (starts.value(row), times.value(row));
        assert_eq!(start.as_primitive::<Int64Type>().value(0), NOW / 1_000_000 - 1000);
        assert!(time.as_primitive::<Int64Type>().value(0) >= start.as_primitive::<Int64Type>().value(0));
    }
    let labels = map(&all, metrics::LABELS, 0);
    assert_eq!(
        labels,
        [
            "__metrics_gen_instance=otlp_spans-3",
            "http_status_code=500",
            "service=api",
            "span_kind=SPAN_KIND_SERVER",
            "span_name=GET /",
            "status_code=STATUS_CODE_ERROR",
        ]
    );
    let snapshot = one.snapshot().unwrap();
    one.process(Signal::Spans, batch(9), NOW).unwrap();
    let mut two = instance("span-metrics", config);
    two.restore(&snapshot).unwrap();
    two.process(Signal::Spans, batch(4), NOW + SECOND).unwrap();
    last_values(&two.tick(NOW + 3 * SECOND).unwrap().emitted, &mut series);
    assert_eq!(total(&series, "traces_spanmetrics_calls_total"), 2500.0);
    assert_eq!(total(&series, "traces_spanmetrics_latency_count"), 2500.0);
}

#[test]
fn the_service_graph_pairs_spans_through_a_crash() {
    let mut one = instance("service-graph", "{}");
    one.process(Signal::Spans, span_batch(&[span("front", 2, 1, 9, 0), span("front", 3, 1, 1, 9)]), NOW).unwrap();
    let snapshot = one.snapshot().unwrap();
    let mut two = instance("service-graph", "{}");
    two.restore(&snapshot).unwrap();
    two.process(Signal::Spans, span_batch(&[Span { status: 2, ..span("api", 2, 1, 2, 1) }]), NOW + SECOND).unwrap();
    let mut series = BTreeMap::new();
    last_values(&two.tick(NOW + 2 * SECOND).unwrap().emitted, &mut series);
    let of = |name: &str| {
        series.iter().filter(|(s, v)| s.starts_with(name) && **v == 1.0).map(|(s, _)| s.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        of("traces_service_graph_request_total"),
        [
            r#"traces_service_graph_request_total["__metrics_gen_instance=otlp_spans-3", "client=front", "server=api"]"#,
            r#"traces_service_graph_request_total["__metrics_gen_instance=otlp_spans-3", "client=user", "connection_type=virtual_node", "server=front"]"#,
        ]
    );
    assert_eq!(of("traces_service_graph_request_failed_total").len(), 1);
}

#[test]
fn samplers_keep_whole_traces_and_park_across_a_crash() {
    let spans: Vec<Span> = (0..2000).map(|i| span("api", 2, i / 4 + 1, i + 1, 0)).collect();
    let batch = span_batch(&spans);
    let mut sampler = instance("probabilistic-sampler", r#"{"sampling_percentage": 10}"#);
    let kept = rows(&sampler.process(Signal::Spans, batch.clone(), NOW).unwrap());
    assert!((80..320).contains(&kept) && kept.is_multiple_of(4), "{kept}");

    let config = r#"{"decision_wait": "10s", "policies": [
        {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}},
        {"name": "re", "type": "string_attribute", "string_attribute": {"key": "service.name", "values": ["^we"], "enabled_regex_matching": true}}]}"#;
    let mut one = instance("tail-sampling", config);
    let first = [
        Span { status: 2, ..span("api", 2, 1, 1, 0) },
        span("api", 2, 1, 2, 1),
        Span { nanos: 2 * SECOND, ..span("api", 2, 2, 3, 0) },
        span("web", 2, 3, 4, 0),
        span("api", 2, 4, 5, 0),
    ];
    assert_eq!(rows(&one.process(Signal::Spans, span_batch(&first), NOW).unwrap()), 0);
    assert_eq!(one.deferred_rows(), 5);
    let snapshot = one.snapshot().unwrap();
    let mut two = instance("tail-sampling", config);
    two.restore(&snapshot).unwrap();
    assert_eq!(rows(&two.tick(NOW + 9 * SECOND).unwrap()), 0);
    assert_eq!(rows(&two.tick(NOW + 10 * SECOND).unwrap()), 4);
    assert_eq!(two.deferred_rows(), 0);
    let late = [span("api", 2, 4, 6, 0), span("api", 2, 1, 7, 0), span("api", 2, 5, 8, 0)];
    let out = two.process(Signal::Spans, span_batch(&late), NOW + 11 * SECOND).unwrap();
    assert_eq!((rows(&out), two.deferred_rows()), (1, 1), "dropped, kept, waiting");
}

#[test]
fn secrets_are_redacted() {
    let config = r#"{"rules": [{"regex": "\\d{4}-\\d{4}", "replacement": "xxxx"}]}"#;
    let out = instance("redact", config).process(Signal::Logs, log_batch(&["card 1234-5678"]), NOW).unwrap();
    assert_eq!(texts(&out.batch.unwrap(), logs::BODY), ["card xxxx"]);
}

#[test]
#[ignore = "a measurement: run it in release with --nocapture"]
fn cost_of_each_module() {
    let services = ["api", "web", "cart", "pay", "mail", "auth", "img", "db"];
    let spans: Vec<Span> = (0..8192)
        .map(|i| {
            span(services[i as usize % 8], [2, 3][i as usize % 2], i / 8 + 1, i + 1, if i % 8 == 0 { 0 } else { i })
        })
        .collect();
    let line = r#"{"level":"info","ts":"2023-11-14T22:13:20Z","msg":"request served","method":"GET","path":"/api/v1/items","status":200,"ms":12.5,"user":{"id":"u-123","plan":"free"}}"#;
    let logfmt = r#"level=info ts=2023-11-14T22:13:20Z msg="request served" method=GET path=/api/v1/items status=200 ms=12.5 user=u-123"#;
    let (spans, json, logfmt) = (span_batch(&spans), log_batch(&[line; 8192]), log_batch(&[logfmt; 8192]));
    let tail = r#"{"policies": [{"name": "e", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]}"#;
    for (module, config, signal, batch) in [
        (
            "resource-detection",
            r#"{"attributes": {"cloud.provider": "aws", "cloud.region": "eu"}}"#,
            Signal::Spans,
            &spans,
        ),
        ("attributes", r#"{"actions": []}"#, Signal::Spans, &spans),
        ("span-metrics", "{}", Signal::Spans, &spans),
        ("service-graph", "{}", Signal::Spans, &spans),
        ("probabilistic-sampler", r#"{"sampling_percentage": 10}"#, Signal::Spans, &spans),
        ("tail-sampling", tail, Signal::Spans, &spans),
        ("parse-json", "{}", Signal::Logs, &json),
        ("parse-logfmt", "{}", Signal::Logs, &logfmt),
    ] {
        let mut instance = instance(module, config);
        let mut best = u128::MAX;
        for round in 0..30 {
            let now = NOW + round * 20 * SECOND;
            let start = std::time::Instant::now();
            instance.process(signal, batch.clone(), now).unwrap();
            best = best.min(start.elapsed().as_nanos());
            instance.tick(now + 15 * SECOND).unwrap();
        }
        let per_row = best as f64 / batch.num_rows() as f64;
        std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{module}: {per_row:.1} ns/row\n")).unwrap();
    }
}
