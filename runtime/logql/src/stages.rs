//! Pipeline stages, compiled once for a query and run on each line. No DataFusion here: `plan` feeds
//! rows in and takes lines, labels and values out.

pub(crate) mod decolorize;
pub(crate) mod format;
pub(crate) mod ip;
pub(crate) mod json;
pub(crate) mod json_path;
pub(crate) mod label_filter;
pub(crate) mod line_filter;
pub(crate) mod logfmt;
pub(crate) mod pattern;
pub(crate) mod row;
pub(crate) mod select;
pub(crate) mod template;
pub(crate) mod units;
pub(crate) mod unwrap;

use crate::ast::{Stage, Unwrap};
use regex::Regex;
use row::Row;

/// A stage ready to run. Those with state hold reusable buffers.
#[derive(Debug)]
enum Compiled {
    LineFilter(line_filter::CompiledLineFilter),
    Json(json::JsonParser),
    JsonPaths(json_path::JsonPaths),
    Logfmt(logfmt::LogfmtParser),
    Regexp(Regex),
    Pattern(pattern::Pattern),
    Unpack,
    LabelFilter(label_filter::CompiledLabelFilter),
    LineFormat(template::Template),
    LabelFormat(format::LabelFormats),
    Decolorize,
    Drop(select::LabelSelection),
    Keep(select::LabelSelection),
    Unwrap(Unwrap),
}

/// What the rest of a query needs of parsed labels, so that parsers can stop early.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Needs {
    /// Any label may matter.
    #[default]
    All,
    /// Only these.
    Only(Vec<String>),
    /// None at all: parsers don't run, and so don't fail.
    Nothing,
}

/// A query's stages.
#[derive(Debug)]
pub(crate) struct Pipeline {
    stages: Vec<Compiled>,
    needs: Needs,
    unwrapped: Option<String>,
}

impl Pipeline {
    /// Compiles `stages`. `grouping` names the labels a metric query keeps, when it keeps only those.
    pub(crate) fn new(stages: &[Stage], grouping: Option<&[String]>) -> Result<Self, String> {
        let compiled = stages.iter().map(compile).collect::<Result<Vec<_>, String>>()?;
        let unwrapped = stages.iter().find_map(|stage| match stage {
            Stage::Unwrap(unwrap) => Some(unwrap.label.clone()),
            _ => None,
        });
        let needs = grouping.map_or(Needs::All, |grouping| needs(&compiled, grouping));
        Ok(Self { stages: compiled, needs, unwrapped })
    }

    /// Label that `unwrap` takes off the series.
    pub(crate) fn unwrapped(&self) -> Option<&str> {
        self.unwrapped.as_deref()
    }

    /// Runs all stages. `None` drops the line; the value is that of `unwrap`, else 0.
    pub(crate) fn run(&mut self, row: &mut Row<'_>) -> Option<f64> {
        let mut value = 0.0;
        let (required, parse) = match &self.needs {
            Needs::All => (None, true),
            Needs::Only(names) => (Some(names.as_slice()), true),
            Needs::Nothing => (None, false),
        };
        for stage in &mut self.stages {
            let keep = match stage {
                Compiled::LineFilter(filter) => filter.passes(row.line()),
                Compiled::LabelFilter(filter) => filter.passes(row),
                Compiled::Json(parser) if parse => {
                    parser.process(row, required);
                    true
                }
                Compiled::JsonPaths(paths) if parse => {
                    paths.process(row);
                    true
                }
                Compiled::Logfmt(parser) if parse => {
                    parser.process(row, required);
                    true
                }
                Compiled::Regexp(regex) if parse => {
                    regexp(regex, row, required);
                    true
                }
                Compiled::Pattern(pattern) if parse => {
                    pattern.process(row, required);
                    true
                }
                Compiled::Unpack if parse => {
                    json::unpack(row, required);
                    true
                }
                Compiled::Json(_)
                | Compiled::JsonPaths(_)
                | Compiled::Logfmt(_)
                | Compiled::Regexp(_)
                | Compiled::Pattern(_)
                | Compiled::Unpack => true,
                Compiled::LineFormat(template) => {
                    format::line_format(template, row);
                    true
                }
                Compiled::LabelFormat(formats) => {
                    formats.process(row);
                    true
                }
                Compiled::Decolorize => {
                    decolorize::decolorize(row);
                    true
                }
                Compiled::Drop(selection) => {
                    selection.drop(row);
                    true
                }
                Compiled::Keep(selection) => {
                    selection.keep(row);
                    true
                }
                Compiled::Unwrap(stage) => match unwrap::unwrap(row, stage) {
                    Some(sample) => {
                        value = sample;
                        true
                    }
                    None => false,
                },
            };
            if !keep {
                return None;
            }
        }
        Some(value)
    }
}

