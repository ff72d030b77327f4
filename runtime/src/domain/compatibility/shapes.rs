//! Schemas without references and alternatives: what a value has to be like in one of the cases a schema allows.

use std::fmt;

use serde_json::{Map, Value};

/// Cases looked at of one schema. One with more is taken as a schema that is not understood.
const MAX_SHAPES: usize = 64;
/// References followed one after the other.
const MAX_REFERENCES: usize = 32;

/// How many bytes of a reference, or listed values, cost as much as one schema.
const CHEAP: usize = 16;

/// The work that is left to a comparison.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new(work: usize) -> Self {
        Self(work)
    }

    /// Takes some of it; nothing once it does not suffice, and from then on.
    pub(super) fn spend(&mut self, work: usize) -> Option<()> {
        self.0 = self.0.saturating_sub(work);
        (self.0 > 0).then_some(())
    }
}

/// One case of a schema: all of these hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape<'a> {
    parts: Vec<&'a Map<String, Value>>,
    /// One of the kinds that the parts name, and one of the values, where the case was split.
    kind: Option<Kind>,
    value: Option<&'a Value>,
    never: bool,
}

/// The kinds of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    const ALL: [(&'static str, Self); 7] = [
        ("null", Self::Null),
        ("boolean", Self::Boolean),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("string", Self::String),
        ("array", Self::Array),
        ("object", Self::Object),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    /// Whether each value of this kind is of another.
    pub(super) fn is_a(self, other: Self) -> bool {
        self == other || (self == Self::Integer && other == Self::Number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::String => "a text",
            Self::Array => "a list",
            Self::Object => "an object",
        })
    }
}

/// The cases of a schema; nothing where it is not understood, says nothing, or is too much work.
pub(super) fn shapes<'a>(schema: &'a Value, root: &'a Value, budget: &mut Budget) -> Option<Vec<Shape<'a>>> {
    let shapes = Expansion { root, budget }.expand(schema, MAX_REFERENCES)?;
    let says_something = |shape: &Shape<'_>| shape.never || !shape.parts.is_empty();
    shapes.iter().all(says_something).then_some(shapes)
}

struct Expansion<'a, 'b> {
    root: &'a Value,
    budget: &'b mut Budget,
}

impl<'a> Expansion<'a, '_> {
    fn expand(&mut self, schema: &'a Value, references: usize) -> Option<Vec<Shape<'a>>> {
        self.budget.spend(1)?;
        let map = match schema {
            Value::Object(map) => map,
            Value::Bool(false) => return Some(vec![Shape { never: true, ..Shape::default() }]),
            _ => return Some(vec![Shape::default()]),
        };
        let mut cases =
            vec![if map.is_empty() { Shape::default() } else { Shape { parts: vec![map], ..Shape::default() } }];
        if let Some(reference) = map.get("$ref") {
            let reference = reference.as_str()?;
            self.budget.spend(reference.len() / CHEAP)?;
            let target = self.root.pointer(reference.strip_prefix('#')?)?;
            let target = self.expand(target, references.checked_sub(1)?)?;
            cases = self.both(&cases, &target)?;
        }
        for part in map.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let part = self.expand(part, references.checked_sub(1)?)?;
            cases = self.both(&cases, &part)?;
        }
        for word in ["anyOf", "oneOf"] {
            let Some(alternatives) = map.get(word).and_then(Value::as_array) else { continue };
            let mut either = Vec::new();
            for alternative in alternatives {
                either.extend(self.expand(alternative, references.checked_sub(1)?)?);
            }
            cases = self.both(&cases, &either)?;
        }
        Some(cases)
    }

    /// Each case of the one with each of the other.
    fn both(&mut self, some: &[Shape<'a>], others: &[Shape<'a>]) -> Option<Vec<Shape<'a>>> {
        if some.len() * others.len() > MAX_SHAPES {
            return None;
        }
        let parts = |shapes: &[Shape<'a>]| shapes.iter().map(|shape| shape.parts.len()).sum::<usize>();
        self.budget.spend((parts(some) * others.len() + parts(others) * some.len()) / CHEAP)?;
        let join = |a: &Shape<'a>, b: &Shape<'a>| Shape {
            parts: a.parts.iter().chain(&b.parts).copied().collect(),
            never: a.never || b.never,
            ..Shape::default()
        };
        Some(some.iter().flat_map(|a| others.iter().map(move |b| join(a, b))).collect())
    }
}

impl<'a> Shape<'a> {
    /// The same case, split into one for each value, or each kind, that it allows: each of them has to fit.
    pub(super) fn split(&self) -> Vec<Self> {
        if let Some(values) = self.choices().filter(|values| values.len() <= MAX_SHAPES) {
            return values.into_iter().map(|value| Self { value: Some(value), ..self.clone() }).collect();
        }
        match self.kinds() {
            Some(kinds) if kinds.len() > 1 => {
                kinds.into_iter().map(|kind| Self { kind: Some(kind), ..self.clone() }).collect()
            }
            _ => vec![self.clone()],
        }
    }

