//! Instructions instead of seconds: a machine that does other things as well executes as many.

mod callgrind;
mod counts;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use kmirror_bench::cases::{Case, cases};

use self::counts::{Conditions, Counts};

#[derive(clap::Args)]
pub(crate) struct GuardArguments {
    /// Writes what was counted, as what is expected from now on.
    #[arg(long)]
    bless: bool,
    /// What is expected.
    #[arg(long, default_value = "benches/instructions.json")]
    expected: PathBuf,
}

/// Counts, and compares. Fails with exit code 3 where something takes more than is expected.
pub(crate) fn run(arguments: &GuardArguments) -> Result<ExitCode, Box<dyn Error>> {
    let Some(valgrind) = callgrind::version() else {
        println!("skipped: no valgrind");
        return Ok(ExitCode::SUCCESS);
    };
    if cfg!(debug_assertions) {
        return Err(
            "only a release build is worth counting: cargo run --profile guard -p kmirror-bench -- guard"
                .into(),
        );
    }
    let counted = callgrind::count()?;
    let counts =
        Counts { conditions: Conditions::of(valgrind, counted.features), instructions: counted.instructions };
    if arguments.bless {
        counts.write(&arguments.expected)?;
        println!("{} counts written to {}", counts.instructions.len(), arguments.expected.display());
        return Ok(ExitCode::SUCCESS);
    }
    let expected = Counts::read(&arguments.expected)?;
    let comparison = expected.compare(&counts);
    println!("{comparison}");
    Ok(if comparison.is_good() { ExitCode::SUCCESS } else { ExitCode::from(THRESHOLD_EXCEEDED) })
}

/// The process whose instructions are counted: does everything again and again, since it is the least that counts.
pub(crate) fn count() -> Result<(), Box<dyn Error>> {
    println!("{}", callgrind::features());
    for mut case in cases()? {
        for _ in 0..TIMES {
            counted(&mut case)?;
        }
        println!("{}", case.name);
    }
    Ok(())
}

/// Callgrind writes a file each time that this ends: what was executed since the last one.
#[inline(never)]
fn counted(case: &mut Case) -> Result<usize, Box<dyn Error>> {
    std::hint::black_box(case.run())
}

/// The first time does what is done only once, and each time the memory may be in another order.
const TIMES: usize = 6;
const THRESHOLD_EXCEEDED: u8 = 3;