fn compile(stage: &Stage) -> Result<Compiled, String> {
    Ok(match stage {
        Stage::LineFilter(filter) => Compiled::LineFilter(line_filter::CompiledLineFilter::new(filter)?),
        Stage::Json(extractions) if extractions.is_empty() => Compiled::Json(json::JsonParser::default()),
        Stage::Json(extractions) => Compiled::JsonPaths(json_path::JsonPaths::new(extractions)?),
        Stage::Logfmt { strict, keep_empty, extractions } => {
            Compiled::Logfmt(logfmt::LogfmtParser::new(*strict, *keep_empty, extractions))
        }
        Stage::Regexp(pattern) => Compiled::Regexp(named_captures(pattern)?),
        Stage::Pattern(text) => Compiled::Pattern(pattern::Pattern::parser(text)?),
        Stage::Unpack => Compiled::Unpack,
        Stage::LabelFilter(filter) => Compiled::LabelFilter(label_filter::CompiledLabelFilter::new(filter)?),
        Stage::LineFormat(text) => Compiled::LineFormat(template::Template::new(text)?),
        Stage::LabelFormat(items) => Compiled::LabelFormat(format::LabelFormats::new(items)?),
        Stage::Decolorize => Compiled::Decolorize,
        Stage::Drop(items) => Compiled::Drop(select::LabelSelection::new(items)?),
        Stage::Keep(items) => Compiled::Keep(select::LabelSelection::new(items)?),
        Stage::Unwrap(unwrap) => Compiled::Unwrap(unwrap.clone()),
    })
}

/// The expression of `| regexp`: at least one named capture, no name twice.
fn named_captures(pattern: &str) -> Result<Regex, String> {
    // The library refuses equal names itself; the message is LogQL's.
    let regex = line_filter::regex(pattern).map_err(|error| {
        if error.contains("duplicate") {
            format!("duplicate extracted label name in regexp `{pattern}`")
        } else {
            error
        }
    })?;
    if regex.capture_names().flatten().next().is_none() {
        return Err("at least one named capture must be supplied".to_owned());
    }
    Ok(regex)
}

fn regexp(regex: &Regex, row: &mut Row<'_>, required: Option<&[String]>) {
    let line = row.take_line();
    if let Some(captures) = regex.captures(line.text()) {
        for name in regex.capture_names().flatten() {
            if let Some(value) = captures.name(name) {
                row.extract(name, value.as_str(), required);
            }
        }
    }
    row.set_line(line);
}

/// Labels that the stages read and the grouping keeps.
fn needs(stages: &[Compiled], grouping: &[String]) -> Needs {
    let mut names: Vec<String> = grouping.to_vec();
    for stage in stages {
        match stage {
            Compiled::LabelFilter(filter) => {
                let mut read = Vec::new();
                filter.names(&mut read);
                names.extend(read.into_iter().map(str::to_owned));
            }
            Compiled::LineFormat(template) => match template.fields() {
                Some(fields) => names.extend_from_slice(fields),
                None => return Needs::All,
            },
            Compiled::LabelFormat(formats) => {
                if !formats.names(&mut names) {
                    return Needs::All;
                }
            }
            Compiled::Unwrap(unwrap) => names.push(unwrap.label.clone()),
            // What these leave decides what later stages see.
            Compiled::Drop(_) | Compiled::Keep(_) => return Needs::All,
            Compiled::Json(_)
            | Compiled::JsonPaths(_)
            | Compiled::Logfmt(_)
            | Compiled::Regexp(_)
            | Compiled::Pattern(_)
            | Compiled::Unpack
            | Compiled::LineFilter(_)
            | Compiled::Decolorize => {}
        }
    }
    names.sort_unstable();
    names.dedup();
    // A parser may have to give a name way to what is stored under it.
    if names.is_empty() { Needs::Nothing } else { Needs::Only(names) }
}
