//! The columns of a batch of spans, taken apart once, and the fields of a row in them.

use crate::ast::{AttributeScope, Field, Intrinsic};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, MapArray,
    StringArray, StructArray,
};
use datafusion::arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use std::borrow::Cow;
use std::fmt::Write;
use weft_model::{attributes, spans};

/// A value of a field, borrowed from its batch where it can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Val<'a> {
    Nil,
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    Duration(i64),
    Status(i32),
    Kind(i32),
    /// An array attribute: equal when any element is, different when none is.
    Array(Vec<Val<'a>>),
    /// The field of each event or link: any of them may satisfy a comparison.
    Each(Vec<Val<'a>>),
}

/// A typed-map column.
#[derive(Debug)]
struct Attributes<'a> {
    map: &'a MapArray,
    keys: &'a StringArray,
    string: &'a StringArray,
    int: &'a Int64Array,
    double: &'a Float64Array,
    bool: &'a BooleanArray,
    json: &'a StringArray,
}

impl<'a> Attributes<'a> {
    fn of(array: &'a dyn Array) -> Option<Self> {
        let map = array.as_map_opt()?;
        let value = map.values().as_struct_opt()?;
        Some(Self {
            map,
            keys: map.keys().as_string_opt()?,
            string: value.column_by_name(attributes::STRING)?.as_string_opt()?,
            int: value.column_by_name(attributes::INT)?.as_primitive_opt::<Int64Type>()?,
            double: value.column_by_name(attributes::DOUBLE)?.as_primitive_opt::<Float64Type>()?,
            bool: value.column_by_name(attributes::BOOL)?.as_boolean_opt()?,
            json: value.column_by_name(attributes::JSON)?.as_string_opt()?,
        })
    }

    #[allow(clippy::cast_sign_loss, reason = "offsets of an array are not negative")]
    fn entries(&self, row: usize) -> std::ops::Range<usize> {
        let offsets = self.map.value_offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    }

    fn get(&self, row: usize, key: &str) -> Val<'a> {
        match self.entries(row).find(|at| self.keys.value(*at) == key) {
            Some(at) => self.value(at),
            None => Val::Nil,
        }
    }

    fn value(&self, at: usize) -> Val<'a> {
        if self.string.is_valid(at) {
            Val::Text(Cow::Borrowed(self.string.value(at)))
        } else if self.int.is_valid(at) {
            Val::Int(self.int.value(at))
        } else if self.double.is_valid(at) {
            Val::Float(self.double.value(at))
        } else if self.bool.is_valid(at) {
            Val::Bool(self.bool.value(at))
        } else if self.json.is_valid(at) {
            array(self.json.value(at))
        } else {
            Val::Nil
        }
    }

    fn keys(&self, row: usize) -> impl Iterator<Item = &'a str> {
        let keys = self.keys;
        self.entries(row).map(move |at| keys.value(at))
    }
}

/// A homogeneous array of scalars; anything else can't be queried, as if it were absent.
fn array<'a>(json: &str) -> Val<'a> {
    let Some(inner) = json.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return Val::Nil };
    let mut items: Vec<Val<'a>> = Vec::new();
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let item = if let Some(quoted) = rest.strip_prefix('"') {
            let Some((text, after)) = unquote(quoted) else { return Val::Nil };
            rest = after;
            Val::Text(Cow::Owned(text))
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let word = rest[..end].trim();
            rest = &rest[end..];
            match word {
                "true" => Val::Bool(true),
                "false" => Val::Bool(false),
                number => match (number.parse(), number.parse()) {
                    (Ok(int), _) => Val::Int(int),
                    (_, Ok(float)) => Val::Float(float),
                    _ => return Val::Nil,
                },
            }
        };
        if items.first().is_some_and(|first| std::mem::discriminant(first) != std::mem::discriminant(&item)) {
            return Val::Nil;
        }
        items.push(item);
        rest = rest.trim_start().strip_prefix(',').unwrap_or("").trim_start();
    }
    Val::Array(items)
}

/// A JSON string behind its opening quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                'b' => out.push('\u{8}'),
                'f' => out.push('\u{c}'),
                'u' => {
                    let mut code = 0;
                    for _ in 0..4 {
                        code = code * 16 + chars.next()?.1.to_digit(16)?;
                    }
                    out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    None
}

