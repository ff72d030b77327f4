//! What an examination of a server found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All is well.
    Ok,
    /// Somebody should look at it.
    Warning,
    /// Something does not work, or soon will not.
    Problem,
}

/// One thing that was checked. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Check {
    /// What was checked.
    #[schema(example = "disk")]
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    #[schema(example = "12.4 GiB are free (31 %)")]
    pub finding: String,
    /// What to do; absent where nothing is.
    #[schema(example = "Free some space, or move data_dir to a larger disk")]
    pub remedy: Option<String>,
}

/// All that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Examination {
    /// When.
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T07:00:00Z")]
    pub at: Timestamp,
    /// Whether a running server examined itself; otherwise its data folder was looked at.
    pub running: bool,
    /// The checks.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl Check {
    /// All is well.
    pub fn ok(name: &str, finding: impl Into<String>) -> Self {
        Self { name: name.to_owned(), verdict: Verdict::Ok, finding: finding.into(), remedy: None }
    }

    /// Somebody should look at it.
    pub fn warning(name: &str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { name: name.to_owned(), verdict: Verdict::Warning, finding: finding.into(), remedy }
    }

    /// Something does not work.
    pub fn problem(name: &str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Problem, ..Self::warning(name, finding, remedy) }
    }
}

impl Examination {
    /// How many checks ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }
}
