//! Whether what one side gives still fits what the other expects, by their JSON Schemas.
//!
//! It decides about what programs generate from types: types, required and nullable members, enums, arrays, maps,
//! alternatives and references within the schema. What it does not know (patterns, bounds, formats, conditions) counts as
//! fitting, so that it refuses nothing that works.

mod shapes;

use std::collections::HashSet;
use std::fmt;

use headgate_manifest::{Method, MethodUse};
use serde_json::Value;

use self::shapes::{Budget, Shape, shapes};

/// Misfits told at most: whoever has that many to mend asks again.
const MAX_MISFITS: usize = 20;
/// Schemas nested deeper than this are not compared: recursive ones end where they began, long before.
const MAX_DEPTH: usize = 64;
/// The longest path that is told, in bytes: names come from guests, and are repeated in the paths of all that is within.
const MAX_PATH: usize = 8 << 10;
/// The work of one comparison: schemas looked at, cases compared, names looked up. Schemas come from guests, and
/// references and alternatives within each other multiply. What is left when it is spent counts as fitting.
const MAX_WORK: usize = 100_000;

/// A place where something that is given does not fit what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Where: `$` is the whole value, `$.a[]` the elements of its member `a`.
    pub path: String,
    /// Why, as the rest of a sentence about what is given: `may be left out, and is required`.
    pub reason: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.reason)
    }
}

/// Where values of one schema do not fit another; nothing where all of them do.
pub fn misfits(given: &Value, expected: &Value) -> Vec<Misfit> {
    if given == expected {
        return Vec::new();
    }
    let mut comparison = Comparison { given, expected, active: Vec::new(), budget: Budget::new(MAX_WORK) };
    let mut found = Vec::new();
    comparison.compare("$", given, expected, &mut found);
    found.truncate(MAX_MISFITS);
    found
}

/// Why a method does not do any more for somebody who uses it; nothing where it does. One sentence each.
pub fn method_misfits(used: &MethodUse, offered: &Method) -> Vec<String> {
    let input = used.input.as_ref().map(|sent| misfits(sent, &offered.input)).unwrap_or_default();
    let output = used.output.as_ref().map(|read| misfits(&offered.output, read)).unwrap_or_default();
    let input = input.into_iter().map(|misfit| format!("what is sent does not fit its input: {misfit}"));
    let output = output.into_iter().map(|misfit| format!("its output is not what is read: {misfit}"));
    input.chain(output).collect()
}

/// Somebody who uses all of a method, as it stands in a manifest.
pub fn whole_use(method: &Method) -> MethodUse {
    MethodUse { name: method.name.clone(), input: Some(method.input.clone()), output: Some(method.output.clone()) }
}

struct Comparison<'a> {
    /// The whole schemas, in which references are looked up.
    given: &'a Value,
    expected: &'a Value,
    /// The pairs that are being compared: a recursive type comes back to one of them, and fits if all else does.
    active: Vec<(*const Value, *const Value)>,
    budget: Budget,
}

impl<'a> Comparison<'a> {
    fn compare(&mut self, path: &str, given: &'a Value, expected: &'a Value, found: &mut Vec<Misfit>) {
        let pair = (std::ptr::from_ref(given), std::ptr::from_ref(expected));
        if self.active.contains(&pair) || self.active.len() > MAX_DEPTH || path.len() > MAX_PATH {
            return;
        }
        let Some((givens, expecteds)) = self.cases(given, expected) else { return };
        self.active.push(pair);
        for given in givens {
            let misfits = expecteds.iter().map(|expected| {
                let mut misfits = Vec::new();
                self.compare_shapes(path, &given, expected, &mut misfits);
                misfits
            });
            // The alternative that fits best tells why none does.
            let Some(best) = misfits.min_by_key(|misfits| closeness(path, misfits)) else { continue };
            for misfit in best {
                if found.len() < MAX_MISFITS && !found.contains(&misfit) {
                    found.push(misfit);
                }
            }
        }
        self.active.pop();
    }

