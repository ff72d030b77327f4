//! Imports go down only: `cli -> http -> service -> {wasm, store} -> domain`.
//!
//! Every source file is read as tokens, so that the insides of macros count as much as `use` lines. Each path that
//! starts at `crate`, `self` or `super` is resolved to the layer it reaches, and every other path is looked up among
//! the crates that belong to one layer. Names brought in by `use` were judged there and need no second look.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The layers, and which others each may name. Only `TOP` may name any; a module that is missing here is a fault.
///
/// `http` is kept from `store` and `wasm` on purpose: a handler calls one service function and never touches them.
const LAYERS: [(&str, &[&str]); 5] = [
    ("domain", &[]),
    ("store", &["domain"]),
    ("wasm", &["domain"]),
    ("service", &["domain", "store", "wasm"]),
    ("http", &["domain", "service"]),
];

/// What sits above the layers and puts them together.
const TOP: [&str; 5] = ["cli", "app", "settings", "main", "lib"];

/// Crates that belong to one layer. `axum` may also be where an app has a stand-in: in the demo and in tests' files.
const OWNED: [(&str, &str); 5] = [
    ("sled", "store"),
    ("wasmtime", "wasm"),
    ("wasmtime_wasi", "wasm"),
    ("wasmtime_wasi_http", "wasm"),
    ("axum", "http"),
];

/// `domain` does no I/O and knows no clock.
const NOT_IN_DOMAIN: [&str; 9] = [
    "tokio",
    "reqwest",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
];
/// Addresses are values: to name one reaches nobody.
const VALUES: [&str; 3] = ["std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr"];

#[test]
fn imports_go_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(!files.is_empty(), "no source files under {}", root.display());

    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(root.join(&file)).unwrap();
        found.extend(violations(&file, &text).into_iter().map(|found| format!("src/{file}:{found}")));
    }
    assert!(found.is_empty(), "imports that go up or sideways (see ARCHITECTURE.md):\n{}", found.join("\n"));
}

/// Collects the `.rs` files under `root`, as paths relative to it with forward slashes.
fn collect(root: &Path, files: &mut Vec<String>) {
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let parts = path.strip_prefix(root).unwrap().iter().map(|part| part.to_str().unwrap());
                files.push(parts.collect::<Vec<_>>().join("/"));
            }
        }
    }
    files.sort();
}

/// Every import in `text`, the file at `file` under `src`, that its layer may not have: `<line>: <why>`.
fn violations(file: &str, text: &str) -> Vec<String> {
    let mut module: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let layer = module[0].clone();
    if module == ["main"] || module == ["lib"] {
        module.clear();
    }
    let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("src/{file} is not Rust: {error}"));

    let stand_ins = TOP.contains(&layer.as_str()) || module.iter().any(|name| name == "tests");
    let mut named = Vec::new();
    read(&tokens.into_iter().collect::<Vec<_>>(), &module, &mut named);
    let judged = named.into_iter().filter(|path| !(stand_ins && !path.inside && path.segments[0] == "axum"));
    judged.filter_map(|path| Some(format!("{}: {}", path.line, judge(&layer, &path)?))).collect()
}

/// Why `layer` may not name `path`, if it may not.
fn judge(layer: &str, path: &Named) -> Option<String> {
    let text = path.segments.join("::");
    if path.inside { judge_own(layer, &path.segments, &text) } else { judge_foreign(layer, &path.segments, &text) }
}

fn judge_own(layer: &str, segments: &[String], text: &str) -> Option<String> {
    if TOP.contains(&layer) {
        return None;
    }
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return Some(format!("`{layer}` is in no layer: give it a place in this test"));
    };
    match segments.first().map(String::as_str) {
        None | Some("*") => Some(format!("`{layer}` names the whole crate, which hides what it reaches")),
        Some(reached) if reached == layer || below.contains(&reached) => None,
        Some(reached) => Some(format!("`{layer}` names `{reached}` (`crate::{text}`)")),
    }
}

fn judge_foreign(layer: &str, segments: &[String], text: &str) -> Option<String> {
    if let Some((_, owner)) = OWNED.iter().find(|(name, _)| segments[0] == *name) {
        return (*owner != layer).then(|| format!("`{layer}` names `{text}`, which belongs to `{owner}`"));
    }
    let effect = NOT_IN_DOMAIN.iter().any(|name| text == *name || text.starts_with(&format!("{name}::")));
    let effect = effect && !VALUES.contains(&text);
    let clock = segments.len() > 1 && segments.last().is_some_and(|name| name == "now");
    (layer == "domain" && (effect || clock)).then(|| format!("`domain` names `{text}`: time and I/O stay out"))
}

