//! `resource-detection`: sets resource attributes of spans and logs, labels of metrics.
//!
//! Modules have no environment of their own, so what the Collector's detectors would find
//! (`host.name`, `cloud.provider`, …) comes in the configuration: `attributes` by hand, `detected`
//! by whoever writes the topology. `lookups` enrich by the value of another attribute, as from an
//! instance to its cloud provider. Values that are there already stay, unless `override` is set.
//!
//! Order: lookups first (they know more of the row), then `attributes`, then `detected`.

use serde::Deserialize;
use std::collections::BTreeMap;
use weft_guest::{Batch, Description, Dictionary, Error, Module, Nulls, Rows, Scalar, Signal, Source, TextBuilder};

/// The stage's configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    attributes: Table,
    detected: Table,
    lookups: Vec<LookupConfig>,
    #[serde(rename = "override")]
    replace: bool,
}

/// A table by another attribute's value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupConfig {
    attribute: String,
    table: BTreeMap<String, Table>,
    #[serde(default)]
    default: Table,
}

type Table = BTreeMap<String, Value>;

/// A value as YAML or JSON has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Bool(v) => v.to_string(),
            Self::Int(v) => v.to_string(),
            Self::Float(v) => v.to_string(),
            Self::Text(v) => v.clone(),
        }
    }

    fn scalar(&self) -> Scalar {
        match self {
            Self::Bool(v) => Scalar::Bool(*v),
            Self::Int(v) => Scalar::Int(*v),
            Self::Float(v) => Scalar::Float(*v),
            Self::Text(v) => Scalar::Text(v.clone()),
        }
    }
}

/// See the crate.
#[derive(Debug)]
pub struct ResourceDetection {
    constants: Vec<(String, Value)>,
    lookups: Vec<Lookup>,
    replace: bool,
}

/// A lookup with its table turned round: by target, then by value.
#[derive(Debug)]
struct Lookup {
    attribute: String,
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    attribute: String,
    values: BTreeMap<String, Value>,
    default: Option<Value>,
}

impl Lookup {
    fn new(config: LookupConfig) -> Self {
        let mut targets: BTreeMap<String, Target> = BTreeMap::new();
        let of = |attribute: &str| Target { attribute: attribute.into(), values: BTreeMap::new(), default: None };
        for (value, row) in config.table {
            for (attribute, set) in row {
                let target = targets.entry(attribute.clone()).or_insert_with(|| of(&attribute));
                target.values.insert(value.clone(), set);
            }
        }
        for (attribute, set) in config.default {
            targets.entry(attribute.clone()).or_insert_with(|| of(&attribute)).default = Some(set);
        }
        Self { attribute: config.attribute, targets: targets.into_values().collect() }
    }
}

/// Where an attribute lives in a batch: resource attributes, or labels with Prometheus's characters.
fn path(signal: Signal, attribute: &str) -> String {
    if signal != Signal::Metrics {
        return format!("resource.{attribute}");
    }
    let label = attribute.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' });
    format!("label.{}", label.collect::<String>())
}

impl ResourceDetection {
    fn rows(&self) -> Rows {
        if self.replace { Rows::All } else { Rows::Missing }
    }

    fn constant(&self, batch: &Batch, attribute: &str, value: &Value) -> Result<(), Error> {
        let signal = batch.signal();
        let scalar = if signal == Signal::Metrics { Scalar::Text(value.text()) } else { value.scalar() };
        batch.set_constant(&path(signal, attribute), &scalar, self.rows())
    }

    fn look_up(&self, batch: &Batch, lookup: &Lookup) -> Result<(), Error> {
        let column = batch.dictionary(&path(batch.signal(), &lookup.attribute))?;
        for target in &lookup.targets {
            // Once for each distinct value; rows follow by key.
            let found: Vec<Option<&Value>> = column
                .values()
                .iter()
                .map(|value| value.and_then(|value| target.values.get(value)).or(target.default.as_ref()))
                .collect();
            let found = |row: usize| column.key(row).map_or(target.default.as_ref(), |key| found[key as usize]);
            self.write(batch, &target.attribute, &column, found)?;
        }
        Ok(())
    }