    /// The cases of both; nothing where one of them is not understood, or they are too much work.
    fn cases(&mut self, given: &'a Value, expected: &'a Value) -> Option<(Vec<Shape<'a>>, Vec<Shape<'a>>)> {
        self.budget.spend(1)?;
        let givens = shapes(given, self.given, &mut self.budget)?;
        let expecteds = shapes(expected, self.expected, &mut self.budget)?;
        self.budget.spend(givens.iter().map(Shape::weight).sum())?;
        Some((givens.iter().flat_map(Shape::split).collect(), expecteds))
    }

    /// Takes what it costs to compare two cases.
    fn spend_on(&mut self, given: &Shape<'a>, expected: &Shape<'a>) -> Option<()> {
        let ((given_names, given_parts), (expected_names, expected_parts)) = (given.names(), expected.names());
        self.budget.spend(1 + given.weight() + expected.weight())?;
        self.budget.spend((given_names + expected_names).saturating_mul(given_parts + expected_parts) / 2)
    }

    fn compare_shapes(&mut self, path: &str, given: &Shape<'a>, expected: &Shape<'a>, found: &mut Vec<Misfit>) {
        if self.spend_on(given, expected).is_none() {
            return;
        }
        let mut tell = |path: &str, reason: String| {
            if found.len() < MAX_MISFITS {
                found.push(Misfit { path: path.to_owned(), reason });
            }
        };
        if expected.is_never() {
            return tell(path, "is not expected".to_owned());
        }
        if let (Some(given), Some(expected)) = (given.kinds(), expected.kinds())
            && let Some(kind) = given.iter().find(|kind| !expected.iter().any(|expected| kind.is_a(*expected)))
        {
            let expected = expected.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or ");
            let expected = if expected.is_empty() { "nothing".to_owned() } else { expected };
            return tell(path, format!("may be {kind}, and {expected} is expected"));
        }
        if let Some(choices) = expected.choices() {
            let listed = || choices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            match given.choices() {
                Some(values) => {
                    let choices: HashSet<_> = choices.iter().copied().collect();
                    if let Some(other) = values.iter().find(|value| !choices.contains(*value)) {
                        return tell(path, format!("may be {other}, and one of {} is expected", listed()));
                    }
                }
                None if given.kinds().is_some() => {
                    return tell(path, format!("may be anything, and one of {} is expected", listed()));
                }
                None => {}
            }
        }
        let required: HashSet<_> = given.required().collect();
        for name in expected.required() {
            let path = member(path, name);
            match given.property(name) {
                Some(_) if required.contains(name) => {}
                Some(_) => tell(&path, "may be left out, and is required".to_owned()),
                None if given.is_open_object() => {}
                None => tell(&path, "is never given, and is required".to_owned()),
            }
        }
        self.compare_members(path, given, expected, found);
        if let (Some(given), Some(expected)) = (given.items(), expected.items()) {
            self.compare(&format!("{path}[]"), given, expected, found);
        }
        for (index, (given, expected)) in given.places().zip(expected.places()).enumerate() {
            self.compare(&format!("{path}[{index}]"), given, expected, found);
        }
    }

    fn compare_members(&mut self, path: &str, given: &Shape<'a>, expected: &Shape<'a>, found: &mut Vec<Misfit>) {
        for (name, schema) in given.properties() {
            let path = member(path, name);
            match (expected.property(name), expected.additional()) {
                (Some(expected), _) => self.compare(&path, schema, expected, found),
                (None, Some(Value::Bool(false))) if *schema != Value::Bool(false) => {
                    if found.len() < MAX_MISFITS {
                        found.push(Misfit { path, reason: "may be given, and is not expected".to_owned() });
                    }
                }
                (None, Some(expected)) => self.compare(&path, schema, expected, found),
                (None, None) => {}
            }
        }
        if let (Some(given @ Value::Object(_)), Some(expected @ Value::Object(_))) =
            (given.additional(), expected.additional())
        {
            self.compare(&format!("{path}.*"), given, expected, found);
        }
    }
}

/// Fewer misfits are closer; among as many, those that are further inside: there the outside fitted.
fn closeness(path: &str, misfits: &[Misfit]) -> (bool, bool, usize) {
    let is_outside = misfits.iter().any(|misfit| misfit.path == path);
    (!misfits.is_empty(), is_outside, misfits.len())
}

fn member(path: &str, name: &str) -> String {
    format!("{path}.{name}")
}

#[cfg(test)]
mod tests;
