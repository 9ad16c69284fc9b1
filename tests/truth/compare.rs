//! Runs hugeprobe and compares its answer with what the workload did.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use hugeprobe::domain::check::CheckId;
use hugeprobe::domain::troubleshooting::{self, Kind, KnownFailure};
use serde_json::Value;

use crate::case::{Case, Cause};
use crate::context::program::run;
use crate::scene::Scene;
use crate::workload::Outcome;

/// The answer of hugeprobe.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) verdict: Verdict,
    /// The checks that failed. If none did, the checks that were inconclusive.
    pub(crate) because: Vec<String>,
    /// The whole output.
    pub(crate) said: String,
}

/// A verdict, reduced to what it predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `pass` or `warn`: the workload is expected to work.
    Pass,
    /// `fail`: the workload is expected to fail.
    Fail,
    /// `unknown`: inconclusive.
    Unknown,
    /// There is no report: hugeprobe crashed or did not end.
    Crashed,
}

/// The results of a row.
pub(crate) struct Compared<'c> {
    pub(crate) case: &'c Case,
    pub(crate) asked: Asked,
    /// The outcomes of the workload: three if the first was not as hugeprobe predicted, otherwise one.
    pub(crate) outcomes: Vec<Outcome>,
    /// Whether the pools differed before and after: another program uses them.
    pub(crate) disturbed: bool,
    /// Why the row was not run, if it was not.
    pub(crate) not_run: Option<NotRun>,
    /// The run times of hugeprobe and of the workload.
    pub(crate) took: [Duration; 2],
    /// Whether the row is a known exception.
    pub(crate) known: bool,
}

/// Why a row was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRun {
    /// The kernel cannot allocate the pages of 1Gi. This is normal on a machine that has been running for long.
    LeftOut,
    /// The machine lacks something that the row needs.
    Missing,
}

/// How hugeprobe's verdict and the workload's outcome relate in one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Agree,
    FalsePass,
    FalseFail,
    /// `unknown`, or no verdict at all, although the workload had the same outcome three times out of three.
    Untold,
    /// Both fail, but the failing check is not the one that finds the cause.
    OtherCause,
    /// Other programs changed the pools in each attempt.
    Disturbed,
    /// The machine lacks something that the row needs.
    NotRun,
    /// The kernel could not allocate the pages of 1Gi.
    LeftOut,
}

/// The numbers of the truth table. Except for the rows left out and excepted, all must be 0.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) false_passes: usize,
    pub(crate) false_fails: usize,
    pub(crate) untold: usize,
    pub(crate) other_causes: usize,
    pub(crate) disturbed: usize,
    pub(crate) not_run: usize,
    pub(crate) left_out: usize,
    pub(crate) excepted: usize,
    stale_exceptions: Vec<String>,
}

/// Runs hugeprobe in the scene, with the need of the scene's workload.
pub(crate) fn ask(scene: &Scene) -> Asked {
    let mut command: Command = scene.place.command(&scene.program);
    command.args(["check", "-o", "json"]).args(scene.kind.question(scene));
    // As the workload's.
    command.env("XDG_RUNTIME_DIR", &scene.run);
    if let Some(directory) = scene.directory() {
        command.arg("--dir").arg(directory);
    }
    for (option, side) in [("--frontend-cgroup", &scene.frontend), ("--backend-cgroup", &scene.backend)] {
        if let Some(group) = &side.cgroup {
            command.arg(option).arg(group);
        }
    }
    read(&mut command)
}

/// Runs a `check -o json` and reads its report.
pub(crate) fn read(command: &mut Command) -> Asked {
    let ran = run(command);
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
    /// Returns whether the verdict differs from the outcome of the workload.
    pub(crate) fn disagrees(&self, outcome: &Outcome) -> bool {
        self.verdict != if outcome.works { Verdict::Pass } else { Verdict::Fail }
    }
}

impl<'c> Compared<'c> {
    /// Returns the result of a row that cannot be run on this machine because `missing` is missing.
    pub(crate) fn not_run(case: &'c Case, not_run: NotRun, missing: &str) -> Self {
        let asked = Asked { verdict: Verdict::Crashed, because: Vec::new(), said: missing.to_owned() };
        let outcome =
            Outcome { works: false, words: format!("not run for want of {missing}"), log: String::new() };
        Self {
            case,
            asked,
            outcomes: vec![outcome],
            disturbed: false,
            not_run: Some(not_run),
            took: Default::default(),
            known: false,
        }
    }

