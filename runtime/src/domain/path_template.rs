//! Path templates of triggers: `orders/{order_id}/lines/{line}`, and the matching of requests to them.
//!
//! A segment is a text or one parameter; the last one may take the rest of the path, `{*rest}`. What is written out
//! goes before a parameter.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest template, in bytes: it is part of a URL.
const MAX_TEMPLATE: usize = 256;
/// The most segments of a template. Paths of people have a handful.
const MAX_SEGMENTS: usize = 16;
/// The longest name of a parameter, in bytes.
const MAX_PARAM: usize = 64;
/// First segments with a meaning of their own, now or later, also where a host name stands for the group.
pub const RESERVED: [&str; 12] =
    [".well-known", "api", "apps", "docs", "flows", "g", "healthz", "hooks", "metrics", "oauth", "readyz", "resume"];

/// A path below a group's root, with parameters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathTemplate(Arc<str>);

/// A text is no path template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{template}\" cannot be a path template: {reason}")]
pub struct PathTemplateError {
    template: String,
    reason: String,
}

enum Segment<'a> {
    Text(&'a str),
    Param(&'a str),
    Rest(&'a str),
}

impl<'a> Segment<'a> {
    fn of(text: &'a str) -> Self {
        match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) => name.strip_prefix('*').map_or(Self::Param(name), Self::Rest),
            None => Self::Text(text),
        }
    }
}

impl PathTemplate {
    /// The text, without a slash at either end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names of its parameters, in their order.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter_map(|segment| match Segment::of(segment) {
            Segment::Text(_) => None,
            Segment::Param(name) | Segment::Rest(name) => Some(name),
        })
    }

    /// What it matches, whatever its parameters are called.
    fn shape(&self) -> String {
        let mut shape = String::new();
        for (at, segment) in self.0.split('/').enumerate() {
            match Segment::of(segment) {
                Segment::Text(text) => shape.extend(["/", &escaped(text)]),
                Segment::Param(_) => shape.push_str(&format!("/{{p{at}}}")),
                Segment::Rest(_) => shape.push_str(&format!("/{{*p{at}}}")),
            }
        }
        shape
    }

    /// Whether it matches the very same paths as another.
    pub fn is_like(&self, other: &Self) -> bool {
        self.shape() == other.shape()
    }

    /// Whether both can stand in one router: a path of one is never as good a path of the other.
    pub fn stands_beside(&self, other: &Self) -> bool {
        let mut router = matchit::Router::new();
        router.insert(self.shape(), ()).is_ok() && router.insert(other.shape(), ()).is_ok()
    }
}

impl FromStr for PathTemplate {
    type Err = PathTemplateError;

    fn from_str(text: &str) -> Result<Self, PathTemplateError> {
        let shown = || text.chars().take(MAX_TEMPLATE).collect();
        let path = text.strip_prefix('/').unwrap_or(text);
        let path = path.strip_suffix('/').unwrap_or(path);
        match rule_broken(path) {
            Some(reason) => Err(PathTemplateError { template: shown(), reason }),
            None => Ok(Self(path.into())),
        }
    }
}

fn rule_broken(path: &str) -> Option<String> {
    if path.is_empty() || path.len() > MAX_TEMPLATE {
        return Some(format!("write 1 to {MAX_TEMPLATE} bytes, such as orders/{{order_id}}"));
    }
    let segments: Vec<_> = path.split('/').collect();
    if segments.len() > MAX_SEGMENTS {
        return Some(format!("it has at most {MAX_SEGMENTS} segments"));
    }
    if let Some(reserved) = RESERVED.iter().find(|reserved| segments[0].eq_ignore_ascii_case(reserved)) {
        return Some(format!("paths that begin with \"{reserved}\" are the server's own. Begin with another word"));
    }
    let mut names = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        let name = match Segment::of(segment) {
            Segment::Text("") => return Some("a segment is empty. Take the doubled slash out".to_owned()),
            Segment::Text("." | "..") => return Some("\".\" and \"..\" are no names. Take them out".to_owned()),
            Segment::Text(text) => {
                match text.chars().find(|c| c.is_control() || c.is_whitespace() || "{}%?#\\".contains(*c)) {
                    Some('{' | '}') => {
                        return Some(format!(
                            "a parameter takes a whole segment, as in {{name}}, and \"{segment}\" does not"
                        ));
                    }
                    Some(c) => return Some(format!("it holds {c:?}. Write texts as they read, not percent-encoded")),
                    None => continue,
                }
            }
            Segment::Rest(_) if at + 1 < segments.len() => {
                return Some(format!("{segment} takes the rest of the path. Write it last"));
            }
            Segment::Param(name) | Segment::Rest(name) => name,
        };
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || !name.chars().all(is_letter) || name.len() > MAX_PARAM {
            return Some(format!(
                "a parameter's name is up to {MAX_PARAM} letters, digits and _, beginning with no digit, and \"{name}\" is none"
            ));
        }
        if names.contains(&name) {
            return Some(format!("the parameter {name} stands twice in it. Give one another name"));
        }
        names.push(name);
    }
    None
}

