//! Policies: their configuration, what they look for in spans, and the decision about a trace.
//!
//! A policy is made of tests. A test of spans ([`SpanTest`]) is answered once a batch for all its
//! rows, and leaves one bit in each trace: whether any span met it. Tests of whole traces (latency,
//! count, chance) are answered at the decision.

use crate::traces::Trace;
use serde::Deserialize;
use weft_guest::{Batch, Error, Mask};

/// A policy as configured, the Collector's form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyConfig {
    name: String,
    #[serde(rename = "type")]
    kind: Kind,
    latency: Option<Latency>,
    status_code: Option<StatusCode>,
    probabilistic: Option<Probabilistic>,
    string_attribute: Option<StringAttribute>,
    numeric_attribute: Option<NumericAttribute>,
    boolean_attribute: Option<BooleanAttribute>,
    span_count: Option<SpanCount>,
    and: Option<And>,
    drop: Option<Drop>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    AlwaysSample,
    And,
    BooleanAttribute,
    Drop,
    Latency,
    NumericAttribute,
    Probabilistic,
    SpanCount,
    StatusCode,
    StringAttribute,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Latency {
    threshold_ms: i64,
    #[serde(default)]
    upper_threshold_ms: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusCode {
    status_codes: Vec<Status>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Unset,
    Ok,
    Error,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Probabilistic {
    sampling_percentage: f64,
    #[serde(default)]
    hash_salt: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct StringAttribute {
    key: String,
    values: Vec<String>,
    #[serde(default)]
    enabled_regex_matching: bool,
    #[serde(default)]
    invert_match: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumericAttribute {
    key: String,
    #[serde(default = "lowest")]
    min_value: f64,
    #[serde(default = "highest")]
    max_value: f64,
    #[serde(default)]
    invert_match: bool,
}

fn lowest() -> f64 {
    f64::NEG_INFINITY
}

fn highest() -> f64 {
    f64::INFINITY
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct BooleanAttribute {
    key: String,
    value: bool,
    #[serde(default)]
    invert_match: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpanCount {
    min_spans: u64,
    #[serde(default)]
    max_spans: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct And {
    and_sub_policy: Vec<PolicyConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drop {
    drop_sub_policy: Vec<PolicyConfig>,
}

/// Asked of every span.
#[derive(Debug, PartialEq)]
enum SpanTest {
    Status(Vec<i64>),
    Text { key: String, values: Vec<String> },
    Regex { key: String, regex: String },
    Number { key: String, min: f64, max: f64 },
    Bool { key: String, value: bool },
}

/// Asked of a trace.
#[derive(Debug)]
enum Test {
    Always,
    /// Whether a span met the test of this number; inverted, whether none did.
    Span {
        test: usize,
        inverted: bool,
    },
    Latency {
        above_ms: i64,
        up_to_ms: i64,
    },
    Spans {
        min: u64,
        max: u64,
    },
    Chance {
        salt: String,
        threshold: u64,
    },
}

#[derive(Debug)]
enum Policy {
    One(Test),
    All(Vec<Test>),
    Drop(Vec<Test>),
}

/// All policies of a stage.
#[derive(Debug)]
pub(crate) struct Policies {
    policies: Vec<Policy>,
    tests: Vec<SpanTest>,
}

/// Each span test has a bit of a trace's word.
const MAX_TESTS: usize = 64;
/// The Collector's salt where none is given.
const DEFAULT_SALT: &str = "default-hash-seed";

impl Policies {
    pub(crate) fn new(configs: Vec<PolicyConfig>) -> Result<Self, Error> {
        if configs.is_empty() {
            return Err(Error::config("policies", "at least one is needed, or every trace would be dropped"));
        }
        let mut policies = Self { policies: Vec::new(), tests: Vec::new() };
        for (index, config) in configs.into_iter().enumerate() {
            let field = format!("policies.{index} ({})", config.name);
            let policy = match (config.kind, config.and, config.drop) {
                (Kind::And, Some(and), _) => {
                    Policy::All(policies.tests_of(&format!("{field}.and_sub_policy"), and.and_sub_policy)?)
                }
                (Kind::Drop, _, Some(drop)) => {
                    Policy::Drop(policies.tests_of(&format!("{field}.drop_sub_policy"), drop.drop_sub_policy)?)
                }
                (_, and, drop) => Policy::One(policies.test(&field, PolicyConfig { and, drop, ..config })?),
            };
            policies.policies.push(policy);
        }
        if policies.tests.len() > MAX_TESTS {
            let count = policies.tests.len();
            return Err(Error::config(
                "policies",
                format!("{count} attribute or status tests; {MAX_TESTS} are possible"),
            ));
        }
        Ok(policies)
    }

    fn tests_of(&mut self, field: &str, configs: Vec<PolicyConfig>) -> Result<Vec<Test>, Error> {
        if configs.is_empty() {
            return Err(Error::config(field, "at least one is needed"));
        }
        let tests = configs.into_iter().enumerate();
        tests.map(|(index, config)| self.test(&format!("{field}.{index} ({})", config.name), config)).collect()
    }

    fn test(&mut self, field: &str, config: PolicyConfig) -> Result<Test, Error> {
        fn given<T>(field: &str, name: &str, value: Option<T>) -> Result<T, Error> {
            value.ok_or_else(|| Error::config(format!("{field}.{name}"), "is missing, and the policy's type needs it"))
        }
        Ok(match config.kind {
            Kind::AlwaysSample => Test::Always,
            Kind::And => {
                given(field, "and", config.and)?;
                return Err(Error::config(field, "an and policy can't stand within another"));
            }
            Kind::Drop => {
                given(field, "drop", config.drop)?;
                return Err(Error::config(field, "a drop policy can't stand within another"));
            }
            Kind::Latency => {
                let latency = given(field, "latency", config.latency)?;
                Test::Latency { above_ms: latency.threshold_ms, up_to_ms: latency.upper_threshold_ms }
            }
            Kind::SpanCount => {
                let count = given(field, "span_count", config.span_count)?;
                Test::Spans { min: count.min_spans, max: count.max_spans }
            }
            Kind::Probabilistic => {
                let chance = given(field, "probabilistic", config.probabilistic)?;
                if !(0.0..=100.0).contains(&chance.sampling_percentage) {
                    let field = format!("{field}.probabilistic.sampling_percentage");
                    return Err(Error::config(field, "must be from 0 to 100"));
                }
                let salt = if chance.hash_salt.is_empty() { DEFAULT_SALT.into() } else { chance.hash_salt };
                // The cast saturates, so that 100 % is every hash.
                Test::Chance { salt, threshold: (chance.sampling_percentage / 100.0 * u64::MAX as f64) as u64 }
            }
            Kind::StatusCode => {
                let codes = given(field, "status_code", config.status_code)?.status_codes;
                if codes.is_empty() {
                    return Err(Error::config(format!("{field}.status_code.status_codes"), "at least one is needed"));
                }
                self.span_test(SpanTest::Status(codes.into_iter().map(|code| code as i64).collect()), false)
            }
            Kind::StringAttribute => {
                let StringAttribute { key, values, enabled_regex_matching, invert_match } =
                    given(field, "string_attribute", config.string_attribute)?;
                let test = if enabled_regex_matching {
                    SpanTest::Regex { key, regex: format!("(?:{})", values.join(")|(?:")) }
                } else {
                    SpanTest::Text { key, values }
                };
                self.span_test(test, invert_match)
            }
            Kind::NumericAttribute => {
                let NumericAttribute { key, min_value, max_value, invert_match } =
                    given(field, "numeric_attribute", config.numeric_attribute)?;
                self.span_test(SpanTest::Number { key, min: min_value, max: max_value }, invert_match)
            }
            Kind::BooleanAttribute => {
                let BooleanAttribute { key, value, invert_match } =
                    given(field, "boolean_attribute", config.boolean_attribute)?;
                self.span_test(SpanTest::Bool { key, value }, invert_match)
            }
        })
    }

    fn span_test(&mut self, test: SpanTest, inverted: bool) -> Test {
        let known = self.tests.iter().position(|other| *other == test);
        let test = known.unwrap_or_else(|| {
            self.tests.push(test);
            self.tests.len() - 1
        });
        Test::Span { test, inverted }
    }

    /// What the bits of a trace mean; they can't be read under other tests.
    pub(crate) fn shape(&self) -> u64 {
        weft_guest::hash_bytes(format!("{:?}", self.tests).as_bytes())
    }

    /// Answers every span test for every row: one mask a test.
    pub(crate) fn masks(&self, batch: &Batch) -> Result<Vec<Mask>, Error> {
        if self.tests.is_empty() {
            return Ok(Vec::new());
        }
        let maps = [("resource", batch.keys("resource")?), ("attributes", batch.keys("attributes")?)];
        let rows = batch.rows();
        self.tests
            .iter()
            .map(|test| {
                let key = match test {
                    SpanTest::Status(codes) => {
                        let statuses = batch.ints("status_code")?;
                        return Ok(Mask::of(statuses.iter().map(|s| s.is_some_and(|s| codes.contains(&s)))));
                    }
                    SpanTest::Text { key, .. }
                    | SpanTest::Regex { key, .. }
                    | SpanTest::Number { key, .. }
                    | SpanTest::Bool { key, .. } => key,
                };
                let mut mask = Mask::new(rows, false);
                for (map, keys) in &maps {
                    // A key that no row has costs nothing more.
                    if keys.iter().any(|known| known == key) {
                        mask.or(&test.mask(batch, &format!("{map}.{key}"))?);
                    }
                }
                Ok(mask)
            })
            .collect()
    }

    /// Whether a trace is kept. Precedence as in the Collector: drop, then an inverted test that
    /// fails, then any policy that samples.
    pub(crate) fn decide(&self, id: &[u8; 16], trace: &Trace) -> bool {
        if trace.keep {
            return true;
        }
        let mut sampled = false;
        for policy in &self.policies {
            match policy {
                Policy::Drop(tests) if tests.iter().all(|test| test.holds(id, trace)) => return false,
                Policy::Drop(_) => {}
                Policy::One(test @ Test::Span { inverted: true, .. }) if !test.holds(id, trace) => return false,
                Policy::One(test) => sampled |= test.holds(id, trace),
                Policy::All(tests) => sampled |= tests.iter().all(|test| test.holds(id, trace)),
            }
        }
        sampled
    }
}

impl SpanTest {
    fn mask(&self, batch: &Batch, path: &str) -> Result<Mask, Error> {
        let rows = batch.rows();
        Ok(match self {
            Self::Status(_) => Mask::new(rows, false),
            Self::Regex { regex, .. } => batch.matches(path, regex)?,
            Self::Text { values, .. } => {
                let column = batch.dictionary(path)?;
                let wanted: Vec<bool> = column
                    .values()
                    .iter()
                    .map(|v| v.is_some_and(|v| values.iter().any(|wanted| wanted == v)))
                    .collect();
                Mask::of((0..rows).map(|row| column.key(row).is_some_and(|key| wanted[key as usize])))
            }
            Self::Number { min, max, .. } => {
                let (ints, floats) = (batch.ints(path)?, batch.floats(path)?);
                let value = |row| ints.get(row).map(|value| value as f64).or_else(|| floats.get(row));
                Mask::of((0..rows).map(|row| value(row).is_some_and(|value| (*min..=*max).contains(&value))))
            }
            Self::Bool { value, .. } => {
                let column = batch.bools(path)?;
                Mask::of((0..rows).map(|row| column.get(row) == Some(*value)))
            }
        })
    }
}

impl Test {
    fn holds(&self, id: &[u8; 16], trace: &Trace) -> bool {
        match self {
            Self::Always => true,
            Self::Span { test, inverted } => (trace.met & (1 << test) != 0) != *inverted,
            Self::Latency { above_ms, up_to_ms } => {
                let took = trace.end.saturating_sub(trace.start) / 1_000_000;
                if *up_to_ms == 0 { took >= *above_ms } else { *above_ms < took && took <= *up_to_ms }
            }
            Self::Spans { min, max } => trace.spans >= *min && (*max == 0 || trace.spans <= *max),
            Self::Chance { salt, threshold } => {
                let fnv1a = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                let hash = salt.as_bytes().iter().chain(id).fold(0xcbf2_9ce4_8422_2325, fnv1a);
                *threshold > 0 && hash <= *threshold
            }
        }
    }
}
