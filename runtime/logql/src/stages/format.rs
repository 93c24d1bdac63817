//! `| line_format` and `| label_format`.

use super::row::{ERROR, ERROR_DETAILS, Line, Row};
use super::template::{TEMPLATE_ERROR, Template};
use crate::ast::{FormatSource, LabelFormat};

/// `| line_format "…"`.
pub(crate) fn line_format(template: &Template, row: &mut Row<'_>) {
    let mut out = String::with_capacity(row.line().len());
    match template.run(row, &mut out) {
        Ok(()) => row.set_line(Line::Rewritten(out)),
        Err(details) => row.fail(TEMPLATE_ERROR, &details),
    }
}

#[derive(Debug)]
enum Source {
    Label(String),
    Template(Template),
}

/// The items of one stage.
#[derive(Debug)]
pub(crate) struct LabelFormats(Vec<(String, Source)>);

impl LabelFormats {
    pub(crate) fn new(items: &[LabelFormat]) -> Result<Self, String> {
        let mut compiled: Vec<(String, Source)> = Vec::with_capacity(items.len());
        for item in items {
            if item.label == ERROR || item.label == ERROR_DETAILS {
                return Err(format!("{} cannot be formatted", item.label));
            }
            if compiled.iter().any(|(label, _)| *label == item.label) {
                return Err(format!("multiple label name '{}' not allowed in a single format operation", item.label));
            }
            let source = match &item.source {
                FormatSource::Label(name) => Source::Label(name.clone()),
                FormatSource::Template(text) => Source::Template(Template::new(text)?),
            };
            compiled.push((item.label.clone(), source));
        }
        Ok(Self(compiled))
    }

    pub(crate) fn process(&self, row: &mut Row<'_>) {
        // Templates see the labels as they were before the first of them ran; the results are set in order.
        let mut rendered: Option<std::vec::IntoIter<Result<String, String>>> = None;
        for (index, (label, source)) in self.0.iter().enumerate() {
            match source {
                Source::Label(name) => {
                    if let Some(value) = row.get(name).map(str::to_owned) {
                        row.set(label, &value);
                        if name != label {
                            row.remove(name);
                        }
                    }
                }
                Source::Template(_) => {
                    let texts = rendered.get_or_insert_with(|| Self::render(&self.0[index..], row));
                    match texts.next() {
                        Some(Ok(text)) => row.set(label, &text),
                        Some(Err(details)) => row.fail(TEMPLATE_ERROR, &details),
                        None => {}
                    }
                }
            }
        }
    }

    fn render(items: &[(String, Source)], row: &Row<'_>) -> std::vec::IntoIter<Result<String, String>> {
        let mut texts = Vec::with_capacity(items.len());
        for (_, source) in items {
            if let Source::Template(template) = source {
                let mut out = String::new();
                texts.push(template.run(row, &mut out).map(|()| out));
            }
        }
        texts.into_iter()
    }

    /// Labels it reads; false when it may read any.
    pub(crate) fn names(&self, names: &mut Vec<String>) -> bool {
        self.0.iter().all(|(_, source)| match source {
            Source::Label(name) => {
                names.push(name.clone());
                true
            }
            Source::Template(template) => template.fields().is_some_and(|fields| {
                names.extend_from_slice(fields);
                true
            }),
        })
    }
}
