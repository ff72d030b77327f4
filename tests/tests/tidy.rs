//! The house rules that a program can check. Each finding says where it stands and what the rule is.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const LONGEST_FILE: usize = 450;
const LONGEST_FUNCTION: usize = 70;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["mod", "util", "utils", "helper", "helpers", "common", "misc"];

/// The files that may say `unsafe`: the server reads back compiled code that it wrote and authenticated itself, and a
/// hostile guest tries to read what it must not.
const UNSAFE: [&str; 2] = ["runtime/src/wasm/trusted.rs", "tests/guests/hostile-connector/src/memory.rs"];

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    let mut sources = 0;
    for path in files(root) {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        if name.ends_with(".rs") {
            sources += 1;
            found.extend(untidy_source(&name, &fs::read_to_string(&path).unwrap()));
        } else if name.ends_with("Cargo.toml") && name != "Cargo.toml" {
            found.extend(untidy_manifest(&name, &fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(sources > 0, "no source files under {}", root.display());
    assert!(found.is_empty(), "house rules broken:\n{}", found.join("\n"));
}

/// Every file of the project, without what is built and without dot folders.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if name == "target" || name.starts_with('.') => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
}

/// What breaks a rule in the source file `name` with the contents `text`.
fn untidy_source(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in name.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            found.push(format!("{name}: `{part}` says nothing; name the file after what is in it"));
        }
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        found.push(format!("{name}: {lines} lines, at most {LONGEST_FILE}"));
    }
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if (line.starts_with("///") || line.starts_with("//!")) && line.contains("```ignore") {
            found.push(format!("{name}:{}: an example that is never compiled", at + 1));
        }
    }
    match text.parse::<TokenStream>() {
        Ok(tokens) => untidy_tokens(name, tokens, &mut found),
        Err(error) => found.push(format!("{name}: not Rust: {error}")),
    }
    found
}

fn untidy_tokens(name: &str, tokens: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                if group.delimiter() == Delimiter::Bracket
                    && follows_hash(&tokens, at)
                    && first_word(group.stream()) == "ignore"
                {
                    found.push(format!("{name}:{line}: a test that never runs"));
                }
                untidy_tokens(name, group.stream(), found);
            }
            TokenTree::Ident(word) if word == "unsafe" && !UNSAFE.contains(&name) => {
                found.push(format!("{name}:{line}: `unsafe` outside {}", UNSAFE.join(" and ")));
            }
            TokenTree::Ident(word) if word == "fn" => {
                let length = function_length(&tokens[at..]);
                if length > LONGEST_FUNCTION {
                    let function = tokens[at + 1].to_string();
                    found.push(format!("{name}:{line}: `{function}` has {length} lines, at most {LONGEST_FUNCTION}"));
                }
            }
            TokenTree::Ident(word)
                if is_macro(&tokens, at) && ["todo", "unimplemented", "dbg"].iter().any(|bad| word == bad) =>
            {
                found.push(format!("{name}:{line}: `{word}!`"));
            }
            _ => {}
        }
    }
}

/// Whether the brackets at `at` are those of an attribute.
fn follows_hash(tokens: &[TokenTree], at: usize) -> bool {
    at > 0 && matches!(&tokens[at - 1], TokenTree::Punct(hash) if hash.as_char() == '#')
}

fn first_word(tokens: TokenStream) -> String {
    tokens.into_iter().next().map(|token| token.to_string()).unwrap_or_default()
}

fn is_macro(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at + 1), Some(TokenTree::Punct(bang)) if bang.as_char() == '!')
}

/// The lines from the word `fn`, which comes first, to the brace that closes the body; 0 for one without a body.
fn function_length(tokens: &[TokenTree]) -> usize {
    for token in tokens {
        match token {
            TokenTree::Punct(end) if end.as_char() == ';' => return 0,
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                return body.span_close().end().line - tokens[0].span().start().line + 1;
            }
            _ => {}
        }
    }
    0
}

/// What breaks a rule in a package's manifest.
fn untidy_manifest(name: &str, text: &str) -> Vec<String> {
    let own = text.contains("[workspace]");
    let shared = text.contains("[lints]\nworkspace = true");
    (!own && !shared).then(|| format!("{name}: does not take the workspace's lints")).into_iter().collect()
}

#[test]
fn planted_faults_are_found() {
    let long_function = format!("fn long() {{\n{}}}\n", "f();\n".repeat(LONGEST_FUNCTION - 1));
    let planted = [
        ("runtime/src/store/mod.rs", String::new()),
        ("runtime/src/utils/text.rs", String::new()),
        ("sdk/src/helpers.rs", String::new()),
        ("tests/src/common.rs", String::new()),
        ("sdk/src/long.rs", "// A line.\n".repeat(LONGEST_FILE + 1)),
        ("sdk/src/a.rs", "#[test]\n#[ignore]\nfn never() {}".to_owned()),
        ("sdk/src/a.rs", "#[ignore = \"slow\"] #[test] fn never() {}".to_owned()),
        ("sdk/src/a.rs", "/// ```ignore\n/// f();\n/// ```\nfn f() {}".to_owned()),
        ("sdk/src/a.rs", "fn f() { if x { todo!() } }".to_owned()),
        ("sdk/src/a.rs", "fn f() { vec![unimplemented!(\"later\")]; }".to_owned()),
        ("sdk/src/a.rs", "fn f() { dbg!(1); }".to_owned()),
        ("sdk/src/a.rs", "fn f() { unsafe { g() } }".to_owned()),
        ("sdk/src/a.rs", long_function.clone()),
        ("sdk/src/a.rs", format!("impl X {{ {long_function} }}")),
        ("sdk/src/a.rs", "fn f() {".to_owned()),
    ];
    for (name, text) in &planted {
        assert_eq!(untidy_source(name, text).len(), 1, "in {name}: {text}: {:?}", untidy_source(name, text));
    }
    assert_eq!(untidy_manifest("sdk/Cargo.toml", "[package]\nname = \"x\"\n").len(), 1);
}

#[test]
fn honest_sources_pass() {
    let short = format!("fn short() {{\n{}}}\n", "f();\n".repeat(LONGEST_FUNCTION - 2));
    let honest = [
        ("sdk/src/a.rs", short),
        ("sdk/src/a.rs", "// A line.\n".repeat(LONGEST_FILE)),
        (
            "sdk/src/a.rs",
            "/// Say \"todo!\" and #[ignore].\nfn f() { let ignore = \"unsafe todo!()\"; g(ignore) }".to_owned(),
        ),
        ("sdk/src/a.rs", "trait T { fn f(&self); fn g(&self) -> [u8; 2]; }".to_owned()),
        (UNSAFE[0], "fn f() { unsafe { g() } }".to_owned()),
    ];
    for (name, text) in &honest {
        assert_eq!(untidy_source(name, text), Vec::<String>::new(), "in {name}");
    }
    assert_eq!(untidy_manifest("sdk/Cargo.toml", "[lints]\nworkspace = true\n"), Vec::<String>::new());
}