    /// Writes values found for rows, of each type in turn.
    fn write<'a>(
        &self,
        batch: &Batch,
        attribute: &str,
        column: &Dictionary,
        found: impl Fn(usize) -> Option<&'a Value>,
    ) -> Result<(), Error> {
        let signal = batch.signal();
        let target = path(signal, attribute);
        // Values of several types share a key in a map, so rows to be left alone are recognised by
        // the host: the found values go under a key of their own and are copied from there.
        let source = if self.replace { target.clone() } else { path(signal, "weft.lookup") };
        let texts_only = signal == Signal::Metrics;
        let rows = column.len();
        let mut texts = TextBuilder::with_capacity(rows, rows * 8);
        let mut any = [false; 4];
        for row in 0..rows {
            let value = found(row);
            match value {
                Some(Value::Text(text)) => {
                    any[0] = true;
                    texts.push(Some(text));
                }
                Some(value) if texts_only => {
                    any[0] = true;
                    texts.push(Some(&value.text()));
                }
                Some(value) => {
                    match value {
                        Value::Int(_) => any[1] = true,
                        Value::Float(_) => any[2] = true,
                        _ => any[3] = true,
                    }
                    texts.push(None);
                }
                None => texts.push(None),
            }
        }
        if any == [false; 4] {
            return Ok(());
        }
        if any[0] {
            batch.set_text(&source, &texts.finish(), Nulls::Leave)?;
        }
        if any[1] {
            let ints = (0..rows).map(|row| if let Some(Value::Int(v)) = found(row) { Some(*v) } else { None });
            batch.set_ints(&source, &ints.collect(), Nulls::Leave)?;
        }
        if any[2] {
            let floats = (0..rows).map(|row| if let Some(Value::Float(v)) = found(row) { Some(*v) } else { None });
            batch.set_floats(&source, &floats.collect(), Nulls::Leave)?;
        }
        if any[3] {
            let bools = (0..rows).map(|row| if let Some(Value::Bool(v)) = found(row) { Some(*v) } else { None });
            batch.set_bools(&source, &weft_guest::Bools::of(bools), Nulls::Leave)?;
        }
        if !self.replace {
            batch.copy(&source, &target, Rows::Missing)?;
            batch.remove(&source)?;
        }
        Ok(())
    }
}

impl Module for ResourceDetection {
    type Config = Config;

    fn describe() -> Description {
        Description::new("resource-detection", env!("CARGO_PKG_VERSION"))
            .accepts([Signal::Spans, Signal::Logs, Signal::Metrics])
            .reads(["resource.*", "label.*"])
            .writes(["resource.*", "label.*"])
            .schema(include_str!("../schema.json"))
    }

    fn configure(config: Config, _source: Source) -> Result<Self, Error> {
        for (field, table) in [("attributes", &config.attributes), ("detected", &config.detected)] {
            if table.contains_key("") {
                return Err(Error::config(field, "an attribute needs a name"));
            }
        }
        for (index, lookup) in config.lookups.iter().enumerate() {
            if lookup.attribute.is_empty() {
                return Err(Error::config(format!("lookups.{index}.attribute"), "an attribute needs a name"));
            }
        }
        let mut constants = config.detected;
        constants.extend(config.attributes);
        Ok(Self {
            constants: constants.into_iter().collect(),
            lookups: config.lookups.into_iter().map(Lookup::new).collect(),
            replace: config.replace,
        })
    }

    fn process(&mut self, batch: &Batch, _now: u64) -> Result<(), Error> {
        if batch.rows() == 0 {
            return Ok(());
        }
        // What is written last wins when values are replaced, what is written first when they are kept.
        if self.replace {
            for (attribute, value) in &self.constants {
                self.constant(batch, attribute, value)?;
            }
        }
        for lookup in &self.lookups {
            self.look_up(batch, lookup)?;
        }
        if !self.replace {
            for (attribute, value) in &self.constants {
                self.constant(batch, attribute, value)?;
            }
        }
        Ok(())
    }
}

weft_guest::export!(ResourceDetection);

#[cfg(test)]
mod tests;
