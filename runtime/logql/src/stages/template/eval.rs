//! Runs a template's nodes on one line.

use super::functions;
use super::parse::{Node, Operand, Pipeline};
use super::value::Value;
use crate::stages::row::Row;

/// What the dot is.
#[derive(Debug, Clone)]
enum Dot {
    Labels,
    Value(Value),
}

pub(super) struct Context<'r, 'a> {
    pub(super) row: &'r Row<'a>,
    dot: Dot,
    variables: Vec<(String, Value)>,
}

impl<'r, 'a> Context<'r, 'a> {
    pub(super) fn new(row: &'r Row<'a>) -> Self {
        Self { row, dot: Dot::Labels, variables: Vec::new() }
    }

    pub(super) fn run(&mut self, nodes: &[Node], out: &mut String) -> Result<(), String> {
        for node in nodes {
            self.node(node, out)?;
        }
        Ok(())
    }

    /// Runs a block; its variables end with it.
    fn scoped(&mut self, nodes: &[Node], dot: Option<Dot>, out: &mut String) -> Result<(), String> {
        let variables = self.variables.len();
        let outer = dot.map(|dot| std::mem::replace(&mut self.dot, dot));
        let result = self.run(nodes, out);
        if let Some(outer) = outer {
            self.dot = outer;
        }
        self.variables.truncate(variables);
        result
    }

    fn node(&mut self, node: &Node, out: &mut String) -> Result<(), String> {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline)?;
                if pipeline.variables.is_empty() {
                    value.write(out);
                }
            }
            Node::If { branches, otherwise } => {
                let variables = self.variables.len();
                let mut taken = otherwise;
                for (condition, body) in branches {
                    if self.pipeline(condition)?.truthy() {
                        taken = body;
                        break;
                    }
                }
                self.scoped(taken, None, out)?;
                self.variables.truncate(variables);
            }
            Node::With { value, body, otherwise } => {
                let variables = self.variables.len();
                let value = self.pipeline(value)?;
                if value.truthy() {
                    self.scoped(body, Some(Dot::Value(value)), out)?;
                } else {
                    self.scoped(otherwise, None, out)?;
                }
                self.variables.truncate(variables);
            }
            Node::Range { over, body, otherwise } => self.range(over, body, otherwise, out)?,
        }
        Ok(())
    }

    fn range(&mut self, over: &Pipeline, body: &[Node], otherwise: &[Node], out: &mut String) -> Result<(), String> {
        let declared = self.variables.len();
        let value = self.commands(over)?;
        let items: Vec<(Value, Value)> = match value {
            Value::List(items) => (0..).map(Value::Int).zip(items).collect(),
            Value::Map(items) => items.into_iter().map(|(key, value)| (Value::Text(key), value)).collect(),
            Value::Nil => Vec::new(),
            Value::Text(text) if text.is_empty() => Vec::new(),
            _ => return Err("range can't iterate over a value that is no list or map".to_owned()),
        };
        if items.is_empty() {
            return self.scoped(otherwise, None, out);
        }
        for (key, item) in items {
            match over.variables.as_slice() {
                [value] => self.variables.push((value.clone(), item.clone())),
                [index, value, ..] => {
                    self.variables.push((index.clone(), key));
                    self.variables.push((value.clone(), item.clone()));
                }
                [] => {}
            }
            self.scoped(body, Some(Dot::Value(item)), out)?;
            self.variables.truncate(declared);
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<Value, String> {
        let value = self.commands(pipeline)?;
        for name in &pipeline.variables {
            if pipeline.declares {
                self.variables.push((name.clone(), value.clone()));
            } else {
                let held = self.variables.iter_mut().rev().find(|(held, _)| held == name);
                held.ok_or_else(|| format!("undefined variable \"${name}\""))?.1 = value.clone();
            }
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline) -> Result<Value, String> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, piped)?);
        }
        Ok(piped.unwrap_or(Value::Nil))
    }

    fn command(&mut self, command: &[Operand], piped: Option<Value>) -> Result<Value, String> {
        let [first, rest @ ..] = command else { return Err("missing value for command".to_owned()) };
        if let Operand::Function(name) = first {
            let mut arguments = Vec::with_capacity(rest.len() + 1);
            // `and` and `or` stop at the operand that decides.
            let decides = |value: &Value| match name.as_str() {
                "and" => !value.truthy(),
                "or" => value.truthy(),
                _ => false,
            };
            for operand in rest {
                let value = self.operand(operand)?;
                if decides(&value) {
                    return Ok(value);
                }
                arguments.push(value);
            }
            arguments.extend(piped);
            return functions::call(name, arguments, self.row);
        }
        if !rest.is_empty() || piped.is_some() {
            return Err("can't give an argument to a value that is no function".to_owned());
        }
        self.operand(first)
    }

    fn operand(&mut self, operand: &Operand) -> Result<Value, String> {
        Ok(match operand {
            Operand::Constant(value) => value.clone(),
            Operand::Dot => match &self.dot {
                Dot::Labels => self.labels(),
                Dot::Value(value) => value.clone(),
            },
            Operand::Field(path) => match &self.dot {
                Dot::Labels => self.label(path)?,
                Dot::Value(value) => member(value.clone(), path)?,
            },
            Operand::Variable(name, path) if name.is_empty() => {
                if path.is_empty() {
                    self.labels()
                } else {
                    self.label(path)?
                }
            }
            Operand::Variable(name, path) => {
                let held = self.variables.iter().rev().find(|(held, _)| held == name);
                let value =
                    held.map(|(_, value)| value.clone()).ok_or_else(|| format!("undefined variable \"${name}\""))?;
                member(value, path)?
            }
            Operand::Function(name) => functions::call(name, Vec::new(), self.row)?,
            Operand::Nested(inner, path) => {
                let value = self.pipeline(inner)?;
                member(value, path)?
            }
        })
    }

    fn labels(&self) -> Value {
        Value::Map(self.row.pairs().map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned()))).collect())
    }

    fn label(&self, path: &[String]) -> Result<Value, String> {
        let [name, rest @ ..] = path else { return Ok(Value::Nil) };
        let value = Value::Text(self.row.get(name).unwrap_or("").to_owned());
        if rest.is_empty() { Ok(value) } else { Err(format!("can't evaluate field {} in type string", rest.join("."))) }
    }
}

fn member(mut value: Value, path: &[String]) -> Result<Value, String> {
    for name in path {
        value = match value {
            Value::Map(items) => items.into_iter().find(|(key, _)| key == name).map_or(Value::Nil, |(_, value)| value),
            Value::Nil => return Err(format!("nil pointer evaluating interface {{}}.{name}")),
            _ => return Err(format!("can't evaluate field {name}")),
        };
    }
    Ok(value)
}
