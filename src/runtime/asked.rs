//! What a running edge is asked to run, and what became of it.

use super::reload::Outcome;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A document that a running edge shall take on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which one.
    pub wanted: Wanted,
    /// Who asks.
    pub by: By,
    /// Whether only to say what would change.
    pub is_dry_run: bool,
    /// Whether the operator's files shall say it too.
    pub write: bool,
    /// The snapshots that it may take the place of; `None` is any.
    pub expected: Option<Vec<u64>>,
}

impl Asked {
    /// To take on what the files say.
    pub fn files(by: By) -> Self {
        Self { wanted: Wanted::Files, by, is_dry_run: false, write: false, expected: None }
    }
}

/// Where a document comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The operator's files, as they are now.
    Files,
    /// A text, as if it stood in the main file.
    Text(String),
    /// The documents that were kept: so many steps back from the one that runs, which is 0.
    Earlier(usize),
}

/// Who had a document run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The start of the process.
    Start,
    /// The signal SIGHUP.
    Sighup,
    /// `falconer reload`.
    Command,
    /// A file that changed.
    Watch,
    /// A request to the admin address, or a document that was sent.
    Api,
    /// `falconer rollback`.
    Rollback,
}

impl By {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Sighup => "sighup",
            Self::Command => "command",
            Self::Watch => "watch",
            Self::Api => "api",
            Self::Rollback => "rollback",
        }
    }
}

/// What became of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What became of the document.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The operator's files that say something else than the document that runs now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<PathBuf>,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, differing: Vec::new() }
    }
}

/// A document that ran, or was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// When, in UTC.
    pub time: String,
    /// Who had it run.
    pub by: By,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// How many steps back it is, by which `falconer rollback` finds it; 0 runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
}

/// What became of a document that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Fate {
    /// It ran.
    Applied {
        /// The number of its first snapshot.
        generation: u64,
    },
    /// It had problems.
    Rejected {
        /// What was wrong.
        problems: Vec<String>,
    },
    /// It changed what only another process can take on.
    NeedsUpgrade {
        /// The keys that differed.
        fields: Vec<String>,
    },
}

impl Fate {
    /// What of an outcome is kept; `None` if it is no news.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome.clone() {
            Outcome::Applied { generation, .. } => Some(Self::Applied { generation }),
            Outcome::Rejected { problems } => Some(Self::Rejected { problems }),
            Outcome::NeedsUpgrade { fields } => Some(Self::NeedsUpgrade { fields }),
            Outcome::Planned { .. } | Outcome::Unchanged { .. } | Outcome::Outdated { .. } => None,
        }
    }

    /// Whether it ran.
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied { .. })
    }
}
