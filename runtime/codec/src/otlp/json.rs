//! OTLP/JSON to OTLP protobuf, by the schema: the decoders read only one of the two.
//!
//! As the specification says: ids are hex, bytes base64, 64-bit integers strings or numbers, enums
//! numbers (names are taken too), names lowerCamelCase (snake_case is taken too), unknown fields
//! ignored. Off the hot path: what is sent in bulk is protobuf.
//! Source: opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding".

use super::schema::{Field, Kind, Shape};
use crate::wire::{FIXED32, FIXED64, Reader, VARINT, write};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Whether a body is JSON: its first byte that is no space is `{`. A newline is also how protobuf's
/// first field begins, so a body that starts with one must not be sound protobuf.
pub(crate) fn looks_like_json(body: &[u8]) -> bool {
    let text = body.trim_ascii_start();
    if text.first() != Some(&b'{') {
        return false;
    }
    text.len() == body.len() || !fields_are_sound(body)
}

fn fields_are_sound(body: &[u8]) -> bool {
    let mut reader = Reader::new(body);
    loop {
        match reader.field() {
            Ok(None) => return true,
            Ok(Some((number, wire))) if reader.skip(number, wire).is_ok() => {}
            _ => return false,
        }
    }
}

/// Turns a JSON body into the protobuf of `shape`.
pub(crate) fn to_protobuf(body: &[u8], shape: &'static Shape) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(body.len() / 2);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    MessageSeed { shape, out: &mut out }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(out)
}

/// Reads an object into the bytes of a message.
struct MessageSeed<'s> {
    shape: &'static Shape,
    out: &'s mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name<'de>>()? {
            match self.shape.fields.iter().find(|field| same_name(field.name, &name.0)) {
                Some(field) => map.next_value_seed(ValueSeed { field, element: false, out: self.out })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether a key is a field's name: as it is, or in snake_case.
fn same_name(field: &str, key: &str) -> bool {
    let mut key = key.chars();
    for c in field.chars() {
        let matches = match key.next() {
            Some(found) if found == c => true,
            Some('_') => c.is_ascii_uppercase() && key.next() == Some(c.to_ascii_lowercase()),
            _ => false,
        };
        if !matches {
            return false;
        }
    }
    key.next().is_none()
}

/// Reads the value of a field into its bytes, tag first.
struct ValueSeed<'s> {
    field: &'static Field,
    /// Within the array of a repeated field.
    element: bool,
    out: &'s mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ValueSeed<'_> {
    fn wrong<E: Error>(&self, found: impl fmt::Display) -> E {
        E::custom(format_args!("{}: {found} is not what belongs here", self.field.name))
    }

    fn varint<E: Error>(self, value: u64) -> Result<(), E> {
        write::tag(self.out, self.field.number, VARINT);
        write::varint(self.out, value);
        Ok(())
    }

    fn fixed64<E: Error>(self, value: u64) -> Result<(), E> {
        write::tag(self.out, self.field.number, FIXED64);
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn integer<E: Error>(self, value: i128) -> Result<(), E> {
        let unsigned = |bits: u32| u64::try_from(value).ok().filter(|&value| bits == 64 || value >> bits == 0);
        let encoded = match self.field.kind {
            Kind::Double => return self.fixed64((value as f64).to_bits()),
            Kind::Int64 | Kind::Sfixed64 => i64::try_from(value).ok().map(|value| value as u64),
            Kind::Enum(..) => i32::try_from(value).ok().map(|value| i64::from(value) as u64),
            Kind::Sint32 => i32::try_from(value).ok().map(|value| u64::from((value << 1 ^ value >> 31) as u32)),
            Kind::Uint64 | Kind::Fixed64 | Kind::Time => unsigned(64),
            Kind::Uint32 | Kind::Fixed32 => unsigned(32),
            _ => None,
        };
        let Some(encoded) = encoded else { return Err(self.wrong(value)) };
        match self.field.kind {
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Time => self.fixed64(encoded),
            Kind::Fixed32 => {
                write::tag(self.out, self.field.number, FIXED32);
                self.out.extend_from_slice(&(encoded as u32).to_le_bytes());
                Ok(())
            }
            _ => self.varint(encoded),
        }
    }

    fn hex<E: Error>(self, text: &str) -> Result<(), E> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => {
                let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
                write::bytes(self.out, self.field.number, &bytes);
                Ok(())
            }
            _ => Err(E::custom(format_args!("{}: '{text}' is not hex", self.field.name))),
        }
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of {}", self.field.name)
    }

    /// `null` is the default.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => self.varint(u64::from(value)),
            _ => Err(self.wrong(value)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => self.fixed64(value.to_bits()),
            // 1e3 is an integer in JSON.
            _ if value.fract() == 0.0 && value.abs() < 1e19 => self.integer(value as i128),
            _ => Err(self.wrong(value)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::Text => {
                write::bytes(self.out, self.field.number, text.as_bytes());
                Ok(())
            }
            Kind::Bytes => {
                let bytes = BASE64.decode(text).or_else(|_| BASE64_URL.decode(text));
                let bytes = bytes.map_err(|error| E::custom(format_args!("{}: {error}", self.field.name)))?;
                write::bytes(self.out, self.field.number, &bytes);
                Ok(())
            }
            Kind::Id(..) | Kind::RequiredId(..) => self.hex(text),
            Kind::Double => match text {
                "NaN" => self.fixed64(f64::NAN.to_bits()),
                "Infinity" => self.fixed64(f64::INFINITY.to_bits()),
                "-Infinity" => self.fixed64(f64::NEG_INFINITY.to_bits()),
                _ => match text.parse::<f64>() {
                    Ok(value) => self.fixed64(value.to_bits()),
                    Err(_) => Err(self.wrong(text)),
                },
            },
            Kind::Enum(prefix, names) => {
                let named = text.strip_prefix(prefix).and_then(|text| names.iter().find(|(name, _)| *name == text));
                match (named, text.parse::<i32>()) {
                    (Some(&(_, value)), _) | (None, Ok(value)) => self.integer(i128::from(value)),
                    _ => Err(self.wrong(text)),
                }
            }
            Kind::Message(_) | Kind::Bool => Err(self.wrong(format_args!("'{text}'"))),
            _ => match text.parse::<i128>() {
                Ok(value) => self.integer(value),
                Err(_) => Err(self.wrong(format_args!("'{text}'"))),
            },
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if !self.field.repeated || self.element {
            return Err(self.wrong("an array"));
        }
        while seq.next_element_seed(ValueSeed { field: self.field, element: true, out: &mut *self.out })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(shape) = self.field.kind else { return Err(self.wrong("an object")) };
        let mut message = Vec::new();
        MessageSeed { shape, out: &mut message }.visit_map(map)?;
        write::bytes(self.out, self.field.number, &message);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