/// A path as it stands in the source.
struct Named {
    /// The path starts inside this crate; `segments` are then counted from its root.
    inside: bool,
    segments: Vec<String>,
    line: usize,
}

/// Adds every path among `tokens`, which stand in the module `module`, to `named`.
fn read(tokens: &[TokenTree], module: &[String], named: &mut Vec<Named>) {
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(word) if word == "mod" && body(tokens, at + 2).is_some() => {
                let inner = [module, &[tokens[at + 1].to_string()]].concat();
                read(&body(tokens, at + 2).unwrap_or_default(), &inner, named);
                at += 3;
            }
            TokenTree::Ident(_) => at = read_path(tokens, at, &[], module, named),
            TokenTree::Group(group) => {
                read(&group.stream().into_iter().collect::<Vec<_>>(), module, named);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// Reads the path or the tree of a `use` that starts at the word `at`, below `prefix`. Returns where it ends.
fn read_path(
    tokens: &[TokenTree],
    mut at: usize,
    prefix: &[String],
    module: &[String],
    named: &mut Vec<Named>,
) -> usize {
    let line = tokens[at].span().start().line;
    let mut path = prefix.to_vec();
    loop {
        path.push(tokens[at].to_string());
        at += 1;
        if !joined(tokens, at) {
            break;
        }
        at += 2;
        match tokens.get(at) {
            Some(TokenTree::Ident(_)) => {}
            Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
                path.push("*".to_owned());
                at += 1;
                break;
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                read_tree(&group.stream().into_iter().collect::<Vec<_>>(), &path, module, named);
                return at + 1;
            }
            _ => break,
        }
    }
    // `self.x`, `pub(crate)` and `pub(super)` are no imports; `crate as x` and `extern crate self as x` are.
    let word = path.len() == 1 && matches!(path[0].as_str(), "self" | "crate" | "super");
    let renamed = matches!(tokens.get(at), Some(TokenTree::Ident(next)) if next == "as" || next == "self");
    if !word || renamed {
        named.push(resolve(&path, module, line));
    }
    at
}

/// Reads the inside of `prefix::{..}`.
fn read_tree(tokens: &[TokenTree], prefix: &[String], module: &[String], named: &mut Vec<Named>) {
    let mut at = 0;
    let mut fresh = true;
    while at < tokens.len() {
        let line = tokens[at].span().start().line;
        match &tokens[at] {
            TokenTree::Ident(_) if fresh => {
                at = read_path(tokens, at, prefix, module, named);
                fresh = false;
                continue;
            }
            TokenTree::Punct(star) if star.as_char() == '*' => {
                named.push(resolve(&[prefix, &["*".to_owned()]].concat(), module, line));
            }
            TokenTree::Punct(comma) if comma.as_char() == ',' => fresh = true,
            _ => {}
        }
        at += 1;
    }
}

/// Counts a path from the crate's root, if it starts inside the crate.
fn resolve(path: &[String], module: &[String], line: usize) -> Named {
    let inside = matches!(path[0].as_str(), "crate" | "headgate" | "self" | "super");
    if !inside {
        return Named { inside, segments: path.to_vec(), line };
    }
    let mut segments = if matches!(path[0].as_str(), "crate" | "headgate") { Vec::new() } else { module.to_vec() };
    for word in path {
        match word.as_str() {
            "crate" | "headgate" | "self" => {}
            "super" => {
                segments.pop();
            }
            other => segments.push(other.to_owned()),
        }
    }
    Named { inside, segments, line }
}

/// Whether `::` stands at `at`.
fn joined(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    colon(at) && colon(at + 1)
}

/// The tokens inside the braces at `at`, if braces stand there.
fn body(tokens: &[TokenTree], at: usize) -> Option<Vec<TokenTree>> {
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            Some(group.stream().into_iter().collect())
        }
        _ => None,
    }
}