    /// Returns the known failures that `hugeprobe explain --log` finds in the workload's log.
    pub(crate) fn told(&self) -> Vec<&'static KnownFailure> {
        let found = troubleshooting::search(&self.outcome().log);
        found.iter().map(|one| one.failure).filter(|failure| failure.kind != Kind::Harmless).collect()
    }

    /// Returns whether a failing check finds the fault that was made, and a failing check finds the cause in the log.
    fn names_the_cause(&self) -> bool {
        let is_named =
            |checks: &[CheckId], because: &String| checks.iter().any(|id| id.to_string() == *because);
        let fails = |check: &CheckId| self.asked.because.contains(&check.to_string());
        let told = self.told();
        let untold = told.iter().all(|failure| failure.checks.is_empty());
        let checks = match &self.case.cause {
            Cause::Words(words) => return self.asked.because.iter().any(|because| because.contains(words)),
            Cause::Checks(checks) => checks,
            Cause::Place(checks) => {
                // HP5xx and HP6xx say what did not work. The other groups say which fault is the cause.
                let names = |id: &&String| ["HP1", "HP3", "HP4"].iter().any(|group| id.starts_with(group));
                return self.asked.because.iter().filter(names).all(|because| is_named(checks, because))
                    && self.asked.because.iter().any(|id| id == "HP509" || is_named(checks, id));
            }
        };
        checks.iter().any(fails) && (untold || told.iter().flat_map(|failure| &failure.checks).any(fails))
    }

    /// Returns the most frequent outcome of the workload.
    pub(crate) fn outcome(&self) -> &Outcome {
        let works = self.outcomes.iter().filter(|outcome| outcome.works).count() * 2 > self.outcomes.len();
        self.outcomes.iter().find(|outcome| outcome.works == works).unwrap()
    }

    pub(crate) fn relation(&self) -> Relation {
        let always = |works| self.outcomes.iter().all(|outcome| outcome.works == works);
        match (self.asked.verdict, self.outcome().works) {
            _ if self.disturbed => Relation::Disturbed,
            _ if self.not_run == Some(NotRun::LeftOut) => Relation::LeftOut,
            _ if self.not_run == Some(NotRun::Missing) => Relation::NotRun,
            (Verdict::Pass, true) => Relation::Agree,
            (Verdict::Fail, false) => {
                if self.names_the_cause() {
                    Relation::Agree
                } else {
                    Relation::OtherCause
                }
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

impl fmt::Display for Compared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = self.relation();
        if relation == Relation::LeftOut {
            return write!(f, "- {} {}", self.case.name(), self.outcome().words);
        }
        let mark = match relation {
            Relation::Agree => ' ',
            _ if self.known => '~',
            _ => '!',
        };
        let outcome = self.outcome();
        let does = if outcome.works { "works" } else { "fails" };
        write!(
            f,
            "{mark} {:<58} {:<4} {:<20} {:>4.1} {:>4.1}  {does}  {:<8} {:<24} {}",
            self.case.fault,
            self.case.size.to_string(),
            self.case.workload,
            self.took[0].as_secs_f64(),
            self.took[1].as_secs_f64(),
            self.asked.verdict,
            self.asked.because.join(" "),
            outcome.words.chars().take(90).collect::<String>(),
        )?;
        if mark == '!' {
            let told: Vec<_> = self.told().iter().map(|failure| failure.name).collect();
            let said: String = self.asked.said.chars().take(6000).collect();
            write!(
                f,
                "\n{relation:?} ({} runs), the log tells of {told:?}\n{said}\n{}\n",
                self.outcomes.len(),
                outcome.log
            )?;
        }
        Ok(())
    }
}

impl Standing {
    pub(crate) fn of(compared: &[Compared<'_>], exceptions: &[String]) -> Self {
        let mut standing = Self::default();
        let mut met = Vec::new();
        for one in compared {
            let relation = one.relation();
            if relation != Relation::Agree && exceptions.contains(&one.case.name()) {
                standing.excepted += 1;
                met.push(one.case.name());
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
                Relation::LeftOut => standing.left_out += 1,
            }
        }
        let run = |name: &String| compared.iter().any(|one| one.case.name() == *name);
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
        writeln!(f, "left out: the kernel has no pages of 1Gi to give   {}", self.left_out)?;
        write!(f, "excepted (tests/truth/exceptions)                {}", self.excepted)?;
        for name in &self.stale_exceptions {
            write!(f, "\nan exception that is none any more: {name}")?;
        }
        Ok(())
    }
}
