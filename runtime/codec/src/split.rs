//! Keeping a trace on one partition: which it is, and splitting a request by it.
//!
//! Splitting splices the bytes of spans into new requests, each with the resource and scope they
//! had; nothing is decoded but the trace ids.

use crate::decoder::fault_error;
use crate::otlp::schema;
use crate::otlp::traces::TRACE_ID;
use crate::validate::otlp_protobuf;
use crate::wire::{Fault, Reader, Result, write};
use crate::{Codec, Error};
use bytes::Bytes;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// The partition of a trace: XXH3-64 (seed 0) of the trace id's bytes, modulo the number of
/// partitions. Stable across versions and workers: a trace's later spans must find its earlier ones.
pub fn trace_partition(trace_id: &[u8], partitions: i32) -> i32 {
    (xxh3_64(trace_id) % u64::from(partitions.max(1).unsigned_abs())) as i32
}

/// Splits a trace request (protobuf or JSON) into protobuf requests by [`trace_partition`], ascending
/// by partition. A request whose spans all belong to one partition comes back as it is, uncopied if
/// it was protobuf; one without spans gives nothing.
pub fn split_traces(body: Bytes, partitions: i32) -> std::result::Result<Vec<(i32, Bytes)>, Error> {
    let body = match otlp_protobuf(Codec::OtlpTraces, &schema::TRACES, None, &body)? {
        Cow::Borrowed(_) => body,
        Cow::Owned(protobuf) => Bytes::from(protobuf),
    };
    split(&body, partitions).map_err(|fault| fault_error(Codec::OtlpTraces, &fault))
}

fn split(body: &Bytes, partitions: i32) -> Result<Vec<(i32, Bytes)>> {
    let mut targets: Vec<i32> = Vec::new();
    for_each(Reader::new(body), 1, |resource| {
        for_each(resource, 2, |scope| {
            for_each(scope, 2, |span| {
                targets.push(trace_partition(trace_id(span)?, partitions));
                Ok(())
            })
        })
    })?;
    let Some(&first) = targets.first() else { return Ok(Vec::new()) };
    if targets.iter().all(|&target| target == first) {
        return Ok(vec![(first, body.clone())]);
    }
    let mut outputs: Vec<(i32, Output)> = Vec::new();
    let mut targets = targets.into_iter();
    for_each(Reader::new(body), 1, |resource| {
        let around_scopes = others(body, resource, 2)?;
        for_each(resource, 2, |scope| {
            let around_spans = others(body, scope, 2)?;
            for_each(scope, 2, |span| {
                let target = targets.next().unwrap_or(first);
                let output = output(&mut outputs, target);
                if output.scope.is_none() {
                    output.scope = Some(around_spans.clone());
                }
                if let Some(scope) = &mut output.scope {
                    write::bytes(scope, 2, span.rest());
                }
                Ok(())
            })?;
            for (_, output) in &mut outputs {
                if let Some(scope) = output.scope.take() {
                    write::bytes(output.resource.get_or_insert_with(|| around_scopes.clone()), 2, &scope);
                }
            }
            Ok(())
        })?;
        for (_, output) in &mut outputs {
            if let Some(resource) = output.resource.take() {
                write::bytes(&mut output.request, 1, &resource);
            }
        }
        Ok(())
    })?;
    outputs.sort_unstable_by_key(|(target, _)| *target);
    Ok(outputs.into_iter().map(|(target, output)| (target, Bytes::from(output.request))).collect())
}

/// The request of one partition, and its open resource and scope.
#[derive(Debug, Default)]
struct Output {
    request: Vec<u8>,
    resource: Option<Vec<u8>>,
    scope: Option<Vec<u8>>,
}

fn output(outputs: &mut Vec<(i32, Output)>, target: i32) -> &mut Output {
    let index = outputs.iter().position(|(found, _)| *found == target).unwrap_or_else(|| {
        outputs.push((target, Output::default()));
        outputs.len() - 1
    });
    &mut outputs[index].1
}

/// Calls `each` with every message in field `number`.
fn for_each<'a>(mut reader: Reader<'a>, number: u32, mut each: impl FnMut(Reader<'a>) -> Result<()>) -> Result<()> {
    while let Some((found, wire)) = reader.field()? {
        if found == number {
            each(reader.message(wire)?)?;
        } else {
            reader.skip(found, wire)?;
        }
    }
    Ok(())
}

/// The bytes of all fields but `number`.
fn others(body: &[u8], mut reader: Reader<'_>, number: u32) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut start = reader.at();
    while let Some((found, wire)) = reader.field()? {
        reader.skip(found, wire)?;
        if found != number {
            out.extend_from_slice(&body[start..reader.at()]);
        }
        start = reader.at();
    }
    Ok(out)
}

fn trace_id<'a>(mut span: Reader<'a>) -> Result<&'a [u8]> {
    let start = span.at();
    let mut id: &[u8] = &[];
    while let Some((number, wire)) = span.field()? {
        match number {
            1 => id = span.bytes(wire)?,
            _ => span.skip(number, wire)?,
        }
    }
    if id.len() == 16 { Ok(id) } else { Err(Fault::new(start, TRACE_ID)) }
}

#[cfg(test)]
mod tests;