    /// What it costs to look at its kinds and choices.
    pub(super) fn weight(&self) -> usize {
        if self.value.is_some() {
            return 1;
        }
        let listed =
            |part: &Map<String, Value>, word: &str| part.get(word).and_then(Value::as_array).map_or(0, Vec::len);
        let of_all = self.parts.iter().map(|part| listed(part, "enum") + listed(part, "type"));
        self.parts.len() + of_all.sum::<usize>() / CHEAP
    }

    /// What it costs to look up the names it has, and to be looked up in: how many there are, and in how many parts.
    pub(super) fn names(&self) -> (usize, usize) {
        let required = |part: &Map<String, Value>| part.get("required").and_then(Value::as_array).map_or(0, Vec::len);
        let named = |part: &Map<String, Value>| part.get("properties").and_then(Value::as_object).map_or(0, Map::len);
        (self.objects().map(|part| required(part) + named(part)).sum(), self.parts.len())
    }

    /// Whether no value is like this.
    pub(super) fn is_never(&self) -> bool {
        self.never
    }

    /// Which kinds of values it allows; nothing where it does not say.
    pub(super) fn kinds(&self) -> Option<Vec<Kind>> {
        if let Some(value) = self.value {
            return Some(vec![Kind::of(value)]);
        }
        if let Some(kind) = self.kind {
            return Some(vec![kind]);
        }
        let mut said = self.parts.iter().filter_map(|part| kinds_of(part));
        let first = said.next()?;
        Some(said.fold(first, |kinds, more| {
            kinds.into_iter().filter(|kind| more.iter().any(|other| kind.is_a(*other))).collect()
        }))
    }

    /// The only values it allows, where it lists them.
    pub(super) fn choices(&self) -> Option<Vec<&'a Value>> {
        if let Some(value) = self.value {
            return Some(vec![value]);
        }
        self.parts.iter().find_map(|part| match (part.get("const"), part.get("enum")) {
            (Some(value), _) => Some(vec![value]),
            (None, Some(Value::Array(values))) => Some(values.iter().collect()),
            _ => None,
        })
    }

    /// The members it has to have.
    pub(super) fn required(&self) -> impl Iterator<Item = &'a str> {
        let required = self.objects().filter_map(|part| part.get("required")?.as_array());
        required.flatten().filter_map(Value::as_str)
    }

    /// The members it names.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.objects().filter_map(|part| part.get("properties")?.as_object()).flatten()
    }

    /// What it says of a member.
    pub(super) fn property(&self, name: &str) -> Option<&'a Value> {
        self.objects().find_map(|part| part.get("properties")?.as_object()?.get(name))
    }

    /// What it says of members that it does not name.
    pub(super) fn additional(&self) -> Option<&'a Value> {
        self.objects().find_map(|part| part.get("additionalProperties"))
    }

    /// Whether it may have members that it does not name, or whether that is not known.
    pub(super) fn is_open_object(&self) -> bool {
        let is_closed = matches!(self.additional(), None | Some(Value::Bool(false)));
        !is_closed || self.kinds().is_none()
    }

    /// What it says of its elements.
    pub(super) fn items(&self) -> Option<&'a Value> {
        self.of(Kind::Array).find_map(|part| part.get("items"))
    }

    /// What it says of its first elements, one by one.
    pub(super) fn places(&self) -> impl Iterator<Item = &'a Value> {
        self.of(Kind::Array).filter_map(|part| part.get("prefixItems")?.as_array()).flatten()
    }

    fn objects(&self) -> impl Iterator<Item = &'a Map<String, Value>> {
        self.of(Kind::Object)
    }

    /// The parts, where it can be of a kind.
    fn of(&self, kind: Kind) -> impl Iterator<Item = &'a Map<String, Value>> {
        let may_be = self.value.is_none() && self.kind.is_none_or(|own| own == kind);
        self.parts.clone().into_iter().filter(move |_| may_be)
    }
}

fn kinds_of(part: &Map<String, Value>) -> Option<Vec<Kind>> {
    let mut kinds: Vec<Kind> = match (part.get("type"), part.get("const"), part.get("enum")) {
        (Some(Value::String(name)), ..) => vec![Kind::named(name)?],
        (Some(Value::Array(names)), ..) => {
            names.iter().map(|name| Kind::named(name.as_str()?)).collect::<Option<_>>()?
        }
        (None, Some(value), _) => vec![Kind::of(value)],
        (None, None, Some(Value::Array(values))) => values.iter().map(Kind::of).collect(),
        _ => return None,
    };
    // OpenAPI's way to say it.
    if part.get("nullable") == Some(&Value::Bool(true)) {
        kinds.push(Kind::Null);
    }
    let mut seen = Vec::with_capacity(Kind::ALL.len());
    for kind in kinds {
        if !seen.contains(&kind) {
            seen.push(kind);
        }
    }
    Some(seen)
}
