//! README.md and ARCHITECTURE.md say what is so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use headgate::settings::Settings;

const README: &str = include_str!("../../README.md");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");

/// The rows of a table whose first cell is a code span, as first and second cell without the back-quotes.
fn rows(table: &str) -> BTreeMap<String, String> {
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        Some((cell(cells.next()?), cell(cells.next()?)))
    };
    table.lines().filter_map(row).collect()
}

#[test]
fn the_settings_are_listed_with_their_defaults() {
    let (_, after) = README.split_once("| Setting | Default |").expect("README.md has a table of settings");
    let (table, _) = after.split_once("\n\n").expect("text follows the table");
    assert_eq!(rows(table), Settings::default().listing());
}

#[test]
fn a_wrong_row_would_be_seen() {
    let table = "\n|---|---|---|\n| `listen` | `0.0.0.0:80` | where |\n| `public_url` | | where |";
    let wanted = [("listen", "0.0.0.0:80"), ("public_url", "")];
    assert_eq!(rows(table), wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[test]
fn the_map_leads_to_files_that_exist() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/src");
    let named: Vec<&str> = ARCHITECTURE
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.ends_with(".rs"))
        .collect();
    assert!(named.len() > 50, "ARCHITECTURE.md has no map: {named:?}");
    let missing: Vec<_> = named.iter().copied().filter(|name| !sources.join(name).is_file()).collect();
    assert_eq!(missing, Vec::<&str>::new(), "ARCHITECTURE.md names files of runtime/src that do not exist");
    let mut once = BTreeSet::new();
    let twice: Vec<_> = named.into_iter().filter(|name| !once.insert(*name)).collect();
    assert_eq!(twice, Vec::<&str>::new(), "ARCHITECTURE.md names these files more than once");
}
