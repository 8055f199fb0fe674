//! Comparisons, logic and choice: `Equal`, `Less` ..., `And` ..., `Where`.

use super::broadcast::{Broadcast, combine};
use super::operator::{Built, Operator, Site, argument};
use crate::error::{Error, Result};
use crate::value::{Data, ElementType, Number, Text, ValueType};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Relation {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// Builds a comparison.
pub(super) fn compare(site: &Site<'_>) -> Result<Built> {
    let relation = match site.node.operator.as_str() {
        "Equal" => Relation::Equal,
        "Greater" => Relation::Greater,
        "GreaterOrEqual" => Relation::GreaterOrEqual,
        "Less" => Relation::Less,
        _ => Relation::LessOrEqual,
    };
    let (left, right) = (site.kind(0)?, site.kind(1)?);
    if left.element != right.element {
        return Err(site.invalid("its inputs have different element types"));
    }
    let ordered = left.element.float() || left.element.integer();
    if !ordered && relation != Relation::Equal {
        return Err(site.bad_element(left.element));
    }
    let broadcast = Broadcast::new(site, &[&left.shape, &right.shape])?;
    let result = ValueType::new(ElementType::Boolean, broadcast.shape.clone());
    Ok(Built::new(Compare { relation, broadcast }, vec![0, 1], vec![result]))
}

#[derive(Debug)]
struct Compare {
    relation: Relation,
    broadcast: Broadcast,
}

impl Operator for Compare {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let (left, right) = (argument(arguments, 0)?, argument(arguments, 1)?);
        let results = match left {
            Data::Float32(_) => self.numbers::<f32>(left, right, rows)?,
            Data::Float64(_) => self.numbers::<f64>(left, right, rows)?,
            Data::Int32(_) => self.numbers::<i32>(left, right, rows)?,
            Data::Int64(_) => self.numbers::<i64>(left, right, rows)?,
            Data::Boolean(left) => {
                self.apply(left, right.booleans()?, rows, |a: bool, b: bool| a == b)
            }
            Data::Text(left) => {
                let right = right.text()?;
                let same = |a: u32, b: u32| left.string(a) == right.string(b);
                self.apply(&left.keys, &right.keys, rows, same)
            }
        };
        Ok(vec![Data::Boolean(results)])
    }
}

impl Compare {
    fn numbers<T: Number + Default>(
        &self,
        left: &Data,
        right: &Data,
        rows: usize,
    ) -> Result<Vec<bool>> {
        let (left, right) = (T::slice(left)?, T::slice(right)?);
        Ok(match self.relation {
            Relation::Equal => self.apply(left, right, rows, |a, b| a == b),
            Relation::Greater => self.apply(left, right, rows, |a, b| a > b),
            Relation::GreaterOrEqual => self.apply(left, right, rows, |a, b| a >= b),
            Relation::Less => self.apply(left, right, rows, |a, b| a < b),
            Relation::LessOrEqual => self.apply(left, right, rows, |a, b| a <= b),
        })
    }

    fn apply<T: Copy + Default>(
        &self,
        left: &[T],
        right: &[T],
        rows: usize,
        function: impl Fn(T, T) -> bool,
    ) -> Vec<bool> {
        let count = self.broadcast.rows(rows);
        let mut results = Vec::with_capacity(self.broadcast.features() * count);
        for feature in 0..self.broadcast.features() {
            let left = self.broadcast.lane(0, feature, left, rows);
            let right = self.broadcast.lane(1, feature, right, rows);
            combine(left, right, count, &mut results, &function);
        }
        results
    }
}

