//! What template expressions compute with.

use crate::stages::units::write_number;
use std::fmt::Write;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Nil,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Value>),
    /// Sorted by key.
    Map(Vec<(String, Value)>),
    /// ns since the Unix epoch.
    Time(i64),
}

impl Value {
    /// Go's truth: not empty, not zero.
    pub(super) fn truthy(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Text(text) => !text.is_empty(),
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Bool(value) => *value,
            Self::List(items) => !items.is_empty(),
            Self::Map(items) => !items.is_empty(),
            Self::Time(_) => true,
        }
    }

    /// As Go prints it with `%v`.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Nil => out.push_str("<no value>"),
            Self::Text(text) => out.push_str(text),
            Self::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Float(value) => write_number(*value, out),
            Self::Bool(value) => {
                let _ = write!(out, "{value}");
            }
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Map(items) => {
                out.push_str("map[");
                for (index, (key, item)) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    out.push_str(key);
                    out.push(':');
                    item.write(out);
                }
                out.push(']');
            }
            Self::Time(nanos) => out.push_str(&super::format::time(*nanos, "2006-01-02 15:04:05.999999999 -0700 MST")),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Nil => String::new(),
            other => {
                let mut out = String::new();
                other.write(&mut out);
                out
            }
        }
    }

    /// A number, text included, as the arithmetic functions take it; what is no number is 0.
    pub(super) fn float(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "the functions that ask for it compute with floats")]
        match self {
            Self::Int(value) => *value as f64,
            Self::Float(value) => *value,
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Text(text) => text.trim().parse().unwrap_or(0.0),
            _ => 0.0,
        }
    }

    /// As [`Self::float`], whole.
    pub(super) fn int(&self) -> i64 {
        #[allow(clippy::cast_possible_truncation, reason = "Go's int conversion drops the fraction as well")]
        match self {
            Self::Int(value) => *value,
            Self::Text(text) => text.trim().parse().unwrap_or_else(|_| self.float() as i64),
            other => other.float() as i64,
        }
    }
}
