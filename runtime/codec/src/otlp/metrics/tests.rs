#![allow(clippy::unwrap_used, reason = "tests")]

use crate::testing::{a_resource, a_scope, decode_with, get, key_value, labels, labels_of, message, pairs, string};
use crate::{Codec, Config, Decoder, MetricsConfig, NameStrategy, validate};
use arrow::array::{
    Array, AsArray, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use weft_model::metrics;

const MS: u64 = 1_000_000;
const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: "About it.".to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn point(value: f64, attributes: Vec<KeyValue>) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: 1_000 * MS,
        time_unix_nano: 5_000 * MS,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn gauge(name: &str, unit: &str, attributes: Vec<KeyValue>) -> Metric {
    metric(name, unit, Data::Gauge(Gauge { data_points: vec![point(0.5, attributes)] }))
}

fn sum(name: &str, temporality: i32, monotonic: bool) -> Metric {
    let value = Some(number_data_point::Value::AsInt(7));
    let data_points = vec![NumberDataPoint { value, ..point(0.0, vec![]) }];
    metric(name, "By", Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic: monotonic }))
}

fn exemplar_of(value: f64, attributes: Vec<KeyValue>) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes,
        time_unix_nano: 4_000 * MS,
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        value: Some(exemplar::Value::AsDouble(value)),
    }
}

fn histogram() -> Metric {
    let point = HistogramDataPoint {
        attributes: vec![string("zone", "z"), string("app", "a")],
        start_time_unix_nano: 1_000 * MS,
        time_unix_nano: 5_000 * MS,
        count: 6,
        sum: Some(3.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.1, 5.0],
        exemplars: vec![exemplar_of(9.0, vec![]), exemplar_of(0.05, vec![string("k", "v")])],
        ..HistogramDataPoint::default()
    };
    metric("latency", "s", Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 2 }))
}