/// A list of events or links.
#[derive(Debug)]
struct Nested<'a> {
    list: &'a ListArray,
    items: &'a StructArray,
    attributes: Attributes<'a>,
}

impl<'a> Nested<'a> {
    fn of(array: &'a dyn Array) -> Option<Self> {
        let list = array.as_list_opt::<i32>()?;
        let items = list.values().as_struct_opt()?;
        Some(Self { list, items, attributes: Attributes::of(items.column_by_name("attributes")?)? })
    }

    #[allow(clippy::cast_sign_loss, reason = "offsets of an array are not negative")]
    fn each(&self, row: usize, value: impl Fn(usize) -> Val<'a>) -> Val<'a> {
        let offsets = self.list.value_offsets();
        let values: Vec<Val<'a>> = (offsets[row] as usize..offsets[row + 1] as usize).map(value).collect();
        if values.iter().all(|value| *value == Val::Nil) { Val::Nil } else { Val::Each(values) }
    }

    fn ids(&self, name: &str) -> Option<&'a BinaryArray> {
        self.items.column_by_name(name)?.as_binary_opt()
    }
}

/// The columns of a batch; those that a query doesn't read may be missing.
#[derive(Debug)]
pub(crate) struct SpanColumns<'a> {
    pub(crate) trace_id: Option<&'a BinaryArray>,
    pub(crate) span_id: Option<&'a BinaryArray>,
    pub(crate) parent_span_id: Option<&'a BinaryArray>,
    name: Option<&'a StringArray>,
    kind: Option<&'a Int32Array>,
    start: Option<&'a Int64Array>,
    end: Option<&'a Int64Array>,
    duration: Option<&'a Int64Array>,
    status: Option<&'a Int32Array>,
    status_message: Option<&'a StringArray>,
    service: Option<&'a StringArray>,
    scope_name: Option<&'a StringArray>,
    scope_version: Option<&'a StringArray>,
    resource: Option<Attributes<'a>>,
    attributes: Option<Attributes<'a>>,
    scope: Option<Attributes<'a>>,
    events: Option<Nested<'a>>,
    links: Option<Nested<'a>>,
}

fn text_at<'a>(column: Option<&'a StringArray>, row: usize) -> Val<'a> {
    match column {
        Some(column) if column.is_valid(row) => Val::Text(Cow::Borrowed(column.value(row))),
        _ => Val::Nil,
    }
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

impl<'a> SpanColumns<'a> {
    /// Takes columns by name.
    pub(crate) fn of(names: impl Iterator<Item = &'a str>, arrays: &'a [ArrayRef]) -> Self {
        let named: Vec<(&str, &'a ArrayRef)> = names.zip(arrays).collect();
        let find = |name: &str| -> Option<&'a dyn Array> {
            named.iter().find(|(held, _)| *held == name).map(|&(_, array)| array.as_ref())
        };
        let text = |name: &str| find(name).and_then(|array| array.as_string_opt::<i32>());
        let binary = |name: &str| find(name).and_then(|array| array.as_binary_opt::<i32>());
        let long = |name: &str| find(name).and_then(|array| array.as_primitive_opt::<Int64Type>());
        let int = |name: &str| find(name).and_then(|array| array.as_primitive_opt::<Int32Type>());
        Self {
            trace_id: binary(spans::TRACE_ID),
            span_id: binary(spans::SPAN_ID),
            parent_span_id: binary(spans::PARENT_SPAN_ID),
            name: text(spans::NAME),
            kind: int(spans::KIND),
            start: long(spans::START_TIME),
            end: long(spans::END_TIME),
            duration: long(spans::DURATION),
            status: int(spans::STATUS_CODE),
            status_message: text(spans::STATUS_MESSAGE),
            service: text(spans::SERVICE_NAME),
            scope_name: text(spans::SCOPE_NAME),
            scope_version: text(spans::SCOPE_VERSION),
            resource: find(spans::RESOURCE).and_then(Attributes::of),
            attributes: find(spans::ATTRIBUTES).and_then(Attributes::of),
            scope: find(spans::SCOPE).and_then(Attributes::of),
            events: find(spans::EVENTS).and_then(Nested::of),
            links: find(spans::LINKS).and_then(Nested::of),
        }
    }

