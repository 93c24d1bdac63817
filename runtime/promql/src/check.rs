//! Types of expressions, and what a well-formed query must not say. Source:
//! prometheus/promql/parser/parse.go, `checkAST`.

use crate::functions::{self, Type};
use crate::parse::Fault;
use crate::parse::ast::{Binary, Expr, Kind};

/// Checks an expression and all its parts.
///
/// # Errors
/// At the first part that is wrong.
pub fn check(expr: &Expr, experimental: bool) -> Result<Type, Fault> {
    Checker { experimental }.check(expr)
}

/// The type of an expression that was checked.
pub fn type_of(expr: &Expr) -> Type {
    match &expr.kind {
        Kind::Number(_) => Type::Scalar,
        Kind::String(_) => Type::String,
        Kind::Selector(_) | Kind::Aggregate { .. } => Type::Vector,
        Kind::Range { .. } | Kind::Subquery { .. } => Type::Matrix,
        Kind::Call { name, .. } => functions::find(name).map_or(Type::Vector, |function| function.returns),
        Kind::Unary { expr, .. } | Kind::Paren(expr) => type_of(expr),
        Kind::Binary(binary) => match (type_of(&binary.left), type_of(&binary.right)) {
            (Type::Scalar, Type::Scalar) => Type::Scalar,
            _ => Type::Vector,
        },
    }
}

struct Checker {
    experimental: bool,
}

impl Checker {
    fn check(&self, expr: &Expr) -> Result<Type, Fault> {
        match &expr.kind {
            Kind::Number(_) | Kind::String(_) | Kind::Selector(_) | Kind::Range { .. } => {}
            Kind::Paren(inner) => return self.check(inner),
            Kind::Subquery { expr: inner, .. } => {
                let found = self.check(inner)?;
                if found != Type::Vector && found != Type::Scalar {
                    let message = format!("subquery is only allowed on instant vector, got {} instead", found.name());
                    return Err(Fault::new(expr.span, message));
                }
            }
            Kind::Unary { expr: inner, .. } => {
                let found = self.check(inner)?;
                if found != Type::Scalar && found != Type::Vector {
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                        found.name()
                    );
                    return Err(Fault::new(expr.span, message));
                }
            }
            Kind::Aggregate { op, parameter, expr: inner, .. } => {
                self.expect(inner, Type::Vector, "aggregation expression")?;
                if let Some(parameter) = parameter {
                    let wanted = if op == "count_values" { Type::String } else { Type::Scalar };
                    self.expect(parameter, wanted, "aggregation parameter")?;
                }
                if (op == "limitk" || op == "limit_ratio") && !self.experimental {
                    return Err(Fault::new(expr.span, format!("{op}() is experimental and must be enabled")));
                }
            }
            Kind::Call { name, arguments } => self.call(expr, name, arguments)?,
            Kind::Binary(binary) => self.binary(expr, binary)?,
        }
        Ok(type_of(expr))
    }

    fn expect(&self, expr: &Expr, wanted: Type, place: &str) -> Result<(), Fault> {
        let found = self.check(expr)?;
        if found == wanted {
            return Ok(());
        }
        Err(Fault::new(expr.span, format!("expected type {} in {place}, got {}", wanted.name(), found.name())))
    }

    fn call(&self, expr: &Expr, name: &str, arguments: &[Expr]) -> Result<(), Fault> {
        let Some(function) = functions::find(name) else {
            return Err(Fault::new(expr.span, format!("unknown function with name {name:?}")));
        };
        if function.experimental && !self.experimental {
            return Err(Fault::new(expr.span, format!("function {name:?} is experimental and must be enabled")));
        }
        let (most, given) = (function.arguments.len(), arguments.len());
        let least = most - function.optional.unwrap_or(1);
        if given < least {
            let sense = if function.optional == Some(0) { "" } else { "at least " };
            return Err(Fault::new(
                expr.span,
                format!("expected {sense}{least} argument(s) in call to {name:?}, got {given}"),
            ));
        }
        if given > most && function.optional.is_some() {
            let sense = if function.optional == Some(0) { "" } else { "at most " };
            return Err(Fault::new(
                expr.span,
                format!("expected {sense}{most} argument(s) in call to {name:?}, got {given}"),
            ));
        }
        for (at, argument) in arguments.iter().enumerate() {
            let Some(wanted) = function.arguments.get(at).or(function.arguments.last()) else { continue };
            self.expect(argument, *wanted, &format!("call to function {name:?}"))?;
        }
        Ok(())
    }

    fn binary(&self, expr: &Expr, binary: &Binary) -> Result<(), Fault> {
        let (left, right) = (self.check(&binary.left)?, self.check(&binary.right)?);
        for (found, side) in [(left, &binary.left), (right, &binary.right)] {
            if found != Type::Scalar && found != Type::Vector {
                return Err(Fault::new(
                    side.span,
                    "binary expression must contain only scalar and instant vector types",
                ));
            }
        }
        let comparison = matches!(binary.op.as_str(), "==" | "!=" | "<" | "<=" | ">" | ">=");
        let set = matches!(binary.op.as_str(), "and" | "or" | "unless");
        if binary.returns_bool && !comparison {
            return Err(Fault::new(expr.span, "bool modifier can only be used on comparison operators"));
        }
        if comparison && !binary.returns_bool && left == Type::Scalar && right == Type::Scalar {
            return Err(Fault::new(expr.span, "comparisons between scalars must use BOOL modifier"));
        }
        let vectors = left == Type::Vector && right == Type::Vector;
        if set && !vectors {
            let message = format!("set operator {:?} not allowed in binary scalar expression", binary.op);
            return Err(Fault::new(expr.span, message));
        }
        if !vectors && binary.matching.is_some() {
            return Err(Fault::new(expr.span, "vector matching only allowed between instant vectors"));
        }
        if set && binary.group.is_some() {
            return Err(Fault::new(expr.span, format!("no grouping allowed for {:?} operation", binary.op)));
        }
        if let (Some(matching), Some(group)) = (&binary.matching, &binary.group)
            && matching.listed
            && let Some(label) = group.include.iter().find(|label| matching.names.contains(label))
        {
            return Err(Fault::new(
                expr.span,
                format!("label {label:?} must not occur in ON and GROUP clause at once"),
            ));
        }
        Ok(())
    }
}
