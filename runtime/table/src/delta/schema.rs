//! Arrow schema → Delta's schema JSON.

use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Value, json};

/// The `schemaString` of a table; `None` when a type has no Delta counterpart.
pub(crate) fn schema_string(schema: &Schema) -> Option<String> {
    let fields = schema.fields().iter().map(|field| delta_field(field)).collect::<Option<Vec<_>>>()?;
    Some(json!({ "type": "struct", "fields": fields }).to_string())
}

/// Columns that `new` has after those of `old`, all nullable; `None` when `new` is no such extension.
/// Both are schema strings.
pub(crate) fn added_columns(old: &str, new: &str) -> Option<Vec<String>> {
    let (old, new): (Value, Value) = (serde_json::from_str(old).ok()?, serde_json::from_str(new).ok()?);
    let (old, new) = (old["fields"].as_array()?, new["fields"].as_array()?);
    let kept = |field: &Value| (field["name"].clone(), field["type"].clone(), field["nullable"].clone());
    if new.len() < old.len() || old.iter().zip(new).any(|(a, b)| kept(a) != kept(b)) {
        return None;
    }
    new[old.len()..]
        .iter()
        .map(|field| (field["nullable"] == Value::Bool(true)).then(|| field["name"].as_str().map(String::from))?)
        .collect()
}

fn delta_field(field: &Field) -> Option<Value> {
    let data_type = delta_type(field.data_type())?;
    Some(json!({ "name": field.name(), "type": data_type, "nullable": field.is_nullable(), "metadata": {} }))
}

fn delta_type(data_type: &DataType) -> Option<Value> {
    Some(match data_type {
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("binary"),
        DataType::Int32 => json!("integer"),
        DataType::Int64 => json!("long"),
        DataType::Float64 => json!("double"),
        DataType::Boolean => json!("boolean"),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| delta_field(field)).collect::<Option<Vec<_>>>()?;
            json!({ "type": "struct", "fields": fields })
        }
        DataType::List(element) => json!({
            "type": "array",
            "elementType": delta_type(element.data_type())?,
            "containsNull": element.is_nullable(),
        }),
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { return None };
            let [key, value] = fields.as_ref() else { return None };
            json!({
                "type": "map",
                "keyType": delta_type(key.data_type())?,
                "valueType": delta_type(value.data_type())?,
                "valueContainsNull": value.is_nullable(),
            })
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use weft_model::Table;

    #[test]
    fn every_table_has_a_delta_schema() {
        for table in Table::ALL {
            let text = schema_string(&table.schema()).unwrap();
            assert_eq!(added_columns(&text, &text).unwrap(), Vec::<String>::new(), "{table}");
        }
    }

    #[test]
    fn only_nullable_columns_at_the_end_extend_a_schema() {
        let old = Schema::new(vec![Field::new("a", DataType::Int64, false)]);
        let with = |nullable| {
            let fields = vec![Field::new("a", DataType::Int64, false), Field::new("b", DataType::Utf8, nullable)];
            schema_string(&Schema::new(fields)).unwrap()
        };
        let old = schema_string(&old).unwrap();
        assert_eq!(added_columns(&old, &with(true)), Some(vec!["b".to_string()]));
        assert_eq!(added_columns(&old, &with(false)), None);
        assert_eq!(added_columns(&with(true), &old), None);
    }
}