    /// A span's name.
    pub(crate) fn name(&self, row: usize) -> &'a str {
        self.name.map_or("", |column| column.value(row))
    }

    /// `service.name` of a span, when it has one.
    pub(crate) fn service(&self, row: usize) -> Option<&'a str> {
        self.service.filter(|column| column.is_valid(row)).map(|column| column.value(row))
    }

    pub(crate) fn start(&self, row: usize) -> i64 {
        self.start.map_or(0, |column| column.value(row))
    }

    pub(crate) fn end(&self, row: usize) -> i64 {
        self.end.map_or(0, |column| column.value(row))
    }

    pub(crate) fn duration(&self, row: usize) -> i64 {
        self.duration.map_or(0, |column| column.value(row))
    }

    pub(crate) fn status(&self, row: usize) -> i32 {
        self.status.map_or(0, |column| column.value(row))
    }

    /// Keys of the attributes of a scope that a row has.
    pub(crate) fn attribute_keys(&self, scope: AttributeScope, row: usize, each: &mut dyn FnMut(&'a str)) {
        let of_map = |map: &Option<Attributes<'a>>, each: &mut dyn FnMut(&'a str)| {
            map.iter().for_each(|map| map.keys(row).for_each(&mut *each));
        };
        match scope {
            AttributeScope::Span => of_map(&self.attributes, each),
            AttributeScope::Resource => of_map(&self.resource, each),
            AttributeScope::Instrumentation => of_map(&self.scope, each),
            AttributeScope::Event | AttributeScope::Link => {
                let nested = if scope == AttributeScope::Event { &self.events } else { &self.links };
                if let Some(nested) = nested {
                    let offsets = nested.list.value_offsets();
                    #[allow(clippy::cast_sign_loss, reason = "offsets of an array are not negative")]
                    (offsets[row] as usize..offsets[row + 1] as usize)
                        .for_each(|item| nested.attributes.keys(item).for_each(&mut *each));
                }
            }
            AttributeScope::Any => {}
        }
    }

    /// A field of a row; those of the whole trace are [`Val::Nil`] here.
    pub(crate) fn field(&self, field: &Field, row: usize) -> Val<'a> {
        match field {
            Field::Attribute(scope, name) => self.attribute(*scope, name, row),
            Field::Intrinsic(intrinsic) => self.intrinsic(*intrinsic, row),
            Field::Parent(_) => Val::Nil,
        }
    }

    fn attribute(&self, scope: AttributeScope, name: &str, row: usize) -> Val<'a> {
        let of_map = |map: &Option<Attributes<'a>>| map.as_ref().map_or(Val::Nil, |map| map.get(row, name));
        let of_nested = |nested: &Option<Nested<'a>>| {
            nested.as_ref().map_or(Val::Nil, |nested| nested.each(row, |item| nested.attributes.get(item, name)))
        };
        match scope {
            AttributeScope::Any => match of_map(&self.attributes) {
                Val::Nil => of_map(&self.resource),
                found => found,
            },
            AttributeScope::Span => of_map(&self.attributes),
            AttributeScope::Resource => of_map(&self.resource),
            AttributeScope::Instrumentation => of_map(&self.scope),
            AttributeScope::Event => of_nested(&self.events),
            AttributeScope::Link => of_nested(&self.links),
        }
    }

    fn intrinsic(&self, intrinsic: Intrinsic, row: usize) -> Val<'a> {
        let id = |column: Option<&BinaryArray>| match column {
            Some(column) if column.is_valid(row) => Val::Text(Cow::Owned(hex(column.value(row)))),
            _ => Val::Nil,
        };
        match intrinsic {
            Intrinsic::Duration => Val::Duration(self.duration(row)),
            Intrinsic::Name => text_at(self.name, row),
            Intrinsic::Kind => Val::Kind(self.kind.map_or(0, |column| column.value(row))),
            Intrinsic::Status => Val::Status(self.status(row)),
            // Tempo stores no absence of these: an absent text is an empty one.
            Intrinsic::StatusMessage => text_or_empty(self.status_message, row),
            Intrinsic::InstrumentationName => text_or_empty(self.scope_name, row),
            Intrinsic::InstrumentationVersion => text_or_empty(self.scope_version, row),
            Intrinsic::SpanId => id(self.span_id),
            Intrinsic::ParentId => id(self.parent_span_id),
            Intrinsic::TraceId => match self.trace_id {
                Some(column) => Val::Text(Cow::Owned(hex(column.value(row)).trim_start_matches('0').to_owned())),
                None => Val::Nil,
            },
            Intrinsic::EventName => self.events.as_ref().map_or(Val::Nil, |events| {
                let names = events.items.column_by_name("name").and_then(|column| column.as_string_opt::<i32>());
                events.each(row, |item| text_at(names, item))
            }),
            Intrinsic::EventTime => self.events.as_ref().map_or(Val::Nil, |events| {
                let times = events
                    .items
                    .column_by_name("time_unix_nano")
                    .and_then(|column| column.as_primitive_opt::<Int64Type>());
                let start = self.start(row);
                events.each(row, |item| {
                    times.map_or(Val::Nil, |times| Val::Duration(times.value(item).wrapping_sub(start)))
                })
            }),
            Intrinsic::LinkTraceId | Intrinsic::LinkSpanId => self.links.as_ref().map_or(Val::Nil, |links| {
                let trace = intrinsic == Intrinsic::LinkTraceId;
                let ids = links.ids(if trace { spans::TRACE_ID } else { spans::SPAN_ID });
                links.each(row, |item| ids.map_or(Val::Nil, |ids| Val::Text(Cow::Owned(hex(ids.value(item))))))
            }),
            Intrinsic::ChildCount
            | Intrinsic::TraceDuration
            | Intrinsic::RootName
            | Intrinsic::RootService
            | Intrinsic::NestedLeft
            | Intrinsic::NestedRight
            | Intrinsic::NestedParent => Val::Nil,
        }
    }
}