impl TryFrom<String> for PathTemplate {
    type Error = PathTemplateError;

    fn try_from(text: String) -> Result<Self, PathTemplateError> {
        text.parse()
    }
}

impl From<PathTemplate> for String {
    fn from(template: PathTemplate) -> Self {
        template.0.as_ref().to_owned()
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Finds what stands at a path. Templates that differ in nothing but their parameters' names share a place.
pub struct PathRouter<T> {
    router: matchit::Router<usize>,
    shapes: HashMap<String, usize>,
    places: Vec<Vec<(PathTemplate, T)>>,
}

/// What was found at a path.
pub struct Found<'a, T> {
    /// What stands there, each under its template.
    pub here: &'a [(PathTemplate, T)],
    /// The parameters' values, decoded, in their order.
    pub values: Vec<String>,
}

impl<T> Default for PathRouter<T> {
    fn default() -> Self {
        Self { router: matchit::Router::new(), shapes: HashMap::new(), places: Vec::new() }
    }
}

impl<T> PathRouter<T> {
    /// Puts something at a template. Answers false for one that cannot stand beside those that are there.
    pub fn insert(&mut self, template: PathTemplate, what: T) -> bool {
        let shape = template.shape();
        if let Some(at) = self.shapes.get(&shape) {
            self.places[*at].push((template, what));
            return true;
        }
        let is_new = self.router.insert(shape.clone(), self.places.len()).is_ok();
        if is_new {
            self.shapes.insert(shape, self.places.len());
            self.places.push(vec![(template, what)]);
        }
        is_new
    }

    /// What stands at a path as it was sent, percent-encoded and with a slash in front. Segments are decoded one by
    /// one: `%2F` separates nothing. Empty segments, `.`, `..` and what is no UTF-8 match nothing.
    pub fn at(&self, path: &str) -> Option<Found<'_, T>> {
        let path = canonical(path)?;
        let found = self.router.at(&path).ok()?;
        let values = found.params.iter().map(|(_, value)| unescaped(value)).collect();
        Some(Found { here: &self.places[*found.value], values })
    }
}

/// A path whose segments are decoded; of what was in them only `%` and `/` are escaped.
fn canonical(path: &str) -> Option<String> {
    let mut canonical = String::with_capacity(path.len());
    for segment in path.strip_prefix('/')?.split('/') {
        let segment = percent_decode_str(segment).decode_utf8().ok()?;
        if matches!(segment.as_ref(), "" | "." | "..") {
            return None;
        }
        canonical.extend(["/", &escaped(&segment)]);
    }
    Some(canonical)
}

fn escaped(segment: &str) -> String {
    segment.replace('%', "%25").replace('/', "%2F")
}

