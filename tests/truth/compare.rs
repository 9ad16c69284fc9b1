//! Asks hugeprobe, and holds its answer against what the workload did.

use std::fmt;
use std::process::Command;

use hugeprobe::domain::check::CheckId;
use hugeprobe::domain::size::PageSize;
use serde_json::Value;

use crate::context::program::run;
use crate::rows::Row;
use crate::scene::Scene;
use crate::workload::{Kind, Outcome};

/// What hugeprobe said.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) verdict: Verdict,
    /// The checks that failed; those that could not tell, if none did.
    pub(crate) because: Vec<String>,
    /// All that it said.
    pub(crate) said: String,
}

/// A verdict, as far as it predicts anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `pass` or `warn`: the workload would work.
    Pass,
    /// It would not.
    Fail,
    /// It could not be told.
    Unknown,
    /// No report: it crashed, or did not end.
    Crashed,
}

/// A row, run.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) row: &'static Row,
    pub(crate) kind: Kind,
    pub(crate) size: PageSize,
    pub(crate) asked: Asked,
    /// Of the workload: three where the first was not as hugeprobe said.
    pub(crate) outcomes: Vec<Outcome>,
    /// The pools were not the same before and after: somebody else uses them.
    pub(crate) disturbed: bool,
    /// The machine has not what it takes.
    pub(crate) not_run: bool,
}

/// How hugeprobe and the workload stand to each other in one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Agree,
    FalsePass,
    FalseFail,
    /// `unknown`, or no verdict at all, though the workload did the same three times out of three.
    Untold,
    /// Both fail, and the check that fails is not the one that finds the cause.
    OtherCause,
    /// Somebody else changed the pools, time and again.
    Disturbed,
    /// The machine has not what it takes.
    NotRun,
}

/// The numbers that have to be 0.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) false_passes: usize,
    pub(crate) false_fails: usize,
    pub(crate) untold: usize,
    pub(crate) other_causes: usize,
    pub(crate) disturbed: usize,
    pub(crate) not_run: usize,
    pub(crate) excepted: usize,
    stale_exceptions: Vec<String>,
}

