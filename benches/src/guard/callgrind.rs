//! How instructions are counted.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::TIMES;

/// What was counted.
pub(super) struct Counted {
    /// Of the processor, as the program sees it.
    pub(super) features: String,
    /// By the name of the case.
    pub(super) instructions: BTreeMap<String, u64>,
}

/// `valgrind-3.19.0`, where it is installed.
pub(super) fn version() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Runs this program under callgrind.
pub(super) fn count() -> Result<Counted, Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("kmirror-guard-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let counted = count_in(&folder);
    fs::remove_dir_all(&folder)?;
    counted
}

fn count_in(folder: &Path) -> Result<Counted, Box<dyn Error>> {
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--dump-after={COUNTED}"));
    valgrind.arg(format!("--callgrind-out-file={}", folder.join("out").display()));
    let output = valgrind.arg(std::env::current_exe()?).arg("count").output()?;
    if !output.status.success() {
        return Err(format!("valgrind: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let (features, names) = text.split_once('\n').ok_or("nothing was counted")?;
    let mut instructions = BTreeMap::new();
    for (first, name) in (1..).step_by(TIMES).zip(names.lines()) {
        let counts: Result<Vec<u64>, _> =
            (first..first + TIMES).map(|number| counted_in(folder, number)).collect();
        let least = counts.map_err(|error| format!("{name} was not counted: {error}"))?.into_iter().min();
        instructions.insert(name.to_owned(), least.unwrap_or_default());
    }
    Ok(Counted { features: features.to_owned(), instructions })
}

fn counted_in(folder: &Path, number: usize) -> Result<u64, Box<dyn Error>> {
    let dump = fs::read_to_string(folder.join(format!("out.{number}")))?;
    Ok(sum(&dump).ok_or("there is no sum")?)
}

/// The instructions of a dump.
fn sum(dump: &str) -> Option<u64> {
    let line =
        dump.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// What libraries choose by, as far as the processor has it: valgrind does not show all of it.
pub(super) fn features() -> String {
    #[cfg(target_arch = "x86_64")]
    let features = [
        ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", std::arch::is_x86_feature_detected!("pclmulqdq")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let features: [(&str, bool); 0] = [];
    let there: Vec<&str> = features.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    there.join(" ")
}

/// The function that is executed for each case. (Callgrind's own ways to begin at a function do not see it end.)
const COUNTED: &str = "*guard::counted";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_dump_is_found() {
        assert_eq!(sum("version: 1\nevents: Ir\nsummary: 120\n\nfn=(1)\n1 7\n\ntotals: 123\n"), Some(120));
        assert_eq!(sum("events: Ir\n"), None);
    }
}
