//! Loki's push as JSON: `{"streams":[{"stream":{…},"values":[["<ns>","line",{…}]]}]}`.
//!
//! Timestamps, lines and all values are strings, as Loki demands.

use super::{BAD_TIME, Refusal, StreamRows, labels};
use crate::columns::logs::LogColumns;
use crate::otlp::{Context, no_room};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    streams: Vec<Stream<'a>>,
}

#[derive(Deserialize)]
struct Stream<'a> {
    #[serde(borrow)]
    stream: Pairs<'a>,
    #[serde(borrow)]
    values: Vec<Entry<'a>>,
}

/// A string that borrows from the input where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object of strings.
struct Pairs<'a>(Vec<(Text<'a>, Text<'a>)>);

struct Entry<'a> {
    time: i64,
    line: Text<'a>,
    metadata: Pairs<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;

        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = Entry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of a timestamp, a line and, if any, structured metadata")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let Some(Text(time)) = seq.next_element()? else {
                    return Err(A::Error::custom("an entry has no timestamp"));
                };
                let time: i64 = time
                    .parse()
                    .map_err(|_| A::Error::custom(format!("the timestamp '{time}' is not a number of nanoseconds")))?;
                if time < 0 {
                    return Err(A::Error::custom(BAD_TIME));
                }
                let Some(line) = seq.next_element()? else { return Err(A::Error::custom("an entry has no line")) };
                let metadata = seq.next_element()?.unwrap_or(Pairs(Vec::new()));
                if seq.next_element::<IgnoredAny>()?.is_some() {
                    return Err(A::Error::custom("an entry has more than three parts"));
                }
                Ok(Entry { time, line, metadata })
            }
        }

        deserializer.deserialize_seq(EntryVisitor)
    }
}

pub(super) fn decode(body: &[u8], columns: &mut LogColumns, context: &mut Context) -> Result<(), Refusal> {
    let push: Push<'_> = serde_json::from_slice(body).map_err(|error| Refusal::Text(error.to_string()))?;
    for stream in push.streams {
        let pairs = stream.stream.0.into_iter().map(|(name, value)| (name.0.into_owned(), value.0.into_owned()));
        let labels = labels::normalise(pairs.collect()).map_err(Refusal::Text)?;
        let mut rows = StreamRows::new(labels);
        for entry in &stream.values {
            for (name, value) in &entry.metadata.0 {
                columns.attributes.string(&name.0, &value.0);
            }
            rows.end_row(entry.time, &entry.line.0, columns, context).map_err(|()| no_room(body.len()))?;
        }
    }
    Ok(())
}