fn unescaped(segment: &str) -> String {
    segment.replace("%2F", "/").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> PathTemplate {
        text.parse().unwrap()
    }

    #[test]
    fn what_a_template_can_be() {
        for (text, read) in [
            ("orders/{order_id}/lines/{line}", "orders/{order_id}/lines/{line}"),
            ("/orders/", "orders"),
            ("{id}", "{id}"),
            ("files/{*rest}", "files/{*rest}"),
            ("café/a.b-c_d~e:f@g", "café/a.b-c_d~e:f@g"),
        ] {
            assert_eq!(template(text).as_str(), read);
        }
        let long = "a".repeat(MAX_TEMPLATE + 1);
        let deep = ["a"; MAX_SEGMENTS + 1].join("/");
        for (text, reason) in [
            ("", "1 to 256 bytes"),
            ("/", "1 to 256 bytes"),
            (&long, "1 to 256 bytes"),
            (&deep, "at most 16 segments"),
            ("a//b", "doubled slash"),
            ("//a", "doubled slash"),
            ("a/../b", "are no names"),
            ("hooks/a", "begin with \"hooks\""),
            ("API/v1", "begin with \"api\""),
            ("g/other", "begin with \"g\""),
            ("a/{b", "whole segment"),
            ("a/x-{b}", "whole segment"),
            ("a/{b}.json", "whole segment"),
            ("a%20b", "not percent-encoded"),
            ("a b", "not percent-encoded"),
            ("a?b", "not percent-encoded"),
            ("a/{}", "a parameter's name"),
            ("a/{1b}", "a parameter's name"),
            ("a/{b-c}", "a parameter's name"),
            ("a/{b}/{b}", "stands twice"),
            ("a/{*b}/c", "Write it last"),
        ] {
            let error = text.parse::<PathTemplate>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    fn router(templates: &[&str]) -> PathRouter<usize> {
        let mut router = PathRouter::default();
        for (at, text) in templates.iter().enumerate() {
            assert!(router.insert(template(text), at), "{text}");
        }
        router
    }

    #[test]
    fn a_path_finds_its_template() {
        let router = router(&[
            "orders",
            "orders/{id}",
            "orders/new",
            "orders/{id}/lines/{line}",
            "orders/new/lines",
            "files/{*rest}",
            "{anything}/else",
            "café",
        ]);
        for (path, found) in [
            ("/orders", Some((0, vec![]))),
            ("/orders/7", Some((1, vec!["7"]))),
            ("/orders/new", Some((2, vec![]))),
            // What is written out goes first, and is gone back on where it leads nowhere.
            ("/orders/new/lines/3", Some((3, vec!["new", "3"]))),
            ("/orders/new/lines", Some((4, vec![]))),
            ("/orders/else", Some((1, vec!["else"]))),
            ("/x/else", Some((6, vec!["x"]))),
            ("/files/a/b", Some((5, vec!["a/b"]))),
            ("/files", None),
            // Segments are decoded after they were told apart.
            ("/orders/a%2Fb", Some((1, vec!["a/b"]))),
            ("/orders/a%252Fb", Some((1, vec!["a%2Fb"]))),
            ("/orders/%C3%A9%20+", Some((1, vec!["é +"]))),
            ("/orders%2F7", None),
            ("/%6Frders/7", Some((1, vec!["7"]))),
            ("/caf%C3%A9", Some((7, vec![]))),
            ("/orders/{id}", Some((1, vec!["{id}"]))),
            ("/orders/100%", Some((1, vec!["100%"]))),
            // What is no name matches nothing.
            ("/orders/%FF", None),
            ("/orders//lines/3", None),
            ("/orders/..", None),
            ("/orders/%2e%2E", None),
            ("/files/a/../b", None),
            ("/files/.%2e/b", None),
            ("/orders/", None),
            ("", None),
            ("/", None),
        ] {
            let got = router.at(path).map(|found| (found.here[0].1, found.values));
            let found = found.map(|(at, values)| (at, values.into_iter().map(str::to_owned).collect()));
            assert_eq!(got, found, "{path}");
        }
    }

    #[test]
    fn templates_that_differ_in_names_share_a_place() {
        let router = router(&["orders/{id}", "orders/{order}"]);
        let found = router.at("/orders/7").unwrap();
        assert_eq!(found.here.iter().map(|(_, what)| *what).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(found.here[1].0.params().collect::<Vec<_>>(), ["order"]);
    }

    #[test]
    fn which_templates_stand_beside_each_other() {
        for (one, other, like, beside) in [
            ("orders/{id}", "orders/{order}", true, false),
            ("orders/{id}", "orders/new", false, true),
            ("{a}/new", "orders/{id}", false, true),
            ("files/{name}", "files/{*rest}", false, false),
            ("files/{name}/x", "files/{*rest}", false, false),
            ("files/index", "files/{*rest}", false, true),
        ] {
            let (one, other) = (template(one), template(other));
            assert_eq!((one.is_like(&other), one.stands_beside(&other)), (like, beside), "{one} {other}");
            assert_eq!(other.stands_beside(&one), beside, "{other} {one}");
        }
    }
}
