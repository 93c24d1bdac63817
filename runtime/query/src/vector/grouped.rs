//! The frame of weft's aggregate functions: a name, types, and a [`GroupsAccumulator`], which handles
//! all groups of a batch at once.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use parking_lot::Mutex;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Makes an accumulator.
pub type Create = fn() -> Box<dyn GroupsAccumulator>;
/// Gives the fields of an accumulator's intermediate state.
pub type State = fn() -> Vec<FieldRef>;
/// Gives the type of the result.
pub type Returns = fn() -> DataType;

/// An aggregate function without parameters of its own.
pub struct Grouped {
    name: &'static str,
    signature: Signature,
    returns: Returns,
    state: State,
    create: Create,
}

impl Grouped {
    /// A function named `name`; names are unique in weft.
    pub fn udaf(name: &'static str, returns: Returns, state: State, create: Create) -> Arc<AggregateUDF> {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(Self { name, signature, returns, state, create }))
    }
}

impl std::fmt::Debug for Grouped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Grouped").field(&self.name).finish()
    }
}

impl PartialEq for Grouped {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Grouped {}

impl Hash for Grouped {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Grouped {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok((self.returns)())
    }

    fn state_fields(&self, _: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok((self.state)())
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup(Mutex::new((self.create)()))))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok((self.create)())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// A grouped accumulator with one group, for aggregates without `GROUP BY`.
struct OneGroup(Mutex<Box<dyn GroupsAccumulator>>);

impl std::fmt::Debug for OneGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneGroup")
    }
}

fn rows(values: &[ArrayRef]) -> Vec<usize> {
    vec![0; values.first().map_or(0, |array| array.len())]
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.get_mut().update_batch(values, &rows(values), None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.get_mut().evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        self.0.lock().size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.get_mut().state(EmitTo::All)?.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.get_mut().merge_batch(states, &rows(states), 1)
    }
}
