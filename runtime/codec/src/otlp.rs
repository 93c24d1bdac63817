//! OTLP from the wire: what traces, logs and metrics have in common.

pub(crate) mod json;
pub(crate) mod label_set;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod schema;
pub(crate) mod traces;

use crate::attributes::{NO_ROOM, Shared, TypedMap};
use crate::columns::Budget;
use crate::columns::spans::{Origin, OriginColumns};
use crate::wire::{Fault, Reader, Result};

/// What decoding a message needs besides its bytes and the columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Bytes it may still add by repetition.
    pub(crate) budget: Budget,
    /// Most bytes of one value's text.
    pub(crate) limit: usize,
    /// The record's own time, ns since the Unix epoch.
    pub(crate) now_ns: i64,
}

impl Context {
    #[inline]
    pub(crate) fn charge(&mut self, at: usize, bytes: usize) -> Result<()> {
        if self.budget.charge(bytes) { Ok(()) } else { Err(no_room(at)) }
    }
}

#[cold]
pub(crate) fn no_room(at: usize) -> Box<Fault> {
    Fault::new(at, NO_ROOM)
}

/// Whether an id is all zeros, which OTLP says is as good as none.
#[inline]
pub(crate) fn is_zero(id: &[u8]) -> bool {
    id.iter().all(|&byte| byte == 0)
}

/// An id of the right length, empty where it is all zeros.
#[inline]
pub(crate) fn optional_id<'a>(
    reader: &mut Reader<'a>,
    wire: u32,
    length: usize,
    reason: &'static str,
) -> Result<&'a [u8]> {
    let id = reader.id(wire, length, reason)?;
    Ok(if is_zero(id) { &[] } else { id })
}

/// Reads a `Resource` (attributes in field 1) into the open row of a column.
pub(crate) fn resource(column: &mut TypedMap, mut reader: Reader<'_>, limit: usize) -> Result<()> {
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => column.key_value(reader.message(wire)?, limit)?,
            2 => drop(reader.varint(wire)?),
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(())
}

/// Reads an `InstrumentationScope` into the open row of a column and the origin.
pub(crate) fn scope<'a>(
    column: &mut TypedMap,
    origin: &mut Origin<'a>,
    mut reader: Reader<'a>,
    limit: usize,
) -> Result<()> {
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => origin.scope_name = reader.text(wire)?,
            2 => origin.scope_version = reader.text(wire)?,
            3 => column.key_value(reader.message(wire)?, limit)?,
            4 => drop(reader.varint(wire)?),
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(())
}

/// Walks `Resource*{resource = 1, scopes = 2 {scope = 1, items = 2, schema_url = 3}, schema_url = 3}`,
/// the shape that traces, logs and metrics share, for signals whose rows carry resource and scope.
/// Fields may stand in any order, so each message is read twice: first for what its rows share.
pub(crate) fn walk_resource<'a, C>(
    reader: Reader<'a>,
    columns: &mut C,
    context: &mut Context,
    origin_of: fn(&mut C) -> &mut OriginColumns,
    item: fn(Reader<'a>, &mut C, &mut Context) -> Result<()>,
) -> Result<()> {
    let mut origin = Origin::default();
    let mut fields = reader;
    while let Some((number, wire)) = fields.field()? {
        match number {
            1 => resource(&mut origin_of(columns).resource, fields.message(wire)?, context.limit)?,
            2 => drop(fields.bytes(wire)?),
            3 => origin.resource_schema_url = fields.text(wire)?,
            _ => fields.skip(number, wire)?,
        }
    }
    let mut shared = origin_of(columns).resource.share();
    let service_name = origin_of(columns).resource.shared_string(&shared, "service.name").to_vec();
    let mut fields = reader;
    while let Some((number, wire)) = fields.field()? {
        match number {
            2 => {
                let scope = fields.message(wire)?;
                walk_scope(scope, columns, context, origin_of, item, &mut shared, &service_name, origin)?;
            }
            _ => fields.skip(number, wire)?,
        }
    }
    origin_of(columns).resource.abandon_row();
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the second half of walk_resource, which has it all at hand")]
fn walk_scope<'a, C>(
    reader: Reader<'a>,
    columns: &mut C,
    context: &mut Context,
    origin_of: fn(&mut C) -> &mut OriginColumns,
    item: fn(Reader<'a>, &mut C, &mut Context) -> Result<()>,
    resource: &mut Shared,
    service_name: &[u8],
    mut origin: Origin<'a>,
) -> Result<()> {
    let mut fields = reader;
    while let Some((number, wire)) = fields.field()? {
        match number {
            1 => {
                let message = fields.message(wire)?;
                scope(&mut origin_of(columns).scope, &mut origin, message, context.limit)?;
            }
            2 => drop(fields.bytes(wire)?),
            3 => origin.scope_schema_url = fields.text(wire)?,
            _ => fields.skip(number, wire)?,
        }
    }
    let mut shared = origin_of(columns).scope.share();
    let repeated = origin.bytes() + service_name.len();
    let mut fields = reader;
    while let Some((number, wire)) = fields.field()? {
        match number {
            2 => {
                item(fields.message(wire)?, columns, context)?;
                context.charge(fields.at(), repeated)?;
                let budget = &mut context.budget;
                let columns = origin_of(columns);
                columns.push(&origin, service_name);
                if !columns.resource.end_shared_row(resource, budget)
                    || !columns.scope.end_shared_row(&mut shared, budget)
                {
                    return Err(no_room(fields.at()));
                }
            }
            _ => fields.skip(number, wire)?,
        }
    }
    origin_of(columns).scope.abandon_row();
    Ok(())
}