/// Asks hugeprobe in the scene, with the need of its workload.
pub(crate) fn ask(scene: &Scene) -> Asked {
    let mut command: Command = scene.place.command(&scene.program);
    command.args(["check", "-o", "json"]).args(scene.kind.question(scene.size));
    if let Some(directory) = scene.directory() {
        command.arg("--dir").arg(directory);
    }
    for (option, side) in [("--frontend-cgroup", &scene.frontend), ("--backend-cgroup", &scene.backend)] {
        if let Some(group) = &side.cgroup {
            command.arg(option).arg(group);
        }
    }
    let ran = run(&mut command);
    let said = format!("{}\n{}", ran.stdout, ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let with = |outcome: &str| -> Vec<String> {
        let entries = report["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ids =
            entries.iter().filter(|entry| entry["outcome"] == outcome).map(|entry| entry["id"].as_str());
        ids.flatten().map(str::to_owned).collect()
    };
    let (verdict, because) = match report["verdict"].as_str() {
        Some("pass" | "warn") => (Verdict::Pass, Vec::new()),
        Some("fail" | "none") => (Verdict::Fail, with("fail")),
        Some("unknown") => (Verdict::Unknown, with("unknown")),
        _ => (Verdict::Crashed, Vec::new()),
    };
    Asked { verdict, because, said }
}

// === impl ===

impl Asked {
    /// Whether it did not say what the workload did.
    pub(crate) fn disagrees(&self, outcome: &Outcome) -> bool {
        self.verdict != if outcome.works { Verdict::Pass } else { Verdict::Fail }
    }
}

impl Compared {
    pub(crate) fn name(&self) -> String {
        format!("{} | {} | {}", self.row.fault, self.size, self.kind)
    }

    /// A row that the machine cannot have, for want of this.
    pub(crate) fn not_run(row: &'static Row, kind: Kind, size: PageSize, missing: &str) -> Self {
        let asked = Asked { verdict: Verdict::Crashed, because: Vec::new(), said: missing.to_owned() };
        let outcome =
            Outcome { works: false, words: format!("not run for want of {missing}"), log: String::new() };
        Self { row, kind, size, asked, outcomes: vec![outcome], disturbed: false, not_run: true }
    }

    /// What the workload did: what it did most often.
    pub(crate) fn outcome(&self) -> &Outcome {
        let works = self.outcomes.iter().filter(|outcome| outcome.works).count() * 2 > self.outcomes.len();
        self.outcomes.iter().find(|outcome| outcome.works == works).unwrap()
    }

    pub(crate) fn relation(&self) -> Relation {
        let always = |works| self.outcomes.iter().all(|outcome| outcome.works == works);
        let causes = self.row.causes.iter().map(CheckId::to_string);
        match (self.asked.verdict, self.outcome().works) {
            _ if self.not_run => Relation::NotRun,
            _ if self.disturbed => Relation::Disturbed,
            (Verdict::Pass, true) => Relation::Agree,
            (Verdict::Fail, false) => {
                let named = causes.into_iter().any(|cause| self.asked.because.contains(&cause));
                if named { Relation::Agree } else { Relation::OtherCause }
            }
            (Verdict::Pass, false) => Relation::FalsePass,
            (Verdict::Fail, true) => Relation::FalseFail,
            (Verdict::Crashed, _) => Relation::Untold,
            (Verdict::Unknown, _) if always(true) || always(false) => Relation::Untold,
            (Verdict::Unknown, _) => Relation::Agree,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::Crashed => "crashed",
        })
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = self.relation();
        let mark = if relation == Relation::Agree { ' ' } else { '!' };
        let outcome = self.outcome();
        let does = if outcome.works { "works" } else { "fails" };
        write!(
            f,
            "{mark} {:<58} {:<4} {:<20} {does}  {:<8} {:<24} {}",
            self.row.fault,
            self.size.to_string(),
            self.kind.to_string(),
            self.asked.verdict,
            self.asked.because.join(" "),
            outcome.words.chars().take(90).collect::<String>(),
        )?;
        if relation != Relation::Agree {
            let said: String = self.asked.said.chars().take(6000).collect();
            write!(f, "\n{relation:?} ({} runs)\n{said}\n{}\n", self.outcomes.len(), outcome.log)?;
        }
        Ok(())
    }
}

impl Standing {
    pub(crate) fn of(compared: &[Compared], exceptions: &[String]) -> Self {
        let mut standing = Self::default();
        let mut met = Vec::new();
        for one in compared {
            let relation = one.relation();
            if relation != Relation::Agree && exceptions.contains(&one.name()) {
                standing.excepted += 1;
                met.push(one.name());
                continue;
            }
            match relation {
                Relation::Agree => {}
                Relation::FalsePass => standing.false_passes += 1,
                Relation::FalseFail => standing.false_fails += 1,
                Relation::Untold => standing.untold += 1,
                Relation::OtherCause => standing.other_causes += 1,
                Relation::Disturbed => standing.disturbed += 1,
                Relation::NotRun => standing.not_run += 1,
            }
        }
        let run = |name: &String| compared.iter().any(|one| one.name() == *name);
        standing.stale_exceptions =
            exceptions.iter().filter(|name| run(name) && !met.contains(name)).cloned().collect();
        standing
    }

    pub(crate) fn is_good(&self) -> bool {
        self.false_passes + self.false_fails + self.untold == 0
            && self.other_causes + self.disturbed + self.not_run == 0
            && self.stale_exceptions.is_empty()
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "false passes                                     {}", self.false_passes)?;
        writeln!(f, "false fails                                      {}", self.false_fails)?;
        writeln!(f, "unknown or crashed, with the workload sure       {}", self.untold)?;
        writeln!(f, "failing check that does not name the cause       {}", self.other_causes)?;
        writeln!(f, "disturbed: somebody else changed the pools       {}", self.disturbed)?;
        writeln!(f, "not run                                          {}", self.not_run)?;
        write!(f, "excepted (tests/truth/exceptions)                {}", self.excepted)?;
        for name in &self.stale_exceptions {
            write!(f, "\nan exception that is none any more: {name}")?;
        }
        Ok(())
    }
}