/// Builds `And`, `Or` and `Xor`.
pub(super) fn logic(site: &Site<'_>) -> Result<Built> {
    let (left, right) = (site.kind(0)?, site.kind(1)?);
    for kind in [left, right] {
        if kind.element != ElementType::Boolean {
            return Err(site.bad_element(kind.element));
        }
    }
    let function = match site.node.operator.as_str() {
        "And" => |a: bool, b: bool| a & b,
        "Or" => |a: bool, b: bool| a | b,
        _ => |a: bool, b: bool| a ^ b,
    };
    let broadcast = Broadcast::new(site, &[&left.shape, &right.shape])?;
    let result = ValueType::new(ElementType::Boolean, broadcast.shape.clone());
    Ok(Built::new(Logic { function, broadcast }, vec![0, 1], vec![result]))
}

#[derive(Debug)]
struct Logic {
    function: fn(bool, bool) -> bool,
    broadcast: Broadcast,
}

impl Operator for Logic {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let left = argument(arguments, 0)?.booleans()?;
        let right = argument(arguments, 1)?.booleans()?;
        let count = self.broadcast.rows(rows);
        let mut results = Vec::with_capacity(self.broadcast.features() * count);
        for feature in 0..self.broadcast.features() {
            let left = self.broadcast.lane(0, feature, left, rows);
            let right = self.broadcast.lane(1, feature, right, rows);
            combine(left, right, count, &mut results, self.function);
        }
        Ok(vec![Data::Boolean(results)])
    }
}

/// Builds `Where`.
pub(super) fn choose(site: &Site<'_>) -> Result<Built> {
    let (condition, yes, no) = (site.kind(0)?, site.kind(1)?, site.kind(2)?);
    if condition.element != ElementType::Boolean {
        return Err(site.bad_element(condition.element));
    }
    if yes.element != no.element {
        return Err(site.invalid("its inputs have different element types"));
    }
    let broadcast = Broadcast::new(site, &[&condition.shape, &yes.shape, &no.shape])?;
    let result = ValueType::new(yes.element, broadcast.shape.clone());
    Ok(Built::new(Choose { broadcast }, vec![0, 1, 2], vec![result]))
}

#[derive(Debug)]
struct Choose {
    broadcast: Broadcast,
}

impl Operator for Choose {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let condition = argument(arguments, 0)?.booleans()?;
        let (yes, no) = (argument(arguments, 1)?, argument(arguments, 2)?);
        Ok(vec![match (yes, no) {
            (Data::Float32(yes), Data::Float32(no)) => {
                Data::Float32(self.apply(condition, yes, no, rows))
            }
            (Data::Float64(yes), Data::Float64(no)) => {
                Data::Float64(self.apply(condition, yes, no, rows))
            }
            (Data::Int32(yes), Data::Int32(no)) => {
                Data::Int32(self.apply(condition, yes, no, rows))
            }
            (Data::Int64(yes), Data::Int64(no)) => {
                Data::Int64(self.apply(condition, yes, no, rows))
            }
            (Data::Boolean(yes), Data::Boolean(no)) => {
                Data::Boolean(self.apply(condition, yes, no, rows))
            }
            (Data::Text(yes), Data::Text(no)) => {
                let (strings, keys) = Text::join(&[yes, no])?;
                let [yes, no] = keys.as_slice() else {
                    return Err(Error::internal("joining two texts made another number"));
                };
                Data::Text(Text { keys: self.apply(condition, yes, no, rows), strings })
            }
            _ => return Err(Error::internal("Where over different types")),
        }])
    }
}

impl Choose {
    fn apply<T: Copy + Default>(
        &self,
        condition: &[bool],
        yes: &[T],
        no: &[T],
        rows: usize,
    ) -> Vec<T> {
        let count = self.broadcast.rows(rows);
        let mut results = Vec::with_capacity(self.broadcast.features() * count);
        for feature in 0..self.broadcast.features() {
            let condition = self.broadcast.lane(0, feature, condition, rows);
            let yes = self.broadcast.lane(1, feature, yes, rows);
            let no = self.broadcast.lane(2, feature, no, rows);
            results.extend((0..count).map(|row| {
                let side = if condition.at(row) == Some(true) { yes } else { no };
                side.at(row).unwrap_or_default()
            }));
        }
        results
    }
}
