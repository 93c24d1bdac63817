//! One value out of a JSON text, without building the rest of it.

use super::columns::Error;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A value that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    String(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// An array or object, as JSON.
    Json(String),
}

/// A JSON pointer (RFC 6901).
#[derive(Debug)]
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(Error::Argument(format!("JSON pointer '{text}' must be empty or start with '/'")));
        };
        Ok(Self(rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// The value it points at; `None` if there is none, it is null, or the text is not JSON.
    pub(super) fn find(&self, text: &str) -> Option<Found> {
        let mut json = serde_json::Deserializer::from_str(text);
        let found = Descend(&self.0).deserialize(&mut json).ok()?;
        json.end().ok()?;
        match found? {
            serde_json::Value::Null => None,
            serde_json::Value::Bool(value) => Some(Found::Bool(value)),
            serde_json::Value::String(value) => Some(Found::String(value)),
            serde_json::Value::Number(number) => {
                number.as_i64().map(Found::Int).or_else(|| number.as_f64().map(Found::Double))
            }
            other => Some(Found::Json(other.to_string())),
        }
    }
}

/// Goes down the tokens, skipping all else.
struct Descend<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Descend<'_> {
    type Value = Option<serde_json::Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(from).map(Some);
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Descend<'_> {
    type Value = Option<serde_json::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((token, rest)) = self.0.split_first() else { return Err(A::Error::custom("no token")) };
        let mut found = None;
        while let Some(hit) = map.next_key_seed(Key(token))? {
            // As serde_json's maps do: the last of equal keys counts.
            match hit {
                true => found = map.next_value_seed(Descend(rest))?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Some((token, rest)) = self.0.split_first() else { return Err(A::Error::custom("no token")) };
        // RFC 6901: digits without leading zeros; anything else names no element.
        let wanted = token.parse::<usize>().ok().filter(|at| at.to_string() == *token);
        let (mut at, mut found) = (0, None);
        loop {
            if wanted == Some(at) {
                match seq.next_element_seed(Descend(rest))? {
                    Some(value) => found = value,
                    None => return Ok(found),
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Compares a key without keeping it.
struct Key<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Pointer};

    fn find(pointer: &str, text: &str) -> Option<Found> {
        Pointer::parse(pointer).ok()?.find(text)
    }

    #[test]
    fn a_pointer_finds_a_value_with_its_type() {
        let text = r#"{"a":{"b":[1,{"c/d":"x"},2.5]},"t":true,"n":null}"#;
        assert_eq!(find("/a/b/0", text), Some(Found::Int(1)));
        assert_eq!(find("/a/b/1/c~1d", text), Some(Found::String("x".into())));
        assert_eq!(find("/a/b/2", text), Some(Found::Double(2.5)));
        assert_eq!(find("/t", text), Some(Found::Bool(true)));
        assert_eq!(find("/a/b/1", text), Some(Found::Json(r#"{"c/d":"x"}"#.into())));
        assert_eq!(find("/n", text), None);
        assert_eq!(find("/a/b/01", text), None);
        assert_eq!(find("/a/b/9", text), None);
        assert_eq!(find("/t/x", text), None);
        assert_eq!(find("/a", "{not json"), None);
        assert_eq!(find("/t", r#"{"t":1} trailing"#), None);
    }

    #[test]
    fn a_pointer_without_a_slash_is_an_error() {
        assert!(Pointer::parse("a/b").is_err());
    }
}