fn text_or_empty<'a>(column: Option<&'a StringArray>, row: usize) -> Val<'a> {
    match text_at(column, row) {
        Val::Nil => Val::Text(Cow::Borrowed("")),
        found => found,
    }
}

/// Whether a field belongs to the trace as a whole, so that a span alone can't tell it.
pub(crate) fn of_trace(field: &Field) -> bool {
    matches!(
        field,
        Field::Intrinsic(
            Intrinsic::ChildCount
                | Intrinsic::TraceDuration
                | Intrinsic::RootName
                | Intrinsic::RootService
                | Intrinsic::NestedLeft
                | Intrinsic::NestedRight
                | Intrinsic::NestedParent
        )
    )
}

/// The columns that a field is read from.
pub(crate) fn columns_of(field: &Field) -> &'static [&'static str] {
    match field {
        Field::Attribute(scope, _) => match scope {
            AttributeScope::Any => &[spans::ATTRIBUTES, spans::RESOURCE],
            AttributeScope::Span => &[spans::ATTRIBUTES],
            AttributeScope::Resource => &[spans::RESOURCE],
            AttributeScope::Event => &[spans::EVENTS],
            AttributeScope::Link => &[spans::LINKS],
            AttributeScope::Instrumentation => &[spans::SCOPE],
        },
        Field::Parent(_) => &[],
        Field::Intrinsic(intrinsic) => match intrinsic {
            Intrinsic::Duration => &[spans::DURATION],
            Intrinsic::Name => &[spans::NAME],
            Intrinsic::Kind => &[spans::KIND],
            Intrinsic::Status => &[spans::STATUS_CODE],
            Intrinsic::StatusMessage => &[spans::STATUS_MESSAGE],
            Intrinsic::SpanId => &[spans::SPAN_ID],
            Intrinsic::ParentId => &[spans::PARENT_SPAN_ID],
            Intrinsic::TraceId => &[spans::TRACE_ID],
            Intrinsic::EventName => &[spans::EVENTS],
            Intrinsic::EventTime => &[spans::EVENTS, spans::START_TIME],
            Intrinsic::LinkTraceId | Intrinsic::LinkSpanId => &[spans::LINKS],
            Intrinsic::InstrumentationName => &[spans::SCOPE_NAME],
            Intrinsic::InstrumentationVersion => &[spans::SCOPE_VERSION],
            _ => &[],
        },
    }
}