fn exponential(scale: i32) -> Metric {
    let point = ExponentialHistogramDataPoint {
        time_unix_nano: 5_000 * MS,
        count: 10,
        sum: Some(100.0),
        scale,
        zero_count: 1,
        positive: Some(Buckets { offset: -1, bucket_counts: vec![1, 0, 2, 0, 0, 0, 3, 0] }),
        negative: Some(Buckets { offset: 4, bucket_counts: vec![3] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
    metric("sizes", "By", Data::ExponentialHistogram(data))
}

fn summary() -> Metric {
    let point = SummaryDataPoint {
        time_unix_nano: 5_000 * MS,
        count: 4,
        sum: 8.5,
        quantile_values: vec![ValueAtQuantile { quantile: 0.99, value: 3.5 }],
        ..SummaryDataPoint::default()
    };
    metric("rpc", "", Data::Summary(Summary { data_points: vec![point] }))
}

fn data(resource: Option<Resource>, metrics: Vec<Metric>) -> MetricsData {
    let scope_metrics = vec![ScopeMetrics { scope: Some(a_scope()), metrics, schema_url: "s".to_owned() }];
    MetricsData { resource_metrics: vec![ResourceMetrics { resource, scope_metrics, schema_url: String::new() }] }
}

/// A metric of every kind.
pub(crate) fn some_metrics() -> MetricsData {
    let all = vec![
        gauge("cpu.usage", "1", vec![string("core", "0")]),
        sum("network.io", 2, true),
        histogram(),
        exponential(3),
        summary(),
    ];
    data(Some(a_resource("api")), all)
}

fn decode(metrics: MetricsData, config: MetricsConfig) -> RecordBatch {
    let config = Config { metrics: config, ..Config::default() };
    decode_with(Codec::OtlpMetrics, &metrics.encode_to_vec(), &config)
}

fn names(batch: &RecordBatch) -> Vec<String> {
    get::<StringArray>(batch, metrics::NAME).iter().map(|name| name.unwrap().to_owned()).collect()
}

/// The only sample of a row.
fn value(batch: &RecordBatch, row: usize) -> f64 {
    let integers: &ListArray = get(batch, metrics::INT_VALUES);
    if integers.is_valid(row) {
        return integers.value(row).as_primitive::<Int64Type>().value(0) as f64;
    }
    get::<ListArray>(batch, metrics::VALUES).value(row).as_primitive::<Float64Type>().value(0)
}

fn structs(batch: &RecordBatch, name: &str, row: usize) -> StructArray {
    get::<ListArray>(batch, name).value(row).as_struct().clone()
}

#[test]
fn every_kind_becomes_the_series_prometheus_makes_of_it() {
    let batch = decode(some_metrics(), MetricsConfig::default());
    assert_eq!(
        names(&batch),
        [
            "cpu_usage_ratio",
            "network_io_bytes_total",
            "latency_seconds_sum",
            "latency_seconds_count",
            "latency_seconds_bucket",
            "latency_seconds_bucket",
            "latency_seconds_bucket",
            "sizes_bytes",
            "rpc_sum",
            "rpc_count",
            "rpc",
            "target_info",
        ]
    );
    let kinds = get::<Int32Array>(&batch, metrics::KIND).values();
    assert_eq!(kinds, &[1, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 1]);
    let of = |row: usize| labels(&batch, metrics::LABELS, row);
    assert_eq!(of(0), pairs(&[("core", "0"), ("job", "api")]));
    assert_eq!(of(4), pairs(&[("app", "a"), ("job", "api"), ("le", "0.1"), ("zone", "z")]));
    assert_eq!(of(5)[2], ("le".to_owned(), "5".to_owned()));
    assert_eq!(of(6)[2], ("le".to_owned(), "+Inf".to_owned()));
    assert_eq!(of(10), pairs(&[("job", "api"), ("quantile", "0.99")]));
    assert_eq!(of(11), pairs(&[("host_cpus", "8"), ("job", "api")]));
    let values: Vec<f64> = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11].iter().map(|&row| value(&batch, row)).collect();
    assert_eq!(values, [0.5, 7.0, 3.5, 6.0, 1.0, 3.0, 6.0, 8.5, 4.0, 3.5, 1.0]);
    assert_eq!(get::<StringArray>(&batch, metrics::UNIT).value(1), "By");
    assert_eq!(get::<StringArray>(&batch, metrics::HELP).value(1), "About it.");
    let times: &ListArray = get(&batch, metrics::TIMESTAMPS);
    let starts: &ListArray = get(&batch, metrics::START_TIMES);
    assert_eq!(times.value(0).as_primitive::<Int64Type>().values(), &[5_000]);
    assert_eq!(starts.value(0).as_primitive::<Int64Type>().values(), &[1_000]);
    assert!(starts.is_null(7));
    let counts = validate(Codec::OtlpMetrics, None, &some_metrics().encode_to_vec()).unwrap();
    assert_eq!((counts.items, counts.histograms, counts.exemplars), (5, 1, 2));
}

#[test]
fn exemplars_of_a_histogram_lie_with_their_buckets() {
    let batch = decode(data(None, vec![histogram()]), MetricsConfig::default());
    let exemplars: &ListArray = get(&batch, metrics::EXEMPLARS);
    let present: Vec<bool> = (0..batch.num_rows()).map(|row| exemplars.is_valid(row)).collect();
    assert_eq!(present, [false, false, true, false, true]);
    let first = structs(&batch, metrics::EXEMPLARS, 2);
    assert_eq!(first.column(0).as_primitive::<Int64Type>().value(0), 4_000);
    assert_eq!(first.column(2).as_binary::<i32>().value(0), [1; 16]);
    let map = first.column(4).as_any().downcast_ref::<MapArray>().unwrap();
    assert_eq!(labels_of(map, 0), pairs(&[("k", "v")]));
}

#[test]
fn long_exemplar_attributes_are_left_out() {
    let mut long = histogram();
    if let Some(Data::Histogram(histogram)) = &mut long.data {
        histogram.data_points[0].exemplars = vec![exemplar_of(9.0, vec![string("k", &"x".repeat(100))])];
    }
    let batch = decode(data(None, vec![long]), MetricsConfig::default());
    let exemplar = structs(&batch, metrics::EXEMPLARS, 4);
    assert!(labels_of(exemplar.column(4).as_any().downcast_ref().unwrap(), 0).is_empty());
}

#[test]
fn exponential_histograms_become_native_ones() {
    let batch = decode(data(None, vec![exponential(3)]), MetricsConfig::default());
    let histogram = structs(&batch, metrics::HISTOGRAMS, 0);
    let ints = |name: &str| {
        histogram.column_by_name(name).unwrap().as_list::<i32>().value(0).as_primitive::<Int32Type>().values().to_vec()
    };
    let counts = |name: &str| {
        histogram
            .column_by_name(name)
            .unwrap()
            .as_list::<i32>()
            .value(0)
            .as_primitive::<Float64Type>()
            .values()
            .to_vec()
    };
    let float = |name: &str| histogram.column_by_name(name).unwrap().as_primitive::<Float64Type>().value(0);
    // OTLP's buckets -1, 1 and 5 are Prometheus's 0, 2 and 6; a gap of three opens a span.
    assert_eq!((ints("positive_offsets"), ints("positive_lengths")), (vec![0, 3], vec![3, 1]));
    assert_eq!(counts("positive_counts"), [1.0, 0.0, 2.0, 3.0]);
    assert_eq!((ints("negative_offsets"), counts("negative_counts")), (vec![5], vec![3.0]));
    assert_eq!((float("count"), float("sum"), float("zero_count")), (10.0, 100.0, 1.0));
    assert_eq!(float("zero_threshold"), 1e-128);
    assert_eq!(histogram.column_by_name("schema").unwrap().as_primitive::<Int32Type>().value(0), 3);
    assert!(!histogram.column_by_name("is_float").unwrap().as_boolean().value(0));
}

#[test]
fn fine_scales_are_reduced_and_coarse_ones_refused() {
    let batch = decode(data(None, vec![exponential(9)]), MetricsConfig::default());
    let histogram = structs(&batch, metrics::HISTOGRAMS, 0);
    assert_eq!(histogram.column_by_name("schema").unwrap().as_primitive::<Int32Type>().value(0), 8);
    let counts = histogram.column_by_name("positive_counts").unwrap().as_list::<i32>().value(0);
    // Buckets -1; 1; 5 at scale 9 are -1, 0 and 2 at scale 8: Prometheus's 0, 1 and 3.
    assert_eq!(counts.as_primitive::<Float64Type>().values(), &[1.0, 2.0, 0.0, 3.0]);
    decode(data(None, vec![exponential(i32::MAX)]), MetricsConfig::default());

    let body = data(None, vec![exponential(-5), gauge("", "", vec![]), gauge("kept", "", vec![])]).encode_to_vec();
    let mut decoder = Decoder::new(Codec::OtlpMetrics, &Config::default());
    assert_eq!((decoder.push(&message(&body)), decoder.take_rejected()), (Ok(1), 2));
    let counts = validate(Codec::OtlpMetrics, None, &body).unwrap();
    assert_eq!((counts.items, counts.histograms, counts.rejected), (1, 0, 2));
    assert!(counts.rejected_reason.unwrap().contains("below -4"));
}

#[test]
fn delta_temporality_is_kept() {
    let batch = decode(data(None, vec![sum("a", 1, true), sum("b", 2, false)]), MetricsConfig::default());
    assert_eq!(names(&batch), ["a_bytes_total", "b_bytes"]);
    assert_eq!(get::<Int32Array>(&batch, metrics::TEMPORALITY).values(), &[1, 2]);
    assert_eq!(get::<Int32Array>(&batch, metrics::KIND).values(), &[2, 1]);
}

#[test]
fn a_point_without_a_value_is_stale() {
    let mut stale = sum("a", 2, true);
    if let Some(Data::Sum(sum)) = &mut stale.data {
        sum.data_points[0].flags = 1;
    }
    let batch = decode(data(None, vec![stale]), MetricsConfig::default());
    assert_eq!(value(&batch, 0).to_bits(), STALE_BITS);
}

#[test]
fn label_collisions_are_joined_in_the_order_of_their_keys() {
    let attributes =
        vec![string("a.b", "2"), string("a_b", "3"), string("a-b", "1"), string("le", ""), string("__name__", "x")];
    let batch = decode(data(None, vec![gauge("g", "", attributes)]), MetricsConfig::default());
    assert_eq!(labels(&batch, metrics::LABELS, 0), pairs(&[("a_b", "1;2;3")]));
}

#[test]
fn job_and_instance_replace_attributes_and_identify_target_info() {
    let attributes = vec![
        string("service.name", "api"),
        string("service.namespace", "shop"),
        string("service.instance.id", "i-1"),
        string("os", "linux"),
    ];
    let resource = Resource { attributes: attributes.clone(), ..Resource::default() };
    let batch =
        decode(data(Some(resource), vec![gauge("g", "", vec![string("job", "mine")])]), MetricsConfig::default());
    assert_eq!(labels(&batch, metrics::LABELS, 0), pairs(&[("instance", "i-1"), ("job", "shop/api")]));
    assert_eq!(labels(&batch, metrics::LABELS, 1), pairs(&[("instance", "i-1"), ("job", "shop/api"), ("os", "linux")]));

    let identifying = Resource { attributes: attributes[..3].to_vec(), ..Resource::default() };
    let batch = decode(data(Some(identifying), vec![gauge("g", "", vec![])]), MetricsConfig::default());
    assert_eq!(names(&batch), ["g"]);
    let anonymous = Resource { attributes: attributes[3..].to_vec(), ..Resource::default() };
    let batch = decode(data(Some(anonymous), vec![gauge("g", "", vec![])]), MetricsConfig::default());
    assert_eq!(names(&batch), ["g"]);
}

#[test]
fn target_info_covers_the_time_of_the_points() {
    let at = |minutes: u64| {
        let data_points = vec![NumberDataPoint { time_unix_nano: minutes * 60_000 * MS, ..point(1.0, vec![]) }];
        metric("g", "", Data::Gauge(Gauge { data_points }))
    };
    let batch = decode(data(Some(a_resource("api")), vec![at(10), at(15)]), MetricsConfig::default());
    let times: &ListArray = get(&batch, metrics::TIMESTAMPS);
    assert_eq!(times.value(2).as_primitive::<Int64Type>().values(), &[600_000, 750_000, 900_000]);
    // Years apart: bounded, and the latest is there.
    let batch = decode(data(Some(a_resource("api")), vec![at(1), at(10_000_000)]), MetricsConfig::default());
    let times = get::<ListArray>(&batch, metrics::TIMESTAMPS).value(2);
    assert_eq!((times.len(), times.as_primitive::<Int64Type>().value(1000)), (1001, 600_000_000_000));
    assert_eq!(get::<Int64Array>(&batch, metrics::MAX_TIME).value(2), 600_000_000_000);
}

#[test]
fn equal_target_info_of_two_resources_is_written_once() {
    let mut twice = data(Some(a_resource("api")), vec![gauge("g", "", vec![])]);
    twice.resource_metrics.push(twice.resource_metrics[0].clone());
    assert_eq!(names(&decode(twice, MetricsConfig::default())), ["g", "target_info", "g"]);
}

#[test]
fn resource_and_scope_are_promoted_as_configured() {
    let config = MetricsConfig {
        promote_resource_attributes: vec!["host.cpus".to_owned()],
        promote_scope_metadata: true,
        type_and_unit_labels: true,
        ..MetricsConfig::default()
    };
    let one = || data(Some(a_resource("api")), vec![gauge("g", "s", vec![string("host_cpus", "own")])]);
    let batch = decode(one(), config);
    let expected = [
        ("__type__", "gauge"),
        ("__unit__", "seconds"),
        ("host_cpus", "own"),
        ("job", "api"),
        ("otel_scope_name", "lib"),
        ("otel_scope_schema_url", "s"),
        ("otel_scope_scope_key", "v"),
        ("otel_scope_version", "1.2"),
    ];
    assert_eq!(labels(&batch, metrics::LABELS, 0), pairs(&expected));
    assert_eq!(labels(&batch, metrics::LABELS, 1), pairs(&[("host_cpus", "8"), ("job", "api")]));

    let config = MetricsConfig {
        promote_all_resource_attributes: true,
        ignore_resource_attributes: vec!["host.cpus".to_owned()],
        keep_identifying_resource_attributes: true,
        ..MetricsConfig::default()
    };
    let batch = decode(one(), config);
    assert_eq!(
        labels(&batch, metrics::LABELS, 0),
        pairs(&[("host_cpus", "own"), ("job", "api"), ("service_name", "api")])
    );
    assert_eq!(
        labels(&batch, metrics::LABELS, 1),
        pairs(&[("host_cpus", "8"), ("job", "api"), ("service_name", "api")])
    );
}

#[test]
fn names_are_kept_where_utf8_is_allowed() {
    let config = MetricsConfig { translation_strategy: NameStrategy::NoTranslation, ..MetricsConfig::default() };
    let batch =
        decode(data(None, vec![gauge("cpu.usage", "1", vec![key_value("a.b", Value::BoolValue(true))])]), config);
    assert_eq!(names(&batch), ["cpu.usage"]);
    assert_eq!(labels(&batch, metrics::LABELS, 0), pairs(&[("a.b", "true")]));
}

#[test]
fn classic_histograms_become_native_ones_where_asked() {
    let config = MetricsConfig { convert_histograms_to_nhcb: true, ..MetricsConfig::default() };
    let batch = decode(data(None, vec![histogram()]), config);
    assert_eq!(names(&batch), ["latency_seconds"]);
    let histogram = structs(&batch, metrics::HISTOGRAMS, 0);
    let list = |name: &str| histogram.column_by_name(name).unwrap().as_list::<i32>().value(0);
    assert_eq!(list("custom_values").as_primitive::<Float64Type>().values(), &[0.1, 5.0]);
    assert_eq!(list("positive_counts").as_primitive::<Float64Type>().values(), &[1.0, 2.0, 3.0]);
    assert_eq!(list("positive_offsets").as_primitive::<Int32Type>().values(), &[0]);
    assert_eq!(structs(&batch, metrics::EXEMPLARS, 0).len(), 2);
}
