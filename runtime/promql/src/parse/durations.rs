//! Durations: literals (`1h30m`), and expressions of them with `step()` and `range()`.

use super::ast::Duration;

/// Units from the longest, in ms.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A literal at the start of `text` as seconds, and its length; `None` when what stands there is none.
///
/// # Errors
/// When it is one but units are out of order, repeated, or the sum is too large.
pub fn literal(text: &str) -> Result<Option<(f64, usize)>, String> {
    let bytes = text.as_bytes();
    let (mut at, mut total, mut last_unit) = (0, 0i64, 0);
    loop {
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let unit_at = at + digits;
        let letters =
            bytes.get(unit_at..).map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count());
        let unit = UNITS.iter().position(|(name, _)| *name == &text[unit_at..unit_at + letters]);
        let Some(unit) = unit.filter(|_| digits > 0) else {
            // `5e3` and `0x1f` are numbers; `5m3` is neither.
            return if at == 0 {
                Ok(None)
            } else {
                Err(format!("bad number or duration syntax: {:?}", &text[..unit_at]))
            };
        };
        if at > 0 && unit <= last_unit {
            return Err(format!("not a valid duration string: {:?}", &text[..unit_at + letters]));
        }
        let amount: i64 = text[at..unit_at].parse().map_err(|_| "duration out of range".to_owned())?;
        total =
            amount.checked_mul(UNITS[unit].1).and_then(|ms| total.checked_add(ms)).ok_or("duration out of range")?;
        last_unit = unit;
        at = unit_at + letters;
        if !bytes.get(at).is_some_and(u8::is_ascii_digit) {
            break;
        }
    }
    // Prometheus keeps durations as ns in 64 bits.
    if total > i64::MAX / 1_000_000 {
        return Err("duration out of range".into());
    }
    Ok(Some((total as f64 / 1000.0, at)))
}

/// A duration given as text, in ms: a literal, or a number of seconds.
pub fn parse(text: &str) -> Option<i64> {
    if let Ok(Some((seconds, len))) = literal(text) {
        return (len == text.len()).then(|| millis(seconds));
    }
    let seconds: f64 = text.parse().ok()?;
    seconds.is_finite().then(|| millis(seconds))
}

fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// What a duration expression is evaluated with.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The query's step, ms; 0 in an instant query.
    pub step: i64,
    /// The query's range, ms; 0 in an instant query.
    pub range: i64,
}

impl Duration {
    /// Its length in ms.
    ///
    /// # Errors
    /// When it is no finite number, or too large.
    pub fn millis(&self, context: Context) -> Result<i64, String> {
        let seconds = self.seconds(context)?;
        if !seconds.is_finite() || seconds.abs() >= i64::MAX as f64 / 1e9 {
            return Err("duration out of range".into());
        }
        // A literal is rounded, a computed one cut off.
        Ok(if matches!(self, Self::Literal(_)) { millis(seconds) } else { (seconds * 1000.0) as i64 })
    }

    fn seconds(&self, context: Context) -> Result<f64, String> {
        Ok(match self {
            Self::Literal(seconds) => *seconds,
            Self::Step => context.step as f64 / 1000.0,
            Self::Range => context.range as f64 / 1000.0,
            Self::Negative(inner) => -inner.seconds(context)?,
            Self::Binary(op, left, right) => {
                let (left, right) = (left.seconds(context)?, right.seconds(context)?);
                match *op {
                    "+" => left + right,
                    "-" => left - right,
                    "*" => left * right,
                    "/" if right == 0.0 => return Err("division by zero".into()),
                    "/" => left / right,
                    "%" if right == 0.0 => return Err("modulo by zero".into()),
                    "%" => left % right,
                    "^" => left.powf(right),
                    "min_of" => left.min(right),
                    _ => left.max(right),
                }
            }
        })
    }
}
