//! OTLP's messages as data: what the validator and the JSON reader walk by.
//!
//! The decoders read the same messages by hand, for speed; tests hold the three together.
//! Source: opentelemetry-proto 1.x.

use super::metrics::{COARSE_SCALE, NO_NAME};
use super::{logs, metrics, traces};
use crate::wire::{Reader, Result};

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Message(&'static Shape),
    Text,
    Bytes,
    /// An id: so many bytes, or none; and what to say otherwise.
    Id(usize, &'static str),
    /// An id that must be there and not all zero.
    RequiredId(usize, &'static str),
    /// `int32`, or an enum with the names of its values (their common prefix left off).
    Enum(&'static str, &'static [(&'static str, i32)]),
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Bool,
    Fixed32,
    Fixed64,
    Sfixed64,
    /// `fixed64`: ns since the Unix epoch, within 63 bits.
    Time,
    Double,
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// Its name in JSON, lowerCamelCase.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) repeated: bool,
}

/// What a message counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    None,
    /// A span, a log record, a data point.
    One,
    /// A data point that is a native histogram.
    Histogram,
    Exemplar,
}

/// Tells of a message, by its bytes, why it is refused.
type Refusal = fn(Reader<'_>) -> Result<Option<&'static str>>;

/// A message.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Ascending by number.
    pub(crate) fields: &'static [Field],
    pub(crate) item: Item,
    /// Has fields of [`Kind::RequiredId`].
    pub(crate) required: bool,
    /// A list of values: nesting of these is bounded.
    pub(crate) list: bool,
    /// Why the items in it are refused though the bytes are sound.
    pub(crate) refusal: Option<Refusal>,
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: false }
}

const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: true }
}

const fn shape(fields: &'static [Field]) -> Shape {
    Shape { fields, item: Item::None, required: false, list: false, refusal: None }
}

const fn item(item: Item, fields: &'static [Field]) -> Shape {
    Shape { fields, item, required: false, list: false, refusal: None }
}

static ANY_VALUE: Shape = shape(&[
    one(1, "stringValue", Kind::Text),
    one(2, "boolValue", Kind::Bool),
    one(3, "intValue", Kind::Int64),
    one(4, "doubleValue", Kind::Double),
    one(5, "arrayValue", Kind::Message(&ARRAY)),
    one(6, "kvlistValue", Kind::Message(&KEY_VALUES)),
    one(7, "bytesValue", Kind::Bytes),
]);
static ARRAY: Shape = Shape {
    fields: &[many(1, "values", Kind::Message(&ANY_VALUE))],
    item: Item::None,
    required: false,
    list: true,
    refusal: None,
};
static KEY_VALUES: Shape = Shape {
    fields: &[many(1, "values", Kind::Message(&KEY_VALUE))],
    item: Item::None,
    required: false,
    list: true,
    refusal: None,
};
static KEY_VALUE: Shape = shape(&[one(1, "key", Kind::Text), one(2, "value", Kind::Message(&ANY_VALUE))]);
static RESOURCE: Shape =
    shape(&[many(1, "attributes", Kind::Message(&KEY_VALUE)), one(2, "droppedAttributesCount", Kind::Uint32)]);
static SCOPE: Shape = shape(&[
    one(1, "name", Kind::Text),
    one(2, "version", Kind::Text),
    many(3, "attributes", Kind::Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", Kind::Uint32),
]);

/// `TracesData`.
pub(crate) static TRACES: Shape = shape(&[many(1, "resourceSpans", Kind::Message(&RESOURCE_SPANS))]);
static RESOURCE_SPANS: Shape = shape(&[
    one(1, "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeSpans", Kind::Message(&SCOPE_SPANS)),
    one(3, "schemaUrl", Kind::Text),
]);
static SCOPE_SPANS: Shape = shape(&[
    one(1, "scope", Kind::Message(&SCOPE)),
    many(2, "spans", Kind::Message(&SPAN)),
    one(3, "schemaUrl", Kind::Text),
]);
static SPAN: Shape = Shape {
    item: Item::One,
    required: true,
    ..shape(&[
        one(1, "traceId", Kind::RequiredId(16, traces::TRACE_ID)),
        one(2, "spanId", Kind::RequiredId(8, traces::SPAN_ID)),
        one(3, "traceState", Kind::Text),
        one(4, "parentSpanId", Kind::Id(8, traces::PARENT_SPAN_ID)),
        one(5, "name", Kind::Text),
        one(
            6,
            "kind",
            Kind::Enum(
                "SPAN_KIND_",
                &[("UNSPECIFIED", 0), ("INTERNAL", 1), ("SERVER", 2), ("CLIENT", 3), ("PRODUCER", 4), ("CONSUMER", 5)],
            ),
        ),
        one(7, "startTimeUnixNano", Kind::Time),
        one(8, "endTimeUnixNano", Kind::Time),
        many(9, "attributes", Kind::Message(&KEY_VALUE)),
        one(10, "droppedAttributesCount", Kind::Uint32),
        many(11, "events", Kind::Message(&EVENT)),
        one(12, "droppedEventsCount", Kind::Uint32),
        many(13, "links", Kind::Message(&LINK)),
        one(14, "droppedLinksCount", Kind::Uint32),
        one(15, "status", Kind::Message(&STATUS)),
        one(16, "flags", Kind::Fixed32),
    ])
};
static EVENT: Shape = shape(&[
    one(1, "timeUnixNano", Kind::Time),
    one(2, "name", Kind::Text),
    many(3, "attributes", Kind::Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", Kind::Uint32),
]);
static LINK: Shape = shape(&[
    one(1, "traceId", Kind::Id(16, traces::LINK_TRACE_ID)),
    one(2, "spanId", Kind::Id(8, traces::LINK_SPAN_ID)),
    one(3, "traceState", Kind::Text),
    many(4, "attributes", Kind::Message(&KEY_VALUE)),
    one(5, "droppedAttributesCount", Kind::Uint32),
    one(6, "flags", Kind::Fixed32),
]);
static STATUS: Shape = shape(&[
    one(2, "message", Kind::Text),
    one(3, "code", Kind::Enum("STATUS_CODE_", &[("UNSET", 0), ("OK", 1), ("ERROR", 2)])),
]);

/// `LogsData`.
pub(crate) static LOGS: Shape = shape(&[many(1, "resourceLogs", Kind::Message(&RESOURCE_LOGS))]);
static RESOURCE_LOGS: Shape = shape(&[
    one(1, "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeLogs", Kind::Message(&SCOPE_LOGS)),
    one(3, "schemaUrl", Kind::Text),
]);
static SCOPE_LOGS: Shape = shape(&[
    one(1, "scope", Kind::Message(&SCOPE)),
    many(2, "logRecords", Kind::Message(&LOG_RECORD)),
    one(3, "schemaUrl", Kind::Text),
]);
static LOG_RECORD: Shape = item(
    Item::One,
    &[
        one(1, "timeUnixNano", Kind::Time),
        one(
            2,
            "severityNumber",
            Kind::Enum(
                "SEVERITY_NUMBER_",
                &[
                    ("UNSPECIFIED", 0),
                    ("TRACE", 1),
                    ("TRACE2", 2),
                    ("TRACE3", 3),
                    ("TRACE4", 4),
                    ("DEBUG", 5),
                    ("DEBUG2", 6),
                    ("DEBUG3", 7),
                    ("DEBUG4", 8),
                    ("INFO", 9),
                    ("INFO2", 10),
                    ("INFO3", 11),
                    ("INFO4", 12),
                    ("WARN", 13),
                    ("WARN2", 14),
                    ("WARN3", 15),
                    ("WARN4", 16),
                    ("ERROR", 17),
                    ("ERROR2", 18),
                    ("ERROR3", 19),
                    ("ERROR4", 20),
                    ("FATAL", 21),
                    ("FATAL2", 22),
                    ("FATAL3", 23),
                    ("FATAL4", 24),
                ],
            ),
        ),
        one(3, "severityText", Kind::Text),
        one(5, "body", Kind::Message(&ANY_VALUE)),
        many(6, "attributes", Kind::Message(&KEY_VALUE)),
        one(7, "droppedAttributesCount", Kind::Uint32),
        one(8, "flags", Kind::Fixed32),
        one(9, "traceId", Kind::Id(16, logs::TRACE_ID)),
        one(10, "spanId", Kind::Id(8, logs::SPAN_ID)),
        one(11, "observedTimeUnixNano", Kind::Time),
        one(12, "eventName", Kind::Text),
    ],
);

/// `MetricsData`.
pub(crate) static METRICS: Shape = shape(&[many(1, "resourceMetrics", Kind::Message(&RESOURCE_METRICS))]);
static RESOURCE_METRICS: Shape = shape(&[
    one(1, "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeMetrics", Kind::Message(&SCOPE_METRICS)),
    one(3, "schemaUrl", Kind::Text),
]);
static SCOPE_METRICS: Shape = shape(&[
    one(1, "scope", Kind::Message(&SCOPE)),
    many(2, "metrics", Kind::Message(&METRIC)),
    one(3, "schemaUrl", Kind::Text),
]);
static METRIC: Shape = Shape {
    fields: &[
        one(1, "name", Kind::Text),
        one(2, "description", Kind::Text),
        one(3, "unit", Kind::Text),
        one(5, "gauge", Kind::Message(&GAUGE)),
        one(7, "sum", Kind::Message(&SUM)),
        one(9, "histogram", Kind::Message(&HISTOGRAM)),
        one(10, "exponentialHistogram", Kind::Message(&EXPONENTIAL_HISTOGRAM)),
        one(11, "summary", Kind::Message(&SUMMARY)),
        many(12, "metadata", Kind::Message(&KEY_VALUE)),
    ],
    item: Item::None,
    required: false,
    list: false,
    refusal: Some(|mut reader| {
        let mut named = false;
        while let Some((number, wire)) = reader.field()? {
            match number {
                1 => named = !reader.bytes(wire)?.is_empty(),
                _ => reader.skip(number, wire)?,
            }
        }
        Ok((!named).then_some(NO_NAME))
    }),
};
const TEMPORALITY: Kind =
    Kind::Enum("AGGREGATION_TEMPORALITY_", &[("UNSPECIFIED", 0), ("DELTA", 1), ("CUMULATIVE", 2)]);
static GAUGE: Shape = shape(&[many(1, "dataPoints", Kind::Message(&NUMBER))]);
static SUM: Shape = shape(&[
    many(1, "dataPoints", Kind::Message(&NUMBER)),
    one(2, "aggregationTemporality", TEMPORALITY),
    one(3, "isMonotonic", Kind::Bool),
]);
static HISTOGRAM: Shape =
    shape(&[many(1, "dataPoints", Kind::Message(&HISTOGRAM_POINT)), one(2, "aggregationTemporality", TEMPORALITY)]);
static EXPONENTIAL_HISTOGRAM: Shape =
    shape(&[many(1, "dataPoints", Kind::Message(&EXPONENTIAL_POINT)), one(2, "aggregationTemporality", TEMPORALITY)]);
static SUMMARY: Shape = shape(&[many(1, "dataPoints", Kind::Message(&SUMMARY_POINT))]);
static NUMBER: Shape = item(
    Item::One,
    &[
        one(2, "startTimeUnixNano", Kind::Time),
        one(3, "timeUnixNano", Kind::Time),
        one(4, "asDouble", Kind::Double),
        many(5, "exemplars", Kind::Message(&EXEMPLAR)),
        one(6, "asInt", Kind::Sfixed64),
        many(7, "attributes", Kind::Message(&KEY_VALUE)),
        one(8, "flags", Kind::Uint32),
    ],
);
static HISTOGRAM_POINT: Shape = item(
    Item::One,
    &[
        one(2, "startTimeUnixNano", Kind::Time),
        one(3, "timeUnixNano", Kind::Time),
        one(4, "count", Kind::Fixed64),
        one(5, "sum", Kind::Double),
        many(6, "bucketCounts", Kind::Fixed64),
        many(7, "explicitBounds", Kind::Double),
        many(8, "exemplars", Kind::Message(&EXEMPLAR)),
        many(9, "attributes", Kind::Message(&KEY_VALUE)),
        one(10, "flags", Kind::Uint32),
        one(11, "min", Kind::Double),
        one(12, "max", Kind::Double),
    ],
);
static EXPONENTIAL_POINT: Shape = Shape {
    fields: &[
        many(1, "attributes", Kind::Message(&KEY_VALUE)),
        one(2, "startTimeUnixNano", Kind::Time),
        one(3, "timeUnixNano", Kind::Time),
        one(4, "count", Kind::Fixed64),
        one(5, "sum", Kind::Double),
        one(6, "scale", Kind::Sint32),
        one(7, "zeroCount", Kind::Fixed64),
        one(8, "positive", Kind::Message(&BUCKETS)),
        one(9, "negative", Kind::Message(&BUCKETS)),
        one(10, "flags", Kind::Uint32),
        many(11, "exemplars", Kind::Message(&EXEMPLAR)),
        one(12, "min", Kind::Double),
        one(13, "max", Kind::Double),
        one(14, "zeroThreshold", Kind::Double),
    ],
    item: Item::Histogram,
    required: false,
    list: false,
    refusal: Some(|reader| Ok((!metrics::scale_fits(reader)?).then_some(COARSE_SCALE))),
};
static BUCKETS: Shape = shape(&[one(1, "offset", Kind::Sint32), many(2, "bucketCounts", Kind::Uint64)]);
static SUMMARY_POINT: Shape = item(
    Item::One,
    &[
        one(2, "startTimeUnixNano", Kind::Time),
        one(3, "timeUnixNano", Kind::Time),
        one(4, "count", Kind::Fixed64),
        one(5, "sum", Kind::Double),
        many(6, "quantileValues", Kind::Message(&QUANTILE)),
        many(7, "attributes", Kind::Message(&KEY_VALUE)),
        one(8, "flags", Kind::Uint32),
    ],
);
static QUANTILE: Shape = shape(&[one(1, "quantile", Kind::Double), one(2, "value", Kind::Double)]);
static EXEMPLAR: Shape = item(
    Item::Exemplar,
    &[
        one(2, "timeUnixNano", Kind::Time),
        one(3, "asDouble", Kind::Double),
        one(4, "spanId", Kind::Id(8, metrics::SPAN_ID)),
        one(5, "traceId", Kind::Id(16, metrics::TRACE_ID)),
        one(6, "asInt", Kind::Sfixed64),
        many(7, "filteredAttributes", Kind::Message(&KEY_VALUE)),
    ],
);

/// The field of a number.
#[inline]
pub(crate) fn find(shape: &Shape, number: u32) -> Option<&'static Field> {
    // Most messages number their fields from 1 without a gap.
    match shape.fields.get(number as usize - 1) {
        Some(field) if field.number == number => Some(field),
        _ => shape.fields.iter().find(|field| field.number == number),
    }
}
