//! Scalar functions on labels and attributes, one per file: usable from SQL, shared by the languages.
//!
//! [`Columnar`] is what they are made of: a name, a return type, and a body over whole columns.
//! They hold no parameters of their own (all are arguments), so a plan that names them can be sent
//! elsewhere.

pub mod attr;
pub mod label;
pub mod label_join;
pub mod label_key;
pub mod label_matches;
pub mod label_replace;
pub mod label_sets;
pub mod maps;
pub mod regexes;
pub mod text_matches;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// All functions, for registering in a session.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        attr::attr(),
        attr::attr_int(),
        attr::attr_double(),
        attr::typed_to_labels(),
        label::label(),
        label_join::label_join(),
        label_key::label_key(),
        label_key::labels_of_key(),
        label_matches::label_matches(),
        label_replace::label_replace(),
        label_sets::labels_by(),
        label_sets::labels_without(),
        label_sets::with_label(),
        text_matches::text_matches(),
    ]
}

/// Gives a function's result type from its arguments' types.
pub type Returns = fn(&[DataType]) -> Result<DataType>;
/// Evaluates a function on columns.
pub type Body = fn(&ScalarFunctionArgs) -> Result<ArrayRef>;

/// A scalar function over columns: immutable, any number of arguments, checked by its body.
pub struct Columnar {
    name: &'static str,
    signature: Signature,
    returns: Returns,
    body: Body,
}

impl Columnar {
    /// A function named `name`; names are unique in weft.
    pub fn udf(name: &'static str, returns: Returns, body: Body) -> Arc<ScalarUDF> {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Self { name, signature, returns, body }))
    }
}

impl std::fmt::Debug for Columnar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Columnar").field(&self.name).finish()
    }
}

impl PartialEq for Columnar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Columnar {}

impl Hash for Columnar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Columnar {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        (self.returns)(arguments)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // With literals only, one row is enough; the caller spreads it.
        let literals = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        if literals {
            let arguments = ScalarFunctionArgs { number_rows: 1, ..arguments };
            let array = (self.body)(&arguments)?;
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array((self.body)(&arguments)?))
    }
}

/// Argument `at` as a column of the batch's length.
pub fn column(arguments: &ScalarFunctionArgs, at: usize) -> Result<ArrayRef> {
    match arguments.args.get(at) {
        Some(value) => value.to_array(arguments.number_rows),
        None => exec_err!("argument {} is missing", at + 1),
    }
}

/// Argument `at`, which must be a string literal.
pub fn text(arguments: &ScalarFunctionArgs, at: usize) -> Result<&str> {
    match arguments.args.get(at) {
        Some(ColumnarValue::Scalar(value)) => match value.try_as_str() {
            Some(Some(text)) => Ok(text),
            _ => exec_err!("argument {} must be a string, not {value}", at + 1),
        },
        _ => exec_err!("argument {} must be a literal string", at + 1),
    }
}

/// Arguments from `from` on, which must be string literals.
pub fn texts(arguments: &ScalarFunctionArgs, from: usize) -> Result<Vec<&str>> {
    (from..arguments.args.len()).map(|at| text(arguments, at)).collect()
}

/// Argument `at`, which must be an integer literal; `None` for null.
pub fn integer(arguments: &ScalarFunctionArgs, at: usize) -> Result<Option<i64>> {
    match arguments.args.get(at) {
        Some(ColumnarValue::Scalar(ScalarValue::Int64(value))) => Ok(*value),
        _ => exec_err!("argument {} must be a literal integer", at + 1),
    }
}

/// Argument `at`, which must be a float literal.
pub fn float(arguments: &ScalarFunctionArgs, at: usize) -> Result<f64> {
    match arguments.args.get(at) {
        Some(ColumnarValue::Scalar(ScalarValue::Float64(Some(value)))) => Ok(*value),
        _ => exec_err!("argument {} must be a literal float", at + 1),
    }
}
