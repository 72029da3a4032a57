use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::TestkitError;
use crate::jars::{kafka_home, output_of, workspace};

/// librdkafka, the client of most languages but Java, driven through its Python package.
#[derive(Clone, Debug)]
pub struct Librdkafka {
    python: PathBuf,
}

/// Finds it in `target/kafka`; the first caller has `pip` install it. Nothing, with a line on stderr, where that does not work: it
/// is a second opinion, and nothing that a test must have.
pub fn librdkafka(test: &str) -> Option<Librdkafka> {
    match Librdkafka::resolve() {
        Ok(found) => Some(found),
        Err(error) => {
            eprintln!("{test}: skipped: no librdkafka: {error}");
            None
        }
    }
}

impl Librdkafka {
    fn resolve() -> Result<Librdkafka, TestkitError> {
        let home = kafka_home();
        fs::create_dir_all(&home).map_err(TestkitError::file(&home))?;
        let lock_path = home.join("librdkafka.lock");
        let lock = File::create(&lock_path).map_err(TestkitError::file(&lock_path))?;
        lock.lock().map_err(TestkitError::file(&lock_path))?;
        let folder = home.join(format!("librdkafka-{PACKAGE_VERSION}"));
        let python = folder.join("bin/python");
        let import = |python: &PathBuf| {
            let mut command = Command::new(python);
            command.args(["-c", "import confluent_kafka"]);
            output_of(command)
        };
        if !python.exists() || import(&python).is_err() {
            let mut venv = Command::new("python3");
            venv.args(["-m", "venv"]).arg(&folder);
            output_of(venv)?;
            let mut pip = Command::new(&python);
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--only-binary",
                ":all:",
            ]);
            pip.arg(format!("confluent-kafka=={PACKAGE_VERSION}"));
            output_of(pip)?;
            import(&python)?;
        }
        Ok(Librdkafka { python })
    }

    /// Runs a command of `testdata/python/librdkafka.py`; the lines that it prints.
    ///
    /// # Errors
    /// It fails, with the end of what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<Vec<String>, TestkitError> {
        let mut command = Command::new(&self.python);
        command.arg(workspace().join("testdata/python/librdkafka.py")).args(arguments).stdin(Stdio::null());
        Ok(output_of(command)?.lines().map(str::to_owned).collect())
    }
}

/// The package carries the library of the same version.
const PACKAGE_VERSION: &str = "2.16.1";