#[test]
fn planted_violations_are_found() {
    let planted = [
        ("service/runs.rs", "use crate::http::Router;"),
        ("service/runs.rs", "pub use crate::http::Router;"),
        ("service/runs.rs", "use crate::{domain::id::FlowId, http::{problem, Router as R}};"),
        ("service/runs.rs", "use crate::{domain, store, cli as c};"),
        ("service/runs.rs", "fn f() { let x = crate::http::problem::bare(500); }"),
        ("service/runs.rs", "fn f() { tokio::select! { _ = crate::cli::wait() => {} } }"),
        ("service/runs.rs", "fn f() { g::<Vec<crate::http::Router>>() }"),
        ("service/runs.rs", "use super::super::http::Router;"),
        ("service/runs.rs", "use super::{super::{http::Router}};"),
        ("service/runs.rs", "mod tests { use super::super::super::http::Router; }"),
        ("service/runs.rs", "mod tests { mod deep { fn f(_: super::super::super::super::cli::Args) {} } }"),
        ("service/runs.rs", "pub(in crate::http) fn f() {}"),
        ("service/runs.rs", "macro_rules! m { () => { $crate::http::f() } }"),
        ("service/runs.rs", "use headgate::http::Router;"),
        ("service.rs", "use super::http::Router;"),
        ("service.rs", "use self::super::http::Router;"),
        ("service.rs", "use super::*;"),
        ("service.rs", "use crate as root;"),
        ("service.rs", "extern crate self as root;"),
        ("service.rs", "use crate::{self as root};"),
        ("service.rs", "use crate::{*};"),
        ("service.rs", "use crate::AnythingOfLib;"),
        ("service.rs", "use crate::settings::Settings;"),
        ("store/log.rs", "use crate::wasm::Engine;"),
        ("store/log.rs", "use crate::service::catalog::Catalog;"),
        ("wasm/engine.rs", "use crate::store::Store;"),
        ("wasm/engine.rs", "impl From<crate::store::StoreError> for E {}"),
        ("domain/id.rs", "use crate::store::Store;"),
        ("http/runs.rs", "use crate::store::Store;"),
        ("http/runs.rs", "use crate::wasm::Event;"),
        ("http/runs.rs", "use crate::cli::Args;"),
        ("service/runs.rs", "fn f(db: sled::Db) {}"),
        ("service/runs.rs", "use {serde, ::sled as db};"),
        ("cli_extra.rs", "use crate::domain::id::FlowId;"),
        ("store/log.rs", "use wasmtime::Engine;"),
        ("service/runs.rs", "use axum::Router;"),
        ("cli/demo.rs", "use sled::Db;"),
        ("wasm/egress/tests/app.rs", "use crate::http::Api;"),
        ("domain/id.rs", "use std::{fs, str};"),
        ("domain/id.rs", "fn f() { let _ = std::fs::read(\"x\"); }"),
        ("domain/run.rs", "fn f() { let _ = jiff::Timestamp::now(); }"),
        ("domain/run.rs", "async fn f() { tokio::task::yield_now().await }"),
    ];
    for (file, text) in planted {
        assert!(!violations(file, text).is_empty(), "not found in {file}: {text}");
    }
    let line = &violations("service/runs.rs", "use std::fmt;\n\nuse crate::http::Router;")[0];
    assert!(line.starts_with("3: `service` names `http`"), "{line}");
}

#[test]
fn honest_imports_pass() {
    let honest = [
        ("service/runs.rs", "use crate::{domain::id::FlowId, store::{Store, *}, wasm::*};"),
        ("service/runs.rs", "use super::{self as service, catalog::Catalog}; use self::inner::X;"),
        ("service/runs.rs", "mod tests { use super::*; use super::super::catalog::Catalog; }"),
        ("service/runs.rs", "pub(crate) fn f(&self) -> u8 { self.http.cli(); self as u8 }"),
        ("service/runs.rs", "use http::Method; use std::time::SystemTime; fn f() { SystemTime::now(); }"),
        ("service/runs.rs", "/// Not [`crate::http`], and \"crate::cli\".\nconst X: &str = \"crate::http::Router\";"),
        ("store/index.rs", "use sled::{Db, Tree}; use crate::store::log;"),
        ("wasm/engine.rs", "use wasmtime::component::Linker;"),
        ("http/runs.rs", "use axum::Router; use crate::service::runs; use crate::domain::run::Run;"),
        ("domain/id.rs", "use std::{fmt, str::FromStr}; fn f(now: u64) -> u64 { now }"),
        ("cli/demo.rs", "use axum::Router;"),
        ("wasm/egress/tests/app.rs", "use axum::Router;"),
        ("cli/serve.rs", "use crate::{app, http, service, settings::Settings, store, wasm};"),
        ("main.rs", "fn main() { headgate::cli::main() }"),
        ("lib.rs", "pub mod cli; pub use service::Service;"),
    ];
    for (file, text) in honest {
        assert_eq!(violations(file, text), Vec::<String>::new(), "in {file}: {text}");
    }
}
