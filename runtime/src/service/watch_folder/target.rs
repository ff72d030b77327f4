//! What a file of the watched folder is for, by its path.

use std::path::Path;

use crate::domain::id::{Environment, GroupId, Name};

/// What to do about a path that says nothing.
const LAYOUT: &str =
    "Files are GROUP/flows/NAME.wasm, GROUP/flows/ENVIRONMENT/NAME.wasm and GROUP/connectors/NAME.wasm";

/// What a file becomes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Whose it is.
    pub(super) group: GroupId,
    /// What it is.
    pub(super) module: Module,
}

/// What is in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Module {
    /// A flow's next version.
    Flow {
        /// The flow.
        name: Name,
        /// Where to publish it.
        environment: Option<Environment>,
    },
    /// A connector.
    Connector {
        /// What it has to call itself.
        name: Name,
    },
}

impl Module {
    /// Its part of the key of what is noted about it.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Flow { name, environment: None } => format!("flow/{name}"),
            Self::Flow { name, environment: Some(environment) } => format!("flow-in/{environment}/{name}"),
            Self::Connector { name } => format!("connector/{name}"),
        }
    }
}

impl Target {
    /// Reads a path relative to the folder.
    pub(super) fn parse(path: &Path) -> Result<Self, String> {
        let parts: Option<Vec<_>> = path.iter().map(|part| part.to_str()).collect();
        let parts = parts.ok_or_else(|| format!("Its path is not UTF-8. {LAYOUT}"))?;
        let (file, folders) = parts.split_last().ok_or(LAYOUT)?;
        let name = file.strip_suffix(".wasm").unwrap_or(file);
        let wrong = |error: &dyn std::fmt::Display| format!("{error}. {LAYOUT}");
        let name = || name.parse::<Name>().map_err(|error| wrong(&error));
        let group = |group: &str| group.parse::<GroupId>().map_err(|error| wrong(&error));
        match folders {
            [of, "flows"] => Ok(Self { group: group(of)?, module: Module::Flow { name: name()?, environment: None } }),
            [of, "flows", environment] => {
                let environment = environment.parse::<Environment>().map_err(|error| wrong(&error))?;
                Ok(Self { group: group(of)?, module: Module::Flow { name: name()?, environment: Some(environment) } })
            }
            [of, "connectors"] => Ok(Self { group: group(of)?, module: Module::Connector { name: name()? } }),
            _ => Err(format!("Nothing is expected there. {LAYOUT}")),
        }
    }

    /// The group that a path names, whatever else is wrong with it.
    pub(super) fn group(path: &Path) -> Option<GroupId> {
        path.iter().next()?.to_str()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_a_file_is_for() {
        let flow = |environment: Option<&str>| Module::Flow {
            name: "sync-leads".parse().unwrap(),
            environment: environment.map(|name| name.parse().unwrap()),
        };
        for (path, module) in [
            ("acme/flows/sync-leads.wasm", flow(None)),
            ("acme/flows/production/sync-leads.wasm", flow(Some("production"))),
            ("acme/connectors/hubspot.wasm", Module::Connector { name: "hubspot".parse().unwrap() }),
        ] {
            let target = Target::parse(Path::new(path)).unwrap();
            assert_eq!(target, Target { group: "acme".parse().unwrap(), module }, "{path}");
        }
    }

    #[test]
    fn other_paths_are_refused_in_words() {
        for path in [
            "x.wasm",
            "acme/x.wasm",
            "acme/flow/x.wasm",
            "acme/flows/a/b/x.wasm",
            "acme/connectors/production/x.wasm",
            "acme/flows/../x.wasm",
            "acme/flows/.wasm",
            "acme/flows/a b.wasm",
            "../flows/x.wasm",
        ] {
            let error = Target::parse(Path::new(path)).unwrap_err();
            assert!(error.contains("GROUP/flows/NAME.wasm"), "{path}: {error}");
        }
    }
}
