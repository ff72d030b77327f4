//! Space on the disk of the data folder.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::Premises;
use crate::domain::doctor::Check;

/// How long the system may take to say it.
const WITHIN: Duration = Duration::from_secs(5);
/// Times the least space, below which it is time to look.
const EARLY: u64 = 3;

/// Whether enough is free.
pub(super) async fn check(premises: &Premises) -> Check {
    let Some(free) = free(&premises.data_dir).await else {
        let remedy = "Look yourself: df -h, on the data folder. The program df (POSIX) is needed for this check";
        return Check::warning("disk", "how much is free cannot be told", remedy);
    };
    verdict(free, premises.settings.min_free_disk)
}

fn verdict(free: u64, least: u64) -> Check {
    let mebibytes = free >> 20;
    let finding = format!("{mebibytes} MiB are free where the data folder is");
    let remedy = "Free some space, move data_dir to a larger disk, or keep less history (service.history_days, service.history_bytes)";
    match free {
        _ if free < least => Check::problem("disk", format!("{finding}; at least {} should be", least >> 20), remedy),
        _ if free < least.saturating_mul(EARLY) => Check::warning("disk", finding, remedy),
        _ => Check::ok("disk", finding),
    }
}

/// Free bytes, as `df` says: the standard library does not.
async fn free(folder: &Path) -> Option<u64> {
    let mut df = Command::new("df");
    df.arg("-Pk").arg(folder).env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin");
    df.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = timeout(WITHIN, df.output()).await.ok()?.ok()?;
    parse(std::str::from_utf8(&output.stdout).ok()?)
}

/// POSIX, `df -P`: a line with names, then file system, total, used and available KiB, capacity, mount point. Names may
/// hold spaces, so the capacity is looked for, which is a number and a percent sign.
fn parse(text: &str) -> Option<u64> {
    let words: Vec<_> = text.lines().nth(1)?.split_whitespace().collect();
    let is_capacity = |word: &&str| word.strip_suffix('%').is_some_and(|number| number.parse::<u64>().is_ok());
    let capacity = words.iter().skip(4).position(is_capacity)? + 4;
    words[capacity - 1].parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Verdict;

    #[test]
    fn what_df_says_is_understood() {
        let head = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n";
        for (line, free) in [
            ("/dev/vda         263174212 44564480  51380224      47% /", Some(51_380_224 << 10)),
            ("a b:/share 100 50 50 50% /mnt/a b", Some(50 << 10)),
            ("overlay 100 100 0 100% /", Some(0)),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(parse(&format!("{head}{line}\n")), free, "{line}");
        }
    }

    #[test]
    fn little_space_is_a_problem_and_some_a_warning() {
        for (free, expected) in
            [(9, Verdict::Problem), (10, Verdict::Warning), (29, Verdict::Warning), (30, Verdict::Ok)]
        {
            assert_eq!(verdict(free << 20, 10 << 20).verdict, expected, "{free}");
        }
    }

    #[tokio::test]
    async fn this_machine_has_a_disk() {
        assert!(free(Path::new("/")).await.is_some());
        assert_eq!(free(Path::new("/does/not/exist")).await, None);
    }
}
