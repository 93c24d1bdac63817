//! Functions of one number at a time: `steps_map(name, values, …)`, for PromQL's math and date
//! functions. Further arguments are numbers, or one for each step.

use super::columns::{FloatListBuilder, FloatLists, Operand, values_type};
use crate::functions::{Columnar, column, text};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Expr, ScalarFunctionArgs, ScalarUDF, lit};
use std::sync::{Arc, LazyLock};

type Kernel = fn(f64, &[f64]) -> Option<f64>;

static MAP: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Columnar::udf("steps_map", |_| Ok(values_type()), evaluate));

fn evaluate(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let name = text(arguments, 0)?;
    let Some(kernel) = kernel(name) else { return exec_err!("there is no function '{name}' of a number") };
    let array = column(arguments, 1)?;
    let lists = FloatLists::of(&array)?;
    let numbers: Vec<Operand> =
        (2..arguments.args.len()).map(|at| Operand::read(arguments, at)).collect::<Result<_>>()?;
    let operands = numbers.iter().map(Operand::rows).collect::<Result<Vec<_>>>()?;
    let mut out = FloatListBuilder::with_capacity(lists.len(), 0);
    let mut at_step = vec![0.0; operands.len()];
    for row in 0..lists.len() {
        let values = lists.row(row);
        for step in 0..values.values.len() {
            for (number, operand) in at_step.iter_mut().zip(&operands) {
                *number = operand.row(row).get(step).unwrap_or(f64::NAN);
            }
            out.push(values.get(step).and_then(|value| kernel(value, &at_step)));
        }
        out.finish_row();
    }
    Ok(out.finish())
}

/// The function of this name on one number.
pub fn kernel(name: &str) -> Option<Kernel> {
    Some(match name {
        "abs" => |x, _| Some(x.abs()),
        "acos" => |x, _| Some(x.acos()),
        "acosh" => |x, _| Some(x.acosh()),
        "asin" => |x, _| Some(x.asin()),
        "asinh" => |x, _| Some(x.asinh()),
        "atan" => |x, _| Some(x.atan()),
        "atanh" => |x, _| Some(x.atanh()),
        "ceil" => |x, _| Some(x.ceil()),
        "cos" => |x, _| Some(x.cos()),
        "cosh" => |x, _| Some(x.cosh()),
        "deg" => |x, _| Some(x * 180.0 / std::f64::consts::PI),
        "exp" => |x, _| Some(x.exp()),
        "floor" => |x, _| Some(x.floor()),
        "ln" => |x, _| Some(x.ln()),
        "log2" => |x, _| Some(x.log2()),
        "log10" => |x, _| Some(x.log10()),
        "rad" => |x, _| Some(x * std::f64::consts::PI / 180.0),
        "sgn" => |x, _| {
            Some(if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x
            })
        },
        "sin" => |x, _| Some(x.sin()),
        "sinh" => |x, _| Some(x.sinh()),
        "sqrt" => |x, _| Some(x.sqrt()),
        "tan" => |x, _| Some(x.tan()),
        "tanh" => |x, _| Some(x.tanh()),
        "negate" => |x, _| Some(-x),
        "clamp" => |x, bounds| clamp(x, bounds[0], bounds[1]),
        "clamp_min" => |x, bounds| clamp(x, bounds[0], f64::INFINITY),
        "clamp_max" => |x, bounds| clamp(x, f64::NEG_INFINITY, bounds[0]),
        "round" => |x, to| Some(round(x, to.first().copied().unwrap_or(1.0))),
        "minute" => |x, _| Some(part(x, |date| date.minute)),
        "hour" => |x, _| Some(part(x, |date| date.hour)),
        "day_of_week" => |x, _| Some(part(x, |date| date.weekday)),
        "day_of_month" => |x, _| Some(part(x, |date| date.day)),
        "day_of_year" => |x, _| Some(part(x, |date| date.day_of_year)),
        "days_in_month" => |x, _| Some(part(x, |date| date.days_in_month)),
        "month" => |x, _| Some(part(x, |date| date.month)),
        "year" => |x, _| Some(part(x, |date| date.year)),
        _ => return None,
    })
}

fn clamp(value: f64, low: f64, high: f64) -> Option<f64> {
    if low > high {
        return None;
    }
    if low.is_nan() || high.is_nan() || value.is_nan() {
        return Some(f64::NAN);
    }
    Some(value.max(low).min(high))
}

/// To the nearest multiple of `to`, ties up.
fn round(value: f64, to: f64) -> f64 {
    let inverse = 1.0 / to;
    (value * inverse + 0.5).floor() / inverse
}

/// A UTC date, all parts as PromQL counts them (weekdays from Sunday, 0).
struct Date {
    minute: i64,
    hour: i64,
    weekday: i64,
    day: i64,
    day_of_year: i64,
    days_in_month: i64,
    month: i64,
    year: i64,
}

fn part(seconds: f64, get: impl Fn(&Date) -> i64) -> f64 {
    if !seconds.is_finite() {
        return f64::NAN;
    }
    get(&date(seconds as i64)) as f64
}

/// The proleptic Gregorian date of a Unix time, by counting days from March of year 0.
fn date(seconds: i64) -> Date {
    let days = seconds.div_euclid(86_400);
    let second = seconds.rem_euclid(86_400);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_from_march + 2) / 153;
    let day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before: i64 = lengths[..(month - 1) as usize].iter().sum();
    Date {
        minute: second / 60 % 60,
        hour: second / 3600,
        weekday: (days + 4).rem_euclid(7),
        day,
        day_of_year: before + day,
        days_in_month: lengths[(month - 1) as usize],
        month,
        year,
    }
}

/// The function `name` on `values`; `numbers` are its further arguments.
pub fn call(name: &str, values: Expr, numbers: impl IntoIterator<Item = Expr>) -> Expr {
    let mut arguments = vec![lit(name), values];
    arguments.extend(numbers);
    MAP.call(arguments)
}

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::clone(&MAP)]
}

#[cfg(test)]
mod tests {
    use super::{date, round};

    #[test]
    fn dates_are_those_of_the_calendar() {
        let leap_day = date(1_709_164_800);
        assert_eq!((leap_day.year, leap_day.month, leap_day.day, leap_day.weekday), (2024, 2, 29, 4));
        assert_eq!((leap_day.day_of_year, leap_day.days_in_month), (60, 29));
        let before = date(-1);
        assert_eq!((before.year, before.month, before.day, before.hour, before.minute), (1969, 12, 31, 23, 59));
    }

    #[test]
    fn ties_round_up() {
        assert_eq!(round(-2.5, 1.0), -2.0);
        assert_eq!(round(2.5, 1.0), 3.0);
        assert_eq!(round(7.0, 5.0), 5.0);
    }
}
